"""Backups: store and blobs as of one moment, whole or not there, and back."""

import asyncio
import json
import shutil
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.storage.conftest import classifier, shot

from handful.errors import StorageError
from handful.storage import backup as module
from handful.storage.backup import backup, restore
from handful.storage.blobs import Blobs, digest_name
from handful.storage.ids import new_id
from handful.storage.open import open_store
from handful.storage.records import ClassifierRecord
from handful.storage.store import Change, Store

pytestmark = pytest.mark.anyio


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(str(tmp_path / "blobs"))


async def pictured(store: Store, blobs: Blobs, count: int, tenant: str = "shop") -> ClassifierRecord:
    """A classifier with kept pictures."""
    record = classifier(tenant=tenant)
    shots = []
    for number in range(count):
        data = bytes([number]) * 100
        name = new_id()
        blob = digest_name(f"{tenant}/{record.id}/{name}", data, "jpg")
        await blobs.put(blob, data)
        shots.append(shot(id=name, blob=blob, blob_bytes=len(data)))
    record = replace(record, shot_count=count, image_bytes=100 * count)
    await store.apply(Change(before=None, after=record, put_shots=shots))
    return record


async def sweep(store: Store, blobs: Blobs) -> int:
    """As the service's upkeep does."""
    trash = await store.trash(1000)
    for one in trash:
        await blobs.remove(one.name)
    await store.forget_trash([one.id for one in trash])
    return len(trash)


async def test_what_is_restored_is_what_there_was(store: Store, blobs: Blobs, tmp_path: Path) -> None:
    record = await pictured(store, blobs, 5)
    gone = await pictured(store, blobs, 2)
    await store.apply(Change(before=gone, after=None))
    report = await backup(store, blobs, tmp_path / "backups" / "first")
    assert (report.classifiers, report.shots, report.blobs) == (1, 5, 5)
    file = tmp_path / "new" / "store.sqlite"
    placed = Blobs(str(tmp_path / "new" / "blobs"))
    assert await restore(tmp_path / "backups" / "first", file, placed) == report
    again = open_store(f"sqlite:///{file}")
    support = await again.support("shop", record.id)
    assert support == await store.support("shop", record.id)
    assert await again.usage("shop") == await store.usage("shop")
    names = sorted(str(one.blob) for one in (support.shots if support else ()))
    assert await placed.names() == names
    assert [await placed.get(name) for name in names] == [await blobs.get(name) for name in names]
    await again.close()
    assert [path.name for path in (tmp_path / "backups").iterdir()] == ["first"]


async def test_a_backup_is_of_one_moment_while_others_write_and_sweep(
    store: Store, blobs: Blobs, tmp_path: Path
) -> None:
    records = [await pictured(store, blobs, 4) for _ in range(15)]
    swept = 0

    async def churn() -> None:
        nonlocal swept
        for record in records:  # each is deleted, and another takes its place
            await store.apply(Change(before=record, after=None))
            await pictured(store, blobs, 4)
            swept += await sweep(store, blobs)

    churning = asyncio.create_task(churn())
    report = await backup(store, blobs, tmp_path / "backup")
    await churning
    file = tmp_path / "new" / "store.sqlite"
    assert await restore(tmp_path / "backup", file, Blobs(str(tmp_path / "new" / "blobs"))) == report
    assert report.blobs == 4 * report.classifiers
    assert report.classifiers in (14, 15, 16)  # one is gone between a deletion and its replacement
    await store.hold_trash(datetime.now(UTC) - timedelta(seconds=1))
    assert swept + await sweep(store, blobs) == 15


