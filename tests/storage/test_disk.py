"""A disk that is full, or may not be written: nothing is half-written, and it goes on once there is room."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from tests.storage.conftest import classifier, shot

from handful.errors import StorageError, StorageFullError
from handful.storage.backup import backup
from handful.storage.blobs import Blobs
from handful.storage.open import open_store
from handful.storage.store import Change

pytestmark = pytest.mark.anyio


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", place], capture_output=True)
    if made.returncode:
        pytest.skip("a small disk is mounted by root only")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


@pytest.fixture
def read_only(disk: Path) -> Callable[[], None]:
    """Make the disk one that is only read."""
    return lambda: subprocess.run(["mount", "-o", "remount,ro", disk], check=True) and None


def fill(disk: Path, leave: int = 0) -> Path:
    """Write until nothing more fits, but for `leave` bytes."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    os.truncate(filler, max(0, filler.stat().st_size - leave))
    return filler


async def test_a_full_disk_refuses_a_write_by_name_and_the_store_goes_on_when_there_is_room(
    disk: Path,
) -> None:
    store = open_store(f"sqlite:///{disk}/store.sqlite")
    record = classifier()
    await store.apply(Change(before=None, after=record))
    filler = fill(disk)
    after = replace(record, revision=2, shot_count=1)
    large = Change(before=record, after=after, put_shots=[shot(rows=bytes(300_000))])
    for _ in range(3):
        with pytest.raises(StorageFullError, match=r"no room is left .* free some"):
            await store.apply(large)
    assert await store.classifier("shop", record.id) == record
    assert await store.shots("shop", record.id, limit=9) == []
    filler.unlink()
    await store.apply(large)
    assert await store.classifier("shop", record.id) == after
    await store.close()


async def test_a_write_too_large_for_the_room_left_takes_no_smaller_one_with_it(disk: Path) -> None:
    store = open_store(f"sqlite:///{disk}/store.sqlite")
    record = classifier()
    await store.apply(Change(before=None, after=record))
    fill(disk, leave=300_000)
    large = Change(before=record, after=replace(record, revision=2), put_shots=[shot(rows=bytes(900_000))])
    small = [classifier() for _ in range(5)]
    changes = [Change(before=None, after=one) for one in small]
    outcomes = await asyncio.gather(
        *(store.apply(one) for one in (*changes[:2], large, *changes[2:])), return_exceptions=True
    )
    assert [type(one) for one in outcomes] == [type(None)] * 2 + [StorageFullError] + [type(None)] * 3
    assert [one.id for one in await store.classifiers("shop", limit=9)] == [
        one.id for one in (record, *small)
    ]
    await store.close()


async def test_a_full_disk_refuses_a_blob_by_name_and_leaves_none(disk: Path) -> None:
    blobs = Blobs(str(disk / "blobs"))
    await blobs.put("shop/bread/a.jpg", b"x")
    filler = fill(disk)
    with pytest.raises(StorageFullError, match="no room is left for blobs"):
        await blobs.put("shop/bread/b.jpg", bytes(100_000))
    assert [path.name for path in (disk / "blobs" / "shop" / "bread").iterdir()] == ["a.jpg"]
    filler.unlink()
    await blobs.put("shop/bread/b.jpg", bytes(100_000))
    assert await blobs.get("shop/bread/b.jpg") == bytes(100_000)


async def test_a_backup_that_does_not_fit_names_its_own_place_and_leaves_nothing(
    disk: Path, tmp_path: Path
) -> None:
    store, blobs = open_store(f"sqlite:///{tmp_path}/store.sqlite"), Blobs(str(tmp_path / "blobs"))
    fill(disk, leave=50_000)
    with pytest.raises(StorageFullError, match=str(disk)):
        await backup(store, blobs, disk / "backup")
    assert [path.name for path in disk.iterdir()] == ["filler"]
    await store.close()


async def test_a_disk_that_may_only_be_read_says_so(disk: Path, read_only: Callable[[], None]) -> None:
    url, blobs = f"sqlite:///{disk}/store.sqlite", Blobs(str(disk / "blobs"))
    await blobs.put("shop/bread/a.jpg", b"x")
    await open_store(url).close()
    read_only()
    with pytest.raises(StorageError, match=r"writable|permissions"):
        open_store(url)
    with pytest.raises(StorageError, match="Read-only"):
        await blobs.put("shop/bread/b.jpg", b"x")
    with pytest.raises(StorageError, match="Read-only"):
        await blobs.remove("shop/bread/a.jpg")
    assert await blobs.get("shop/bread/a.jpg") == b"x"
    with pytest.raises(StorageError, match="Read-only"):
        open_store(f"sqlite:///{disk}/new/store.sqlite")


async def test_a_limit_on_the_size_of_files_refuses_a_blob_as_a_full_disk_does(tmp_path: Path) -> None:
    code = """
import asyncio, resource, sys
from handful.errors import StorageFullError
from handful.storage.blobs import Blobs
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    asyncio.run(Blobs(sys.argv[1]).put("shop/bread/a.jpg", bytes(20_000)))
except StorageFullError:
    sys.exit(7)
"""
    ran = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert ran.returncode == 7
    assert list((tmp_path / "shop" / "bread").iterdir()) == []
