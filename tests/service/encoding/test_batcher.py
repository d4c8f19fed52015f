"""Batches side by side."""

import asyncio
import threading
from collections.abc import Sequence

import numpy as np
import pytest

from handful.pixels import Pixels
from handful.rows import Rows
from handful.service.encoding.batcher import Batcher

REFUSED = 99


class Lanes:
    """Notes how many batches were in the works together, and of how many pictures; works when `go` is set."""

    def __init__(self) -> None:
        self.alone: list[int] = []
        self.beside: list[int] = []
        self.together = 0
        self.running = 0
        self.go = threading.Event()
        self._lock = threading.Lock()

    def encode(self, batch: Sequence[Pixels]) -> Rows:
        return self._rows(batch, self.alone)

    def encode_beside(self, batch: Sequence[Pixels]) -> Rows:
        return self._rows(batch, self.beside)

    def _rows(self, batch: Sequence[Pixels], noted: list[int]) -> Rows:
        with self._lock:
            noted.append(len(batch))
            self.running += 1
            self.together = max(self.together, self.running)
        if not self.go.wait(30):
            raise TimeoutError
        with self._lock:
            self.running -= 1
        reds = [int(pixels.flat[0]) for pixels in batch]
        if REFUSED in reds:
            raise ValueError(f"red {REFUSED} is refused")
        return np.array(reds, np.float32)[:, None]


def of(red: int) -> Pixels:
    return np.full((1, 1, 3), red, np.uint8)


async def until(condition) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.001)


def test_batches_go_side_by_side_and_hold_no_more_pictures_than_one_would() -> None:
    async def main() -> None:
        lanes = Lanes()
        batcher = Batcher(lanes.encode, beside=lanes.encode_beside, lanes=2, most=8, wait=0)
        coming = [batcher.put("a", 1, of(red)) for red in range(20)]
        await until(lambda: lanes.running == 2)
        assert lanes.beside == [4, 4]
        lanes.go.set()
        said = await asyncio.gather(*coming)
        assert [one.row[0] for one in said] == list(range(20))
        assert lanes.together == 2
        assert sum(lanes.beside + lanes.alone) == 20
        assert max(lanes.beside + lanes.alone) == 4
        await batcher.close()

    asyncio.run(main())


def test_a_picture_that_is_alone_gets_all_threads() -> None:
    async def main() -> None:
        lanes = Lanes()
        batcher = Batcher(lanes.encode, beside=lanes.encode_beside, lanes=2, most=8, wait=0)
        first = batcher.put("a", 1, of(1))
        await until(lambda: lanes.running == 1)
        second = batcher.put("b", 2, of(2))
        await until(lambda: lanes.running == 2)
        lanes.go.set()
        await asyncio.gather(first, second)
        assert (lanes.alone, lanes.beside) == ([1], [1])
        await batcher.put("a", 3, of(3))
        assert (lanes.alone, lanes.beside) == ([1, 1], [1])
        await batcher.close()

    asyncio.run(main())


def test_a_picture_that_is_refused_spoils_neither_its_batch_nor_the_one_beside() -> None:
    async def main() -> None:
        lanes = Lanes()
        lanes.go.set()
        batcher = Batcher(lanes.encode, beside=lanes.encode_beside, lanes=2, most=4, wait=0)
        coming = [batcher.put("a", 1, of(red)) for red in (11, 12, REFUSED, 14, 15)]
        said = await asyncio.gather(*coming, return_exceptions=True)
        assert [one.row[0] for at, one in enumerate(said) if at != 2] == [11, 12, 14, 15]
        assert f"red {REFUSED}" in str(said[2])
        await batcher.close()

    asyncio.run(main())


def test_a_batch_that_waits_for_more_is_not_divided_among_lanes() -> None:
    async def main() -> None:
        lanes = Lanes()
        lanes.go.set()
        batcher = Batcher(lanes.encode, beside=lanes.encode_beside, lanes=2, most=6, wait=20)
        coming = [batcher.put("a", red, of(red)) for red in (1, 2)]
        await asyncio.sleep(0.01)
        coming.append(batcher.put("a", 3, of(3)))
        await asyncio.gather(*coming)
        assert lanes.alone + lanes.beside == [3]
        await batcher.close()

    asyncio.run(main())


@pytest.mark.parametrize(("most", "lanes", "share"), [(8, 3, 2), (1, 4, 1), (3, 8, 1)])
def test_lanes_are_no_more_than_pictures(most: int, lanes: int, share: int) -> None:
    async def main() -> None:
        noted = Lanes()
        batcher = Batcher(noted.encode, beside=noted.encode_beside, lanes=lanes, most=most, wait=0)
        coming = [batcher.put("a", 1, of(red)) for red in range(20)]
        await until(lambda: noted.running == min(most, lanes))
        assert noted.beside == [share] * min(most, lanes)
        noted.go.set()
        await asyncio.gather(*coming)
        await batcher.close()

    asyncio.run(main())