async def test_blobs_deleted_after_the_cut_stay_until_they_are_copied(
    store: Store, blobs: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = await pictured(store, blobs, 3)
    copy = module._copy

    async def late(source: Blobs, target: Blobs | None, name: str) -> None:
        now = await store.classifier("shop", record.id)
        if now is not None:
            await store.apply(Change(before=now, after=None))
        assert await sweep(store, blobs) == 0
        await copy(source, target, name)

    monkeypatch.setattr(module, "_copy", late)
    monkeypatch.setattr(module, "_TOGETHER", 1)
    assert (await backup(store, blobs, tmp_path / "backup")).blobs == 3
    assert await Blobs(str(tmp_path / "backup" / "blobs")).names() == await blobs.names()


async def test_one_backup_does_not_end_the_hold_of_another(
    store: Store, blobs: Blobs, tmp_path: Path
) -> None:
    record = await pictured(store, blobs, 1)
    await store.hold_trash(datetime.now(UTC) + timedelta(minutes=1))
    await backup(store, blobs, tmp_path / "backup")
    await store.apply(Change(before=record, after=None))
    assert await store.trash(9) == []


async def test_a_dry_run_says_the_same_and_leaves_nothing(store: Store, blobs: Blobs, tmp_path: Path) -> None:
    await pictured(store, blobs, 2)
    said = await backup(store, blobs, tmp_path / "backup", dry_run=True)
    assert not list(tmp_path.glob("*backup*"))
    assert await backup(store, blobs, tmp_path / "backup") == said
    file, placed = tmp_path / "new" / "store.sqlite", Blobs(str(tmp_path / "new" / "blobs"))
    assert await restore(tmp_path / "backup", file, placed, dry_run=True) == said
    assert not file.exists()
    assert await placed.names() == []


async def test_a_missing_picture_fails_the_backup_and_leaves_nothing(
    store: Store, blobs: Blobs, tmp_path: Path
) -> None:
    await pictured(store, blobs, 3)
    (name, *_) = await blobs.names()
    await blobs.remove(name)
    with pytest.raises(StorageError, match=name):
        await backup(store, blobs, tmp_path / "backup")
    assert not list(tmp_path.glob("*backup*"))


async def test_a_folder_that_is_there_is_left_alone(store: Store, blobs: Blobs, tmp_path: Path) -> None:
    (tmp_path / "backup").mkdir()
    with pytest.raises(StorageError, match="there already"):
        await backup(store, blobs, tmp_path / "backup")
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="cannot be written"):
        await backup(store, blobs, tmp_path / "file" / "backup")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda folder: (folder / "manifest.json").unlink(), "no whole backup"),
        (lambda folder: (folder / "manifest.json").write_text("[]"), "no whole backup"),
        (lambda folder: (folder / "store.sqlite").write_bytes(b"SQLite"), "was changed since"),
        (lambda folder: next(folder.rglob("*.jpg")).unlink(), "missing"),
        (lambda folder: next(folder.rglob("*.jpg")).write_bytes(b"?"), "damaged"),
        (lambda folder: shutil.rmtree(folder), "no whole backup"),
    ],
    ids=["no manifest", "another manifest", "another store", "a picture less", "another picture", "nothing"],
)
async def test_a_backup_that_is_not_whole_is_refused_and_no_store_shows(
    store: Store, blobs: Blobs, tmp_path: Path, harm, said: str
) -> None:
    await pictured(store, blobs, 2)
    await backup(store, blobs, tmp_path / "backup")
    harm(tmp_path / "backup")
    file, placed = tmp_path / "new" / "store.sqlite", Blobs(str(tmp_path / "new" / "blobs"))
    for dry_run in (True, False):
        with pytest.raises(StorageError, match=said):
            await restore(tmp_path / "backup", file, placed, dry_run=dry_run)
    assert not file.exists()


async def test_a_newer_backup_is_refused_by_name(store: Store, blobs: Blobs, tmp_path: Path) -> None:
    await backup(store, blobs, tmp_path / "backup")
    manifest = tmp_path / "backup" / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"format": "handful.backup/99"}))
    with pytest.raises(StorageError, match=r"handful\.backup/99; this build reads handful\.backup/1"):
        await restore(tmp_path / "backup", tmp_path / "store.sqlite", Blobs(str(tmp_path / "placed")))


@pytest.mark.parametrize("left", ["store.sqlite", "store.sqlite-wal", "store.sqlite-shm"])
async def test_nothing_is_restored_over_what_is_left_of_a_store(
    store: Store, blobs: Blobs, tmp_path: Path, left: str
) -> None:
    await backup(store, blobs, tmp_path / "backup")
    new = tmp_path / "new"
    new.mkdir()
    (new / left).write_bytes(b"old")
    with pytest.raises(StorageError, match=f"{left} already"):
        await restore(tmp_path / "backup", new / "store.sqlite", Blobs(str(new / "blobs")))
    assert (new / left).read_bytes() == b"old"


async def test_nothing_is_restored_among_other_blobs(store: Store, blobs: Blobs, tmp_path: Path) -> None:
    await pictured(store, blobs, 1)
    await backup(store, blobs, tmp_path / "backup")
    with pytest.raises(StorageError, match="blobs in"):
        await restore(tmp_path / "backup", tmp_path / "store.sqlite", blobs)


async def test_a_restored_store_is_a_sound_database(store: Store, blobs: Blobs, tmp_path: Path) -> None:
    await pictured(store, blobs, 3)
    await backup(store, blobs, tmp_path / "backup")
    file = tmp_path / "new" / "store.sqlite"
    await restore(tmp_path / "backup", file, Blobs(str(tmp_path / "new" / "blobs")))
    disk = sqlite3.connect(file)
    assert disk.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    disk.close()
