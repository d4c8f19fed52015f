"""The head that answers lies in Redis, others and very large ones among the blobs."""

import asyncio
from dataclasses import replace

import pytest
from tests.redis_servers import Server
from tests.storage.conftest import taught
from tests.storage.test_store import head

from handful.errors import StorageError
from handful.storage.blobs import Blobs
from handful.storage.open import open_store
from handful.storage.records import Pinned
from handful.storage.redis import heads as module
from handful.storage.store import Change, ChangedMeanwhileError, Store

pytestmark = pytest.mark.anyio


@pytest.fixture
def store_url(redis_8: Server) -> str:
    redis_8.command("FLUSHALL")
    return redis_8.url


async def head_blobs(blobs: Blobs) -> list[str]:
    return [name for name in await blobs.names() if name.endswith(".head")]


async def inline_version(server: Server, id: str) -> int:
    return int.from_bytes(server.command("GET", f"hf:{{shop/{id}}}:h")[:8], "big")


async def test_older_heads_move_to_the_blobs_and_go_from_there(
    store: Store, blobs: Blobs, redis_8: Server
) -> None:
    record = await taught(store)
    for version in range(2, 9):
        if version > 2:
            after = replace(record, revision=version, support_version=version)
            await store.apply(Change(before=record, after=after))
            record = after
        await store.keep_head("shop", record.id, head(version), bytes([version]) * 99, newest=3)
        assert await inline_version(redis_8, record.id) == version
    assert [one.version for one in await store.heads("shop", record.id)] == [8, 7, 6]
    assert len(await head_blobs(blobs)) == 7 - 1
    for version in (6, 7, 8):
        assert await store.head("shop", record.id, version) == (head(version), bytes([version]) * 99)
    named = await store.blob_names("shop", record.id)
    assert named is not None
    gone = {one.name for one in await store.trash(99)}
    assert gone == {*await head_blobs(blobs)} - named
    assert len(named & {*await head_blobs(blobs)}) == 2


async def test_a_head_that_is_activated_comes_back_into_redis(
    store: Store, blobs: Blobs, redis_8: Server
) -> None:
    record = await taught(store)
    await store.keep_head("shop", record.id, head(2), b"two", newest=5)
    record2 = replace(record, revision=3, support_version=3)
    await store.apply(Change(before=record, after=record2))
    await store.keep_head("shop", record.id, head(3), b"three", newest=5)
    held = replace(head(2), held=True)
    pinned = replace(record2, revision=4, pinned=Pinned(version=2, since=3))
    await store.apply(Change(before=record2, after=pinned, put_heads=[(held, b"two")]))
    assert await inline_version(redis_8, record.id) == 2
    assert await store.head("shop", record.id, 2) == (held, b"two")
    assert await store.head("shop", record.id, 3) == (head(3), b"three")
    dropping = replace(pinned, revision=5, pinned=None)
    await store.apply(Change(before=pinned, after=dropping, drop_heads=[2]))
    assert [one.version for one in await store.heads("shop", record.id)] == [3]
    assert await store.head("shop", record.id, 2) is None
    assert await store.head("shop", record.id, 3) == (head(3), b"three")


async def test_a_very_large_head_is_cut_into_blobs(
    store: Store, blobs: Blobs, redis_8: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_INLINE", 10_000)
    monkeypatch.setattr(module, "_MOST_OF_BLOB", 50_000)
    record = await taught(store)
    data = bytes(range(256)) * 1000
    await store.keep_head("shop", record.id, head(2), data, newest=5)
    assert await store.head("shop", record.id, 2) == (head(2), data)
    assert redis_8.command("EXISTS", f"hf:{{shop/{record.id}}}:h") == 0
    assert len(await head_blobs(blobs)) == 6
    await blobs.remove((await head_blobs(blobs))[3])
    with pytest.raises(StorageError, match=f"head 2 of classifier {record.id} is gone"):
        await store.head("shop", record.id, 2)


async def test_heads_kept_at_once_by_many_nodes_all_stay(store: Store, store_url: str, blobs: Blobs) -> None:
    record = await taught(store)
    nodes = [open_store(store_url, Blobs(blobs.url)) for _ in range(5)]
    await asyncio.gather(
        *(
            node.keep_head("shop", record.id, head(version), bytes([version]), newest=9)
            for version, node in enumerate(nodes, 2)
        )
    )
    assert [one.version for one in await store.heads("shop", record.id)] == [6, 5, 4, 3, 2]
    for version in range(2, 7):
        assert await store.head("shop", record.id, version) == (head(version), bytes([version]))
    named = await store.blob_names("shop", record.id)
    assert named is not None
    assert {*await head_blobs(blobs)} == {
        name for name in named if name.endswith(".head")
    }  # also of those that had to try again
    for node in nodes:
        await node.close()


async def test_a_change_that_is_refused_leaves_no_head(store: Store, blobs: Blobs) -> None:
    record = await taught(store)
    await store.keep_head("shop", record.id, head(2), b"two", newest=5)
    late = replace(record, revision=9)
    with pytest.raises(ChangedMeanwhileError):
        await store.apply(
            Change(before=replace(record, revision=8), after=late, put_heads=[(head(9), b"nine")])
        )
    assert await head_blobs(blobs) == []
    assert [one.version for one in await store.heads("shop", record.id)] == [2]
