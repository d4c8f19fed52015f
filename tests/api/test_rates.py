"""How many requests a tenant may send: to one process, and to several over one Redis."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from tests.redis_servers import Server, redis_server

from handful.api.rates import Rates
from handful.errors import QuotaError, StorageError
from handful.storage.blobs import Blobs
from handful.storage.open import open_store
from handful.storage.store import Store

pytestmark = pytest.mark.anyio


class Clock:
    """Stands still unless it is set."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = open_store(f"sqlite:///{tmp_path}/store.sqlite")
    yield opened
    await opened.close()


@pytest.fixture
async def stores(redis_8: Server, tmp_path: Path) -> AsyncIterator[list[Store]]:
    """As three processes have them."""
    redis_8.command("FLUSHALL")
    opened = [open_store(redis_8.url, Blobs(str(tmp_path))) for _ in range(3)]
    yield opened
    for one in opened:
        await one.close()


def admitted(rates: Rates, count: int, tenant: str = "shop") -> int:
    """How many of so many requests at once."""
    done = 0
    for _ in range(count):
        try:
            rates.spend(tenant)
        except QuotaError:
            continue
        done += 1
    return done


async def test_as_many_as_allowed_are_admitted_in_any_second(store: Store, clock: Clock) -> None:
    rates = Rates(10, store, clock=clock)
    assert admitted(rates, 30) == 10
    assert admitted(rates, 30, "other") == 10
    clock.now += 1.5  # half of the second before has left the sliding one
    assert admitted(rates, 30) == 5
    clock.now += 5
    assert admitted(rates, 30) == 10


async def test_below_one_a_second_it_is_one_in_so_many(store: Store, clock: Clock) -> None:
    rates = Rates(0.1, store, clock=clock)
    assert admitted(rates, 3) == 1
    clock.now += 9
    assert admitted(rates, 3) == 0
    clock.now += 11
    assert admitted(rates, 3) == 1


async def test_who_is_refused_hears_when_to_come_again(store: Store, clock: Clock) -> None:
    rates = Rates(0.1, store, clock=clock)
    rates.spend("shop")
    with pytest.raises(QuotaError, match="more than 1 requests in 10 s") as refused:
        rates.spend("shop")
    assert refused.value.retry_after == pytest.approx(10)
    clock.now += 10
    with pytest.raises(QuotaError) as refused:
        rates.spend("shop")
    clock.now += refused.value.retry_after or 0
    rates.spend("shop")


async def test_without_a_limit_nothing_is_counted(store: Store) -> None:
    async with Rates(None, store) as rates:
        assert admitted(rates, 1000) == 1000


async def test_what_one_process_admitted_is_not_left_for_another(stores: list[Store], clock: Clock) -> None:
    one, other, third = (Rates(100, store, clock=clock) for store in stores)
    assert admitted(one, 60) == 60
    assert await one.settle()
    assert admitted(other, 1) == 1  # it hears of the others when it settles
    assert await other.settle()
    assert admitted(other, 100) == 39
    assert await other.settle()
    assert admitted(third, 1) == 1
    assert await third.settle()
    assert admitted(third, 100) == 0
    clock.now += 1.5
    for rates in (one, other, third):
        assert admitted(rates, 1) == 1
        assert await rates.settle()
    assert admitted(third, 100) == 46  # 100, less half of the 101 before, less those 3


async def test_processes_together_admit_what_is_allowed_and_not_much_more(stores: list[Store]) -> None:
    async with AsyncExitStack() as stack:
        clock = Clock()
        processes = [await stack.enter_async_context(Rates(200, store, clock=clock)) for store in stores]
        done = 0
        for _ in range(200):
            done += sum(admitted(rates, 1) for rates in processes)
            await asyncio.sleep(0.002)
    assert 200 <= done <= 200 + 2 * (25 + 20)  # of each but the first, an eighth, and 20 ms of such a load


async def test_requests_wait_for_no_store_and_a_warm_tenant_costs_few_trips(stores: list[Store]) -> None:
    async with Rates(100_000, stores[0]) as rates:
        before = stores[0].trips  # type: ignore[attr-defined]  # of Redis
        for _ in range(100):
            admitted(rates, 50)
            await asyncio.sleep(0.005)
        assert 1 <= stores[0].trips - before <= 10  # type: ignore[attr-defined]


async def test_while_the_store_is_away_each_process_counts_for_itself(tmp_path: Path, clock: Clock) -> None:
    with redis_server("8") as server:
        store = open_store(server.url, Blobs(str(tmp_path)))
        async with Rates(100, store, clock=clock) as rates:
            assert admitted(rates, 30) == 30
            await asyncio.sleep(0.1)
            server.kill()
            assert admitted(rates, 30) == 30
            await asyncio.sleep(0.1)
            assert admitted(rates, 100) == 40
            server.start()  # empty, as nothing was to be saved
            counted = ("shop", f"1s:{int(clock.now)}")
            async with asyncio.timeout(20):
                while (await told(store, counted)) != 70:
                    await asyncio.sleep(0.05)
        await store.close()


async def told(store: Store, counted: tuple[str, str]) -> int:
    """What processes told the store."""
    try:
        sums = await store.tally({counted: 0}, keep=timedelta(seconds=9))
    except StorageError:
        return -1
    assert sums is not None
    return sums[counted]
