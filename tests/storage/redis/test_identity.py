"""A Redis and a place for blobs that do not belong together are not used."""

import asyncio

import pytest
from tests.redis_servers import Server
from tests.storage.conftest import classifier, taught

from handful.errors import StorageSetupError
from handful.storage.blobs import Blobs
from handful.storage.open import open_store
from handful.storage.store import Change, Store

pytestmark = pytest.mark.anyio


@pytest.fixture
def store_url(redis_8: Server) -> str:
    redis_8.command("FLUSHALL")
    return redis_8.url


async def refused(url: str, blobs: Blobs, match: str) -> None:
    """By `check`, and by whatever is done first."""
    store = open_store(url, blobs)
    record = classifier()
    with pytest.raises(StorageSetupError, match=match):
        await store.check()
    with pytest.raises(StorageSetupError, match=match):
        await store.apply(Change(before=None, after=record))
    with pytest.raises(StorageSetupError, match=match):
        await store.classifier("shop", record.id)
    await store.close()


async def test_both_bear_the_same_id_from_the_first_use_on(
    store: Store, blobs: Blobs, redis_8: Server
) -> None:
    await taught(store)
    id = await blobs.get("store-id")
    assert id == redis_8.command("HGET", "hf:{meta}", "id")
    again = open_store(redis_8.url, blobs)
    await again.check()
    await again.close()
    assert await blobs.get("store-id") == id


async def test_another_folder_than_the_one_it_was_used_with_is_refused(
    store: Store, store_url: str, blobs: Blobs, tmp_path
) -> None:
    await taught(store)
    await refused(store_url, Blobs(str(tmp_path / "empty")), "are not in .*empty")
    other = Blobs(str(tmp_path / "other"))
    await other.put("store-id", b"another")
    await refused(store_url, other, "belong to the store another")
    await refused(store_url, Blobs(str(tmp_path / "empty")), "are not in .*empty")  # nothing was made there


async def test_an_emptied_redis_is_not_used_with_the_blobs_of_another(
    store: Store, store_url: str, blobs: Blobs, redis_8: Server
) -> None:
    await taught(store)
    redis_8.command("FLUSHALL")
    await refused(store_url, blobs, "this Redis is empty")
    assert redis_8.command("DBSIZE") == 0


async def test_many_nodes_that_begin_at_once_agree(store_url: str, blobs: Blobs) -> None:
    nodes = [open_store(store_url, Blobs(blobs.url)) for _ in range(8)]
    await asyncio.gather(*(node.check() for node in nodes))
    await asyncio.gather(*(taught(node) for node in nodes))
    assert len(await nodes[0].classifiers("shop", limit=99)) == 8
    for node in nodes:
        await node.close()


async def test_a_node_that_died_before_the_folder_was_marked_leaves_a_store_that_begins(
    store_url: str, blobs: Blobs, redis_8: Server
) -> None:
    redis_8.command("HSET", "hf:{meta}", "format", 1, "id", "begun")
    store = open_store(store_url, blobs)
    await store.check()
    assert await blobs.get("store-id") == b"begun"
    await blobs.remove("store-id")
    with pytest.raises(StorageSetupError, match="are not in"):
        await store.check()
    await store.close()


async def test_a_store_of_a_newer_build_is_refused(store: Store, blobs: Blobs, redis_8: Server) -> None:
    await store.check()
    redis_8.command("HSET", "hf:{meta}", "format", 2)
    await refused(redis_8.url, blobs, "has format 2, newer than 1.*upgrade")
