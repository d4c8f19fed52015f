"""Garbage: only what no record names and is old goes, also beside those who write and back up."""

import asyncio
import os
import random
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.redis_servers import Server
from tests.storage.conftest import classifier, shot

from handful.errors import StorageError
from handful.service.garbage import collect
from handful.storage.blobs import Blobs, digest_name
from handful.storage.ids import new_id
from handful.storage.migration import migrate_store
from handful.storage.open import open_store
from handful.storage.records import ClassifierRecord
from handful.storage.sqlite import SqliteStore
from handful.storage.store import Change, Store

pytestmark = pytest.mark.anyio

_DAY = timedelta(hours=24)


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(str(tmp_path / "blobs"))


@pytest.fixture(params=["sqlite", "redis"])
async def store(request, tmp_path, blobs, anyio_backend):
    url = f"sqlite:///{tmp_path}/store.sqlite"
    if request.param == "redis":
        server = request.getfixturevalue("redis_8")
        server.command("FLUSHALL")
        url = server.url
    opened = open_store(url, blobs)
    yield opened
    await opened.close()


def aged(blobs: Blobs, hours: float = 25) -> None:
    """Everything that lies there now was written that long ago."""
    then = time.time() - 3600 * hours
    for path in Path(blobs.url).rglob("*"):
        os.utime(path, (then, then))


async def put_picture(blobs: Blobs, record: ClassifierRecord, data: bytes = b"picture") -> str:
    name = digest_name(f"{record.tenant}/{record.id}/{new_id()}", data, "jpg")
    await blobs.put(name, data)
    return name


async def pictured(store: Store, blobs: Blobs, count: int = 2, **fields: object) -> ClassifierRecord:
    record = classifier(shot_count=count, **fields)
    shots = [shot(blob=await put_picture(blobs, record), blob_bytes=7) for _ in range(count)]
    await store.apply(Change(before=None, after=record, put_shots=shots))
    return record


async def pictures_in(blobs: Blobs, prefix: str = "") -> list[str]:
    return [name for name in await blobs.names(prefix) if name.endswith(".jpg")]


async def test_nothing_that_is_named_is_garbage(store: Store, blobs: Blobs) -> None:
    await pictured(store, blobs)
    await pictured(store, blobs, tenant="other")
    aged(blobs)
    report = await collect(store, blobs, older_than=_DAY, delete=True)
    there = [name for name in await blobs.names() if name != "store-id"]
    assert report.blobs == len(there) >= 4
    assert report.blob_bytes == sum([len(await blobs.get(name) or b"") for name in there])
    assert (report.gone, report.unnamed, report.unknown, report.removed) == (0, 0, 0, 0)
    assert len(await pictures_in(blobs)) == 4


async def test_what_nothing_names_is_found_by_a_dry_run_and_removed_by_another(
    store: Store, blobs: Blobs
) -> None:
    record = await pictured(store, blobs)
    named = await blobs.names()
    orphan = await put_picture(blobs, record, b"an orphan")
    gone = classifier()
    left = await put_picture(blobs, gone)
    segment = digest_name(f"shop/{gone.id}/support", b"rows", "seg")
    head = digest_name(f"shop/{record.id}/head-3", b"weights", "head")
    await blobs.put(segment, b"rows")
    await blobs.put(head, b"weights")
    (Path(blobs.url) / "shop" / record.id / ".part-0123").write_bytes(b"ha")
    aged(blobs)
    looked = await collect(store, blobs, older_than=_DAY, delete=False)
    assert (looked.gone, looked.unnamed, looked.unfinished, looked.removed) == (2, 2, 1, 0)
    assert looked.garbage_bytes == len("an orphanpicturerowsweightsha")
    assert set(await blobs.names()) == {*named, orphan, left, segment, head}
    report = await collect(store, blobs, older_than=_DAY, delete=True)
    assert (report.removed, report.removed_bytes) == (5, looked.garbage_bytes)
    assert await blobs.names() == named
    assert not (Path(blobs.url) / "shop" / gone.id).exists()
    again = await collect(store, blobs, older_than=_DAY, delete=True)
    assert (again.gone, again.unnamed, again.unfinished, again.removed) == (0, 0, 0, 0)


