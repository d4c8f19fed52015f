"""What a crash leaves in lists and counts is found and put right, beside those who write."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.redis_servers import Clustered, Server
from tests.storage.conftest import classifier, taught, with_shots

from handful.storage.blobs import Blobs
from handful.storage.ids import new_id
from handful.storage.open import open_store
from handful.storage.records import Repairs, Usage
from handful.storage.redis import repair as module
from handful.storage.store import Change, Store

pytestmark = pytest.mark.anyio

Command = Callable[..., Any]


@pytest.fixture(autouse=True)
def _settled_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SETTLED", 0.05)


@pytest.fixture(params=["redis", "redis-cluster"])
def place(request: pytest.FixtureRequest) -> tuple[str, Command]:
    """URL of an empty store, and what runs a command where its first key lies."""
    if request.param == "redis":
        server: Server = request.getfixturevalue("redis_8")
        server.command("FLUSHALL")
        return server.url, server.command
    cluster: Clustered = request.getfixturevalue("clustered")
    cluster.empty()
    return cluster.url, lambda *words: cluster.holder(words[1]).command(*words)


@pytest.fixture
async def store(place: tuple[str, Command], tmp_path: Path, anyio_backend: str) -> AsyncIterator[Store]:
    opened = open_store(place[0], Blobs(str(tmp_path / "blobs")))
    yield opened
    await opened.close()


async def test_nothing_is_found_where_nothing_is_wrong(store: Store) -> None:
    gone = await taught(store, 3)
    await taught(store, 12)
    await store.apply(Change(before=gone, after=None))
    for tenant in ("shop", "nobody"):
        assert await store.repair(tenant, write=True) == Repairs()


async def test_what_was_counted_for_writes_that_never_came_is_taken_off(
    store: Store, place: tuple[str, Command]
) -> None:
    await taught(store, 3)
    right = await store.usage("shop")
    for name, number in (("classifiers", 1), ("shots", 7), ("image_bytes", -5)):
        place[1]("HINCRBY", "hf:{shop}:usage", name, number)
    wrong = await store.usage("shop")
    found = Repairs(over=Usage(classifiers=1, shots=7, image_bytes=-5))
    assert await store.repair("shop", write=False) == found
    assert await store.usage("shop") == wrong
    assert await store.repair("shop", write=True) == found
    assert await store.usage("shop") == right
    assert await store.repair("shop", write=True) == Repairs()


async def test_names_of_classifiers_that_never_came_go_from_the_list(
    store: Store, place: tuple[str, Command]
) -> None:
    record = await taught(store)
    for _ in range(3):
        place[1]("ZADD", "hf:{shop}:ids", 0, new_id())
    assert await store.repair("shop", write=False) == Repairs(dangling=3)
    assert place[1]("ZCARD", "hf:{shop}:ids") == 4
    assert await store.repair("shop", write=True) == Repairs(dangling=3)
    assert place[1]("ZRANGE", "hf:{shop}:ids", 0, -1) == [record.id.encode()]


async def test_a_classifier_that_comes_between_both_looks_stays_listed(
    store: Store, place: tuple[str, Command], monkeypatch: pytest.MonkeyPatch
) -> None:
    await taught(store)
    record = classifier()
    place[1]("ZADD", "hf:{shop}:ids", 0, record.id)  # as a creation on a Cluster begins
    look = module._look

    async def late(connection: Any, tenant: str) -> Any:
        found = await look(connection, tenant)
        if await store.classifier("shop", record.id) is None:
            await store.apply(Change(before=None, after=record))
        return found

    monkeypatch.setattr(module, "_look", late)
    assert await store.repair("shop", write=True) == Repairs()
    assert record.id in [one.id for one in await store.classifiers("shop", limit=9)]
    assert (await store.usage("shop")).classifiers == 2


async def test_a_classifier_that_comes_after_both_looks_stays_listed(
    store: Store, place: tuple[str, Command], monkeypatch: pytest.MonkeyPatch
) -> None:
    record = classifier()
    place[1]("ZADD", "hf:{shop}:ids", 0, record.id)
    look, looks = module._look, 0

    async def late(connection: Any, tenant: str) -> Any:
        nonlocal looks
        looks += 1
        found = await look(connection, tenant)
        if looks == 2:
            await store.apply(Change(before=None, after=record))
        return found

    monkeypatch.setattr(module, "_look", late)
    await store.repair("shop", write=True)
    assert [one.id for one in await store.classifiers("shop", limit=9)] == [record.id]


async def test_counts_stay_right_beside_those_who_write(store: Store) -> None:
    records = [await taught(store, 2) for _ in range(6)]
    stop = asyncio.Event()

    async def write(at: int) -> None:
        while not stop.is_set():
            records[at] = await with_shots(store, records[at], 1)

    writers = [asyncio.create_task(write(at)) for at in range(len(records))]
    for _ in range(6):
        await store.repair("shop", write=True)
    stop.set()
    await asyncio.gather(*writers)
    held = Usage(
        classifiers=6,
        classes=6,
        shots=sum(record.shot_count for record in records),
        image_bytes=sum(record.image_bytes for record in records),
    )
    assert await store.usage("shop") == held
    assert await store.repair("shop", write=True) == Repairs()
    assert len(await store.classifiers("shop", limit=9)) == 6
