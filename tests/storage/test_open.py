"""From a URL to a store."""

from pathlib import Path

import pytest
from tests.redis_servers import Clustered, Server

from handful.errors import StorageError
from handful.storage.blobs import Blobs
from handful.storage.open import is_there, open_store
from handful.storage.redis.store import RedisStore


@pytest.mark.parametrize("url", ["mysql://localhost/0", "sqlite:///", "sqlite://file", "postgres", ""])
def test_what_is_no_store_of_this_build_is_refused_with_what_is(url: str) -> None:
    with pytest.raises(StorageError, match="use sqlite:///file"):
        open_store(url)


@pytest.mark.parametrize(
    "url", ["redis://host", "rediss://host", "redis+sentinel://host/it", "redis+cluster://host"]
)
def test_a_store_in_redis_needs_a_place_for_blobs(url: str, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="HANDFUL_BLOBS_URL"):
        open_store(url)
    assert isinstance(open_store(url, Blobs(str(tmp_path / "blobs"))), RedisStore)


def test_a_password_in_a_url_is_not_repeated() -> None:
    with pytest.raises(StorageError) as raised:
        open_store("redis://user:hush@localhost/0")
    assert "hush" not in str(raised.value)


@pytest.mark.anyio
async def test_a_url_may_name_a_folder_that_is_not_there_yet_and_quote_its_name(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/new/a%20b/store.sqlite")
    await store.close()
    assert (tmp_path / "new" / "a b" / "store.sqlite").is_file()


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["sqlite", "redis", "redis+cluster"])
async def test_whether_a_store_is_there_is_told_without_making_one(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/store.sqlite"
    if kind == "redis":
        server: Server = request.getfixturevalue("redis_8")
        server.command("FLUSHALL")
        url = server.url
    elif kind == "redis+cluster":
        cluster: Clustered = request.getfixturevalue("clustered")
        cluster.empty()
        url = cluster.url
    for _ in range(2):
        assert not await is_there(url)
    store = open_store(url, Blobs(str(tmp_path / "blobs")))
    await store.check()
    assert await is_there(url)
    await store.close()


@pytest.mark.anyio
async def test_no_store_of_this_build_is_nowhere() -> None:
    with pytest.raises(StorageError, match="'postgres' is none that this build has"):
        await is_there("postgres://u:secret@host")
