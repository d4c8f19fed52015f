"""What lies in a place of blobs: found with size and age, and removed only when it is old."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from handful.errors import StorageError
from handful.storage.blobs import Blobs
from handful.storage.litter import Litter

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["folder", "memory"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    """In a folder, and in a place that is only reached through fsspec."""
    return Blobs({"folder": str(tmp_path / "blobs"), "memory": f"memory://{tmp_path}"}[request.param])


async def test_a_place_is_read_folder_by_folder(blobs: Blobs) -> None:
    for name in ("shop/bread/b.jpg", "shop/bread/a.jpg", "shop/bun/c.jpg", "other/rye/d.jpg", "top"):
        await blobs.put(name, name.encode())
    litter = Litter(blobs)
    assert await litter.folders() == ["other", "shop"]
    assert await litter.folders("shop/") == ["bread", "bun"]
    assert await litter.folders("shop/bread/") == []
    assert await litter.folders("none/") == []
    assert [one.name for one in await litter.files(deep=False)] == ["top"]
    assert [one.name for one in await litter.files("shop/", deep=False)] == []
    found = await litter.files("shop/")
    assert [(one.name, one.size) for one in found] == [
        ("shop/bread/a.jpg", 16),
        ("shop/bread/b.jpg", 16),
        ("shop/bun/c.jpg", 14),
    ]
    assert not any(one.unfinished for one in found)
    assert await litter.files("none/") == []


async def test_the_age_of_a_blob_is_told(blobs: Blobs) -> None:
    await blobs.put("shop/bread/a.jpg", b"x")
    (found,) = await Litter(blobs).files()
    assert found.written is not None
    assert abs(datetime.now(UTC) - found.written) < timedelta(minutes=1)


async def test_only_what_is_old_is_removed(blobs: Blobs) -> None:
    litter = Litter(blobs)
    await blobs.put("shop/bread/a.jpg", b"x")
    ago, later = (datetime.now(UTC) + timedelta(hours=hours) for hours in (-1, 1))
    assert not await litter.remove_old("shop/bread/a.jpg", ago)
    assert await blobs.get("shop/bread/a.jpg") == b"x"
    assert await litter.remove_old("shop/bread/a.jpg", later)
    assert await blobs.get("shop/bread/a.jpg") is None
    assert not await litter.remove_old("shop/bread/a.jpg", later)


async def test_what_is_written_between_look_and_removal_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = Blobs(str(tmp_path))
    await blobs.put("shop/bread/a.jpg", b"old")
    file = tmp_path / "shop" / "bread" / "a.jpg"
    os.utime(file, (0, 0))
    rename = Path.rename

    def late(self: Path, target: Path) -> Path:
        if self == file:
            os.utime(file)  # as another process does that puts it again
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", late)
    assert not await Litter(blobs).remove_old("shop/bread/a.jpg", datetime.now(UTC) - timedelta(hours=1))
    assert [one.name for one in await Litter(blobs).files()] == ["shop/bread/a.jpg"]


async def test_unfinished_files_and_folders_aside_are_told_apart(tmp_path: Path) -> None:
    blobs = Blobs(str(tmp_path))
    await blobs.put("shop/bread/a.jpg", b"x")
    (tmp_path / "shop" / "bread" / ".part-0123").write_bytes(b"ha")
    (tmp_path / ".uploads" / "shop").mkdir(parents=True)
    (tmp_path / ".uploads" / "shop" / "job").write_bytes(b"zip")
    litter = Litter(blobs)
    assert await litter.folders() == ["shop"]
    found = await litter.files("shop/bread/")
    assert [(one.name, one.unfinished) for one in found] == [
        ("shop/bread/.part-0123", True),
        ("shop/bread/a.jpg", False),
    ]
    assert await litter.remove_old("shop/bread/.part-0123", datetime.now(UTC) + timedelta(hours=1))


async def test_only_an_empty_folder_goes(tmp_path: Path) -> None:
    blobs = Blobs(str(tmp_path))
    await blobs.put("shop/bread/a.jpg", b"x")
    litter = Litter(blobs)
    await litter.remove_empty("shop/bread/")
    assert await blobs.names() == ["shop/bread/a.jpg"]
    await blobs.remove("shop/bread/a.jpg")
    await litter.remove_empty("shop/bread/")
    assert await litter.folders("shop/") == []
    await litter.remove_empty("shop/bread/")


async def test_a_place_that_cannot_be_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    litter = Litter(Blobs(str(tmp_path)))

    def fails(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(litter._files, "ls", fails)
    with pytest.raises(StorageError, match="Input/output error"):
        await litter.folders()