async def test_what_is_young_stays(store: Store, blobs: Blobs) -> None:
    record = await pictured(store, blobs)
    aged(blobs)
    young = await put_picture(blobs, record, b"on its way")
    report = await collect(store, blobs, older_than=_DAY, delete=True)
    assert (report.unnamed, report.young, report.removed) == (0, 1, 0)
    assert young in await blobs.names()
    aged(blobs, hours=2)
    assert (await collect(store, blobs, older_than=timedelta(hours=1), delete=True)).removed == 1


async def test_uploads_the_stores_id_and_what_is_unknown_stay(store: Store, blobs: Blobs) -> None:
    record = await pictured(store, blobs)
    folder = Path(blobs.url)
    strange = [
        "shop/notes.txt",
        f"shop/{record.id}/index.usearch",
        "shop/by-hand/a-0123456789abcdef.jpg",
        "x",
    ]
    for name in (*strange, "store-id", ".uploads/shop/01jd"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"12345")
    aged(blobs)
    there = sorted(path for path in folder.rglob("*") if path.is_file())
    report = await collect(store, blobs, older_than=_DAY, delete=True)
    assert (report.unknown, report.unknown_bytes, report.removed) == (4, 20, 0)
    assert sorted(report.unknown_names) == sorted(strange)
    assert sorted(path for path in folder.rglob("*") if path.is_file()) == there


