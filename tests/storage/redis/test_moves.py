"""A store goes on through the death of a primary, and while slots of a Cluster move, and loses nothing."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.redis_servers import Clustered, redis_sentinels
from tests.storage.crash.checking import check_store
from tests.storage.crash.working import TENANT, prepare
from tests.storage.redis.writing import Diary, writing

from handful.storage.blobs import Blobs
from handful.storage.redis.store import RedisStore

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("version", ["8", "7"])
async def test_what_a_replica_confirmed_survives_the_death_of_the_primary(
    tmp_path: Path, version: str
) -> None:
    blobs, diary = Blobs(str(tmp_path)), Diary()
    with redis_sentinels(version) as watched:
        store = RedisStore(watched.url, blobs, wait_replicas=1)
        await store.check()
        id = await prepare(store)
        async with writing(store, blobs, id, 1, diary):
            await more(diary)
            await asyncio.to_thread(watched.primary.kill)
            await asyncio.to_thread(watched.promoted)
            await asyncio.to_thread(watched.primary.start, replicaof=f"127.0.0.1 {watched.replica.port}")
            await more(diary)
        assert await check_store(store, blobs, id, diary.lines()) == len(diary.marks())
        await store.close()


async def test_slots_that_move_under_a_stores_writes_lose_nothing(
    clustered: Clustered, tmp_path: Path
) -> None:
    clustered.empty()
    blobs, diary = Blobs(str(tmp_path)), Diary()
    store = RedisStore(clustered.url, blobs)
    id = await prepare(store)
    whole = Whole(store)
    async with writing(whole, blobs, id, 1, diary):  # type: ignore[arg-type]
        await more(diary)
        for tag in (f"{TENANT}/{id}", TENANT, "jobs", "trash", "tails"):
            key = f"hf:{{{tag}}}"
            source = clustered.holder(key)
            target = next(one for one in clustered.servers if one is not source)
            slot = source.command("CLUSTER", "KEYSLOT", key)
            await asyncio.to_thread(clustered.move, slot, source, target)
            assert clustered.holder(key) is target
            await more(diary)
    await whole.finished()
    assert await check_store(store, blobs, id, diary.lines()) == len(diary.marks())
    await store.close()


class Whole:
    """A store whose calls go on to their end when their caller is cancelled.

    A change on a Cluster is several; the checks are of a store where none was broken off.
    """

    def __init__(self, store: RedisStore) -> None:
        self._store = store
        self._calls: set[asyncio.Task[object]] = set()

    def __getattr__(self, name: str) -> Callable[..., Awaitable[object]]:
        async def call(*args: object, **named: object) -> object:
            task = asyncio.create_task(getattr(self._store, name)(*args, **named))
            self._calls.add(task)
            task.add_done_callback(self._over)
            return await asyncio.shield(task)

        return call

    def _over(self, task: asyncio.Task[object]) -> None:
        self._calls.discard(task)
        task.exception()  # its caller may be gone

    async def finished(self) -> None:
        await asyncio.gather(*self._calls, return_exceptions=True)


async def more(diary: Diary, count: int = 60) -> None:
    """Return once so many further writes were acknowledged."""
    enough = len(diary.marks()) + count
    while len(diary.marks()) < enough:
        await asyncio.sleep(0.02)
