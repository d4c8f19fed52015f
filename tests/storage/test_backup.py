"""Backups: store and blobs as of one moment, whole or not there, and back."""

import asyncio
import json
import shutil
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from tests.storage.conftest import classifier, job, shot
from tests.storage.test_copying import contents, key, lived_in

from handful.errors import StorageError
from handful.storage import blob_copies
from handful.storage.backup import backup, restore, restore_into
from handful.storage.blobs import Blobs, digest_name
from handful.storage.copying import dump_store
from handful.storage.ids import new_id
from handful.storage.open import open_store
from handful.storage.records import ClassifierRecord, ClassRecord, Support
from handful.storage.store import Change, Store

pytestmark = pytest.mark.anyio


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
    record = replace(record, shot_count=count, image_bytes=100 * count, class_count=1, next_class=1)
    classes = [ClassRecord(key=0, name="roll", shots=count)]
    await store.apply(Change(before=None, after=record, put_classes=classes, put_shots=shots))
    return record


async def pictures_in(blobs: Blobs) -> list[str]:
    return [name for name in await blobs.names() if name.endswith(".jpg")]


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


async def test_a_backup_is_whole_while_others_write_and_sweep(
    store: Store, store_url: str, blobs: Blobs, tmp_path: Path
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
    if store_url.startswith("sqlite"):  # where one is gone between a deletion and its replacement
        assert report.classifiers in (14, 15, 16)
    await store.hold_trash(datetime.now(UTC) - timedelta(seconds=1))
    assert swept + await sweep(store, blobs) == 15


async def test_blobs_deleted_after_the_cut_stay_until_they_are_copied(
    store: Store, blobs: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = await pictured(store, blobs, 3)
    read = blob_copies._read

    async def late(place: Blobs, names: Sequence[str]) -> list[tuple[str, bytes | None]]:
        now = await store.classifier("shop", record.id)
        if now is not None:
            await store.apply(Change(before=now, after=None))
        assert await sweep(store, blobs) == 0
        return await read(place, names)

    monkeypatch.setattr(blob_copies, "_read", late)
    monkeypatch.setattr(blob_copies, "_TOGETHER", 1)
    assert (await backup(store, blobs, tmp_path / "backup")).blobs == 3
    assert await Blobs(str(tmp_path / "backup" / "blobs")).names() == await pictures_in(blobs)


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


async def test_pictures_that_are_missing_or_damaged_are_named_and_all_else_is_saved(
    store: Store, blobs: Blobs, tmp_path: Path
) -> None:
    record = await pictured(store, blobs, 4)
    missing, damaged, *others = await pictures_in(blobs)
    await blobs.remove(missing)
    (tmp_path / "blobs" / damaged).write_bytes(b"?")
    said = await backup(store, blobs, tmp_path / "dry", dry_run=True)
    report = await backup(store, blobs, tmp_path / "backup")
    for one in (said, report):
        assert sorted(one.missing) == [missing, damaged]
        assert (one.shots, one.blobs, one.whole) == (4, 2, False)
    file, placed = tmp_path / "new" / "store.sqlite", Blobs(str(tmp_path / "new" / "blobs"))
    assert await restore(tmp_path / "backup", file, placed) == report
    assert await placed.names() == others
    again = open_store(f"sqlite:///{file}")
    assert await again.support("shop", record.id) == await store.support("shop", record.id)
    await again.close()


async def test_a_classifier_that_cannot_be_read_is_named_and_all_else_is_saved(
    store: Store, blobs: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    harmed, sound = await pictured(store, blobs, 1), await pictured(store, blobs, 2)
    support = store.support

    async def damaged(tenant: str, id: str) -> Support | None:
        if id == harmed.id:
            raise StorageError("it is damaged")
        return await support(tenant, id)

    monkeypatch.setattr(store, "support", damaged)
    monkeypatch.setattr(store, "dump", partial(dump_store, store))  # as stores do that are no file
    report = await backup(store, blobs, tmp_path / "backup")
    assert report.lost == (f"classifier {harmed.id} of shop: it is damaged",)
    assert (report.classifiers, report.blobs, report.whole) == (1, 2, False)
    file = tmp_path / "new" / "store.sqlite"
    assert await restore(tmp_path / "backup", file, Blobs(str(tmp_path / "new" / "blobs"))) == report
    again = open_store(f"sqlite:///{file}")
    assert [one.id for one in await again.classifiers("shop", limit=9)] == [sound.id]
    await again.close()


async def test_a_place_of_blobs_that_is_away_fails_the_backup_and_leaves_nothing(
    store: Store, blobs: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await pictured(store, blobs, 3)

    async def away(name: str) -> bytes:
        raise StorageError(f"{name} cannot be read")

    monkeypatch.setattr(blobs, "get", away)
    with pytest.raises(StorageError, match="cannot be read"):
        await backup(store, blobs, tmp_path / "backup")
    assert not list(tmp_path.glob("*backup*"))


async def test_a_backup_of_any_store_is_restored_into_any_other(
    store: Store, blobs: Blobs, tmp_path: Path
) -> None:
    first, there = open_store(f"sqlite:///{tmp_path}/first.sqlite"), Blobs(str(tmp_path / "there"))
    record = await pictured(first, there, 3)
    await lived_in(first)
    (name, *_) = await pictures_in(there)
    await there.remove(name)
    taken = await backup(first, there, tmp_path / "first")
    target = ("the new store", store)
    assert await restore_into(tmp_path / "first", target, blobs, dry_run=True) == taken
    assert await contents(store) == {}
    assert await restore_into(tmp_path / "first", target, blobs) == taken
    assert await contents(store) == await contents(first)
    assert await store.keys() == await first.keys()
    assert await pictures_in(blobs) == await there.names()
    back = await backup(store, blobs, tmp_path / "back")
    assert replace(back, store_bytes=0) == replace(taken, store_bytes=0)
    placed = Blobs(str(tmp_path / "new" / "blobs"))
    await restore(tmp_path / "back", tmp_path / "new" / "store.sqlite", placed)
    again = open_store(f"sqlite:///{tmp_path}/new/store.sqlite")
    assert await contents(again) == await contents(first)
    assert await again.support("shop", record.id) == await first.support("shop", record.id)
    assert await placed.names() == await there.names()
    for one in (first, again):
        await one.close()


async def test_a_restore_into_a_store_goes_on_where_it_was_cut_off(
    store: Store, blobs: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, there = open_store(f"sqlite:///{tmp_path}/first.sqlite"), Blobs(str(tmp_path / "there"))
    for _ in range(4):
        await pictured(first, there, 2)
    await backup(first, there, tmp_path / "backup")
    apply, applied = store.apply, 0

    async def breaks(change: Change) -> None:
        nonlocal applied
        applied += 1
        if applied > 2:
            raise RuntimeError("killed")
        await apply(change)

    with monkeypatch.context() as broken:
        broken.setattr(store, "apply", breaks)
        with pytest.raises(RuntimeError, match="killed"):
            await restore_into(tmp_path / "backup", ("new", store), blobs)
    await restore_into(tmp_path / "backup", ("new", store), blobs)
    assert await contents(store) == await contents(first)
    assert await pictures_in(blobs) == await there.names()
    await first.close()


async def test_a_store_in_use_is_not_restored_into(store: Store, blobs: Blobs, tmp_path: Path) -> None:
    first, there = open_store(f"sqlite:///{tmp_path}/first.sqlite"), Blobs(str(tmp_path / "there"))
    await pictured(first, there, 1)
    await backup(first, there, tmp_path / "backup")
    record = classifier()
    await store.apply(Change(before=None, after=record))
    with pytest.raises(StorageError, match="holds classifiers already"):
        await restore_into(tmp_path / "backup", ("new", store), blobs)
    await pictured(store, blobs, 1)
    with pytest.raises(StorageError, match="there are blobs in"):
        await restore_into(tmp_path / "backup", ("new", store), blobs)
    assert record.id in {one.id for one in await store.classifiers("shop", limit=9)}
    assert len(await contents(store)) == 2
    await first.close()


async def test_keys_are_in_a_backup_and_jobs_only_in_that_of_a_file(
    store: Store, store_url: str, blobs: Blobs, tmp_path: Path
) -> None:
    await store.put_key(key("till"))
    waiting = job()
    await store.put_job(waiting)
    await backup(store, blobs, tmp_path / "backup")
    file = tmp_path / "new" / "store.sqlite"
    await restore(tmp_path / "backup", file, Blobs(str(tmp_path / "new" / "blobs")))
    again = open_store(f"sqlite:///{file}")
    assert await again.keys() == [key("till")]
    assert await again.job("shop", waiting.id) == (waiting if store_url.startswith("sqlite") else None)
    await again.close()


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
