"""Blobs: whole or not at all, by names that reach nowhere else."""

import asyncio
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from handful.errors import StorageError
from handful.storage.blobs import Blobs, digest_name

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["folder", "memory"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    """In a folder, and in a place that is only reached through fsspec."""
    return Blobs({"folder": str(tmp_path / "blobs"), "memory": f"memory://{tmp_path}"}[request.param])


async def test_a_blob_comes_back_and_goes_away(blobs: Blobs) -> None:
    assert await blobs.get("shop/bread/a.jpg") is None
    await blobs.put("shop/bread/a.jpg", b"crust\x00")
    assert await blobs.get("shop/bread/a.jpg") == b"crust\x00"
    await blobs.put("shop/bread/a.jpg", b"crumb")
    assert await blobs.get("shop/bread/a.jpg") == b"crumb"
    await blobs.remove("shop/bread/a.jpg")
    assert await blobs.get("shop/bread/a.jpg") is None
    await blobs.remove("shop/bread/a.jpg")


async def test_a_prefix_is_removed_and_nothing_beside_it(blobs: Blobs) -> None:
    for name in ("shop/bread/a.jpg", "shop/bread/b.jpg", "shop/breads/c.jpg", "other/bread/d.jpg"):
        await blobs.put(name, b"x")
    assert await blobs.names("shop/bread/") == ["shop/bread/a.jpg", "shop/bread/b.jpg"]
    await blobs.remove("shop/bread/")
    assert await blobs.names() == ["other/bread/d.jpg", "shop/breads/c.jpg"]
    assert await blobs.names("shop/bread/") == []
    await blobs.remove("shop/bread/")


async def test_many_blobs_are_written_at_once(blobs: Blobs) -> None:
    data = {digest_name(f"shop/c{n % 3}/{n}", bytes([n]), "jpg"): bytes([n]) for n in range(60)}
    await asyncio.gather(*(blobs.put(name, content) for name, content in data.items()))
    assert await blobs.names() == sorted(data)
    assert [await blobs.get(name) for name in data] == list(data.values())


async def test_blobs_of_several_folders_are_written_together(blobs: Blobs) -> None:
    data = {f"shop/c{n % 3}/{n}": bytes([n]) for n in range(50)}
    await blobs.put_all(data)
    assert [await blobs.get(name) for name in data] == list(data.values())
    await blobs.put_all({})
    assert await blobs.names() == sorted(data)


async def test_a_blob_that_does_not_hold_what_its_name_says_is_not_given_out(blobs: Blobs) -> None:
    name = digest_name("shop/bread/a", b"crust", "jpg")
    await blobs.put(name, b"crumb")
    with pytest.raises(StorageError, match="damaged"):
        await blobs.get(name)


async def test_a_stream_is_written_as_it_comes_and_read_piece_by_piece(blobs: Blobs) -> None:
    async def stream() -> AsyncIterator[bytes]:
        for number in range(40):
            yield bytes([number]) * 100_000

    assert await blobs.size("shop/large") is None
    assert await blobs.written("shop/large") is None
    await blobs.put_stream("shop/large", stream())
    assert await blobs.size("shop/large") == 4_000_000
    written = await blobs.written("shop/large")
    assert written is not None
    assert timedelta(0) <= datetime.now(UTC) - written < timedelta(hours=1)
    with blobs.open("shop/large") as file:
        file.seek(3_900_000)
        assert file.read(1) == bytes([39])
        file.seek(0)
        assert file.read() == b"".join([bytes([number]) * 100_000 for number in range(40)])


async def test_a_stream_that_breaks_off_leaves_nothing(blobs: Blobs) -> None:
    async def stream() -> AsyncIterator[bytes]:
        yield b"x" * 2**21
        raise LookupError

    with pytest.raises(LookupError):
        await blobs.put_stream("shop/large", stream())
    assert await blobs.get("shop/large") is None


async def test_what_lies_aside_is_of_its_own(blobs: Blobs) -> None:
    aside = Blobs(blobs.url, aside=".aside")
    await blobs.put("shop/a", b"a")
    await aside.put("shop/b", b"b")
    assert (await blobs.names(), await aside.names()) == (["shop/a"], ["shop/b"])
    await blobs.remove("shop/")
    assert await aside.get("shop/b") == b"b"


@pytest.mark.parametrize(
    "name",
    ["", "/", "../x", "a/../x", "/etc/passwd", "a//b", "a/.hidden", "a\\b", "a/b\n", "a\x00", "ä", "a" * 200],
)
async def test_no_name_reaches_out_of_its_place(blobs: Blobs, name: str) -> None:
    for work in (blobs.put(name, b"x"), blobs.get(name), blobs.remove(name)):
        with pytest.raises(StorageError, match="is no name of a blob"):
            await work
    assert await blobs.names() == []


async def test_a_protocol_that_is_none_is_refused_by_name() -> None:
    with pytest.raises(StorageError, match="carrier-pigeon"):
        Blobs("carrier-pigeon://loft/blobs")


async def test_what_another_process_left_unfinished_is_no_blob(tmp_path: Path) -> None:
    blobs = Blobs(str(tmp_path))
    await blobs.put("shop/bread/a.jpg", b"x")
    (tmp_path / "shop" / "bread" / ".part-0123").write_bytes(b"ha")
    assert await blobs.names() == ["shop/bread/a.jpg"]


async def test_a_blob_that_was_not_finished_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    blobs = Blobs(str(tmp_path / "blobs"))
    await blobs.put("shop/bread/a.jpg", b"before")
    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(StorageError, match="Input/output error"):
        await blobs.put("shop/bread/a.jpg", b"after")
    assert [path.name for path in (tmp_path / "blobs" / "shop" / "bread").iterdir()] == ["a.jpg"]
    assert await blobs.get("shop/bread/a.jpg") == b"before"


async def test_of_blobs_that_could_not_be_written_together_nothing_unfinished_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync, synced = os.fsync, list[int]()

    def fails(descriptor: int) -> None:
        if synced:
            raise OSError(5, "Input/output error")
        synced.append(descriptor)
        sync(descriptor)

    blobs = Blobs(str(tmp_path / "blobs"))
    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(StorageError, match="Input/output error"):
        await blobs.put_all({"shop/a": b"a", "shop/b": b"b"})
    assert list((tmp_path / "blobs" / "shop").iterdir()) == []
