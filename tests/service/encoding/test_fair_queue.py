import asyncio

from handful.service.encoding.fair_queue import FairQueue


def test_tenants_take_turns_and_so_do_their_requests() -> None:
    async def main() -> None:
        queue: FairQueue[str] = FairQueue()
        for item in ("a1 1", "a1 2", "a1 3", "a2 1", "b3 1", "b3 2", "a2 2"):
            queue.put(item[0], int(item[1]), item)
        assert len(queue) == 7
        order = [await queue.get() for _ in range(7)]
        assert order == ["a1 1", "b3 1", "a2 1", "b3 2", "a1 2", "a2 2", "a1 3"]
        assert len(queue) == 0

    asyncio.run(main())


def test_each_waiting_taker_gets_one_and_a_cancelled_one_takes_none() -> None:
    async def main() -> None:
        queue: FairQueue[int] = FairQueue()
        gone, first, second = (asyncio.create_task(queue.get()) for _ in range(3))
        await asyncio.sleep(0)
        gone.cancel()
        queue.put("a", 1, 10)
        queue.put("a", 1, 11)
        assert sorted(await asyncio.gather(first, second)) == [10, 11]
        assert len(queue) == 0

    asyncio.run(main())