async def test_a_blob_that_is_named_after_the_look_stays(
    store: Store, blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = await pictured(store, blobs)
    late = await put_picture(blobs, record)
    aged(blobs)
    look, looks = store.blob_names, 0

    async def named_in_between(tenant: str, id: str) -> frozenset[str] | None:
        nonlocal looks
        looks += 1
        found = await look(tenant, id)
        if looks == 1:
            after = replace(record, revision=2, shot_count=3)
            await store.apply(Change(before=record, after=after, put_shots=[shot(blob=late, blob_bytes=7)]))
        return found

    monkeypatch.setattr(store, "blob_names", named_in_between)
    report = await collect(store, blobs, older_than=_DAY, delete=True)
    assert (report.unnamed, report.removed) == (1, 0)
    assert late in await blobs.names()


async def test_what_a_backup_may_need_stays(store: Store, blobs: Blobs) -> None:
    record = await pictured(store, blobs)
    await put_picture(blobs, record)
    aged(blobs)
    await store.hold_trash(datetime.now(UTC) + timedelta(minutes=1))
    with pytest.raises(StorageError, match="backup is being taken"):
        await collect(store, blobs, older_than=_DAY, delete=True)
    assert len(await pictures_in(blobs)) == 3
    assert (await collect(store, blobs, older_than=_DAY, delete=False)).unnamed == 1


async def test_a_backup_that_begins_meanwhile_stops_it(
    store: Store, blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, deleted = await pictured(store, blobs), await pictured(store, blobs)
    aged(blobs)
    look, looks = store.blob_names, 0

    async def held_in_between(tenant: str, id: str) -> frozenset[str] | None:
        nonlocal looks
        if id == deleted.id:
            looks += 1
            if looks == 1:  # the backup begins, and only then the classifier goes
                await store.hold_trash(datetime.now(UTC) + timedelta(minutes=1))
                await store.apply(Change(before=deleted, after=None))
        return await look(tenant, id)

    monkeypatch.setattr(store, "blob_names", held_in_between)
    with pytest.raises(StorageError, match="backup is being taken"):
        await collect(store, blobs, older_than=_DAY, delete=True)
    assert len(await pictures_in(blobs, f"shop/{deleted.id}/")) == 2
    assert len(await pictures_in(blobs, f"shop/{kept.id}/")) == 2


async def test_the_blobs_of_another_store_are_left_alone(store: Store, blobs: Blobs, tmp_path: Path) -> None:
    await pictured(store, blobs)
    aged(blobs)
    other = open_store(f"sqlite:///{tmp_path}/other.sqlite")
    await other.apply(Change(before=None, after=classifier()))
    with pytest.raises(StorageError, match="knows none of the 1 classifiers"):
        await collect(other, blobs, older_than=_DAY, delete=True)
    assert len(await pictures_in(blobs)) == 2
    assert (await collect(other, blobs, older_than=_DAY, delete=True, anyway=True)).gone >= 2
    assert await pictures_in(blobs) == []
    await other.close()


async def test_a_store_that_was_moved_does_not_judge_the_blobs_it_shares(
    store: Store, blobs: Blobs, tmp_path: Path
) -> None:
    record = await pictured(store, blobs)
    target = open_store(f"sqlite:///{tmp_path}/target.sqlite")
    name = "sqlite:///old" if isinstance(store, SqliteStore) else "old"
    await migrate_store((name, store), ("new", target))
    after = replace(record, revision=2, shot_count=3)
    new = shot(blob=await put_picture(blobs, record), blob_bytes=7)
    await target.apply(Change(before=record, after=after, put_shots=[new]))
    aged(blobs)
    with pytest.raises(StorageError, match="copied to new, which shares the blobs"):
        await collect(store, blobs, older_than=_DAY, delete=True)
    if isinstance(store, SqliteStore):
        assert (await collect(target, blobs, older_than=_DAY, delete=True)).removed == 0
    else:  # whose shots lie among these blobs
        with pytest.raises(StorageError, match="filled from old, which keeps its shots"):
            await collect(target, blobs, older_than=_DAY, delete=True)
        assert await store.support("shop", record.id) is not None
        assert (await collect(target, blobs, older_than=_DAY, delete=True, anyway=True)).removed == 1
        assert (await collect(target, blobs, older_than=_DAY, delete=True)).removed == 0
    assert len(await pictures_in(blobs)) == 3
    await target.close()


async def test_a_store_that_is_half_filled_does_not_judge(
    store: Store, blobs: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        await pictured(store, blobs)
    aged(blobs)
    target = open_store(f"sqlite:///{tmp_path}/target.sqlite")
    apply, applied = target.apply, 0

    async def breaks(change: Change) -> None:
        nonlocal applied
        applied += 1
        if applied > 1:
            raise RuntimeError("killed")
        await apply(change)

    monkeypatch.setattr(target, "apply", breaks)
    with pytest.raises(RuntimeError, match="killed"):
        await migrate_store(("old", store), ("new", target))
    with pytest.raises(StorageError, match="migration from old into this store is not over"):
        await collect(target, blobs, older_than=_DAY, delete=True)
    assert len(await pictures_in(blobs)) == 6
    await target.close()


@pytest.mark.parametrize("store", ["redis"], indirect=True)
async def test_lists_and_counts_are_put_right_with_the_removal(
    store: Store, blobs: Blobs, redis_8: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handful.storage.redis.repair._SETTLED", 0.0)
    await pictured(store, blobs)
    right = await store.usage("shop")
    redis_8.command("HINCRBY", "hf:{shop}:usage", "shots", 9)
    redis_8.command("ZADD", "hf:{shop}:ids", 0, new_id())
    for delete in (False, True):
        report = await collect(store, blobs, older_than=_DAY, delete=delete)
        assert (report.dangling, report.miscounted) == (1, 1)
    assert await store.usage("shop") == right
    report = await collect(store, blobs, older_than=_DAY, delete=True)
    assert (report.dangling, report.miscounted) == (0, 0)


async def test_nothing_is_lost_beside_those_who_write(
    store: Store, blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writers, deleters and gc all at once, where everything counts as old but for the moment."""
    monkeypatch.setattr("handful.storage.redis.repair._SETTLED", 0.05)
    await pictured(store, blobs)
    stop = asyncio.Event()
    living: dict[str, ClassifierRecord] = {}

    async def write(seed: int) -> None:
        rng = random.Random(seed)
        while not stop.is_set():
            record = await pictured(store, blobs, rng.randrange(1, 4))
            living[record.id] = record
            for path in (Path(blobs.url) / "shop" / record.id).iterdir():
                os.utime(path, (0, 0))
            if rng.random() < 0.5:
                gone = living.pop(rng.choice(list(living)))
                await store.apply(Change(before=gone, after=None))
            await asyncio.sleep(0.003)  # else each round has more to look at than the one before

    writers = [asyncio.create_task(write(seed)) for seed in range(3)]
    removed = 0
    for _ in range(12):
        removed += (await collect(store, blobs, older_than=_DAY, delete=True)).removed
    stop.set()
    await asyncio.gather(*writers)
    assert removed > 0
    for record in living.values():
        named = await store.blob_names("shop", record.id)
        assert named
        assert set(await blobs.names(f"shop/{record.id}/")) == named
        assert await store.support("shop", record.id) is not None
