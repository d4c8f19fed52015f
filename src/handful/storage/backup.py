"""Backups: store and blobs as of one moment, taken while the service runs.

store.sqlite     everything but pictures, whatever kind of store it was
blobs/           the pictures that it names
manifest.json    what is in it, what could not be read, and the digest of the store
"""

import asyncio
import hashlib
import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from handful.errors import StorageError, StorageFullError
from handful.folders import sync_folder
from handful.storage.blob_copies import Told, copy_blobs
from handful.storage.blobs import Blobs, no_room
from handful.storage.migration import migrate_store, migration_of
from handful.storage.sqlite import SqliteStore
from handful.storage.sqlite.failures import explained
from handful.storage.sqlite.schema import VERSION as SCHEMA
from handful.storage.store import Store

_FORMAT, VERSION = "handful.backup", 1
_STORE, _BLOBS, _MANIFEST = "store.sqlite", "blobs", "manifest.json"
_BESIDE = ("-wal", "-shm", "-journal")  # what SQLite keeps beside a store
_HOLD = timedelta(minutes=2)  # extended meanwhile
_SHARED = {"store-id"}  # blobs that are there although nothing is kept yet


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupReport:
    """What a backup holds, or would.

    missing : pictures that shots name and that were not there, or damaged.    lost : classifiers that could
    not be read, and why.
    """

    classifiers: int
    shots: int
    blobs: int
    store_bytes: int
    missing: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether nothing of what the store names was out of reach."""
        return not self.missing and not self.lost


async def backup(
    store: Store, blobs: Blobs, folder: Path, *, dry_run: bool = False, told: Told | None = None
) -> BackupReport:
    """Write a backup into a new folder; it is there with all that could be read, or not at all.

    Of a SQLite store it is of one moment; of another each classifier is, and jobs and replies are left out.
    Deletions of pictures wait meanwhile, in every process of the service.
    Raises StorageError where the folder is not new, or something cannot be read or written.
    """
    if folder.exists():
        raise StorageError(f"{folder} is there already; give the name of a new folder")
    with _worded(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        return await _backup(store, blobs, folder, made / "backup", dry_run, told)
    finally:
        await asyncio.to_thread(shutil.rmtree, made, ignore_errors=True)


async def _backup(
    store: Store, blobs: Blobs, folder: Path, fresh: Path, dry_run: bool, told: Told | None
) -> BackupReport:
    with _worded(folder):
        fresh.mkdir()
        async with _trash_held(store):
            lost = await store.dump(fresh / _STORE)
            report, names = await asyncio.to_thread(_look_into, fresh / _STORE)
            place = Blobs(str(fresh / _BLOBS))
            missing = await copy_blobs(blobs, None if dry_run else place, names, told)
            report = replace(
                report, blobs=len(names) - len(missing), missing=tuple(missing), lost=tuple(lost)
            )
        if dry_run:
            return report
        manifest = {
            "format": f"{_FORMAT}/{VERSION}",
            "schema": SCHEMA,
            "made": datetime.now(UTC).isoformat(),
            "store_sha256": await asyncio.to_thread(_digest, fresh / _STORE),
            **asdict(report),
        }
        await asyncio.to_thread(_finish, fresh, manifest)
        fresh.rename(folder)
        sync_folder(folder.parent)
    return report


async def restore(
    folder: Path, store_file: Path, blobs: Blobs, *, dry_run: bool = False, told: Told | None = None
) -> BackupReport:
    """Put a backup where no store is yet. Everything is verified before the store shows.

    store_file : of the SQLite store.    blobs : where pictures go, empty.
    Raises StorageError for a backup that is not whole, and for a place that is not empty.
    """
    # SQLite would read a journal that a lost store left behind into the restored one.
    for there in (store_file, *(store_file.with_name(store_file.name + end) for end in _BESIDE)):
        if there.exists():
            raise StorageError(f"there is a store in {there} already; restore into a new data folder")
    await _check_empty(blobs)
    report, names = await _verified(folder)
    missing = await copy_blobs(Blobs(str(folder / _BLOBS)), None if dry_run else blobs, names, told)
    _check_copied(missing, folder)
    if not dry_run:
        with _worded(store_file):
            await asyncio.to_thread(_place, folder / _STORE, store_file)
    return report


async def restore_into(
    folder: Path,
    target: tuple[str, Store],
    blobs: Blobs,
    *,
    dry_run: bool = False,
    told: Told | None = None,
) -> BackupReport:
    """Copy a backup into a store of any kind, which is empty; one that was cut off goes on where it was.

    target : what the store is called in errors, and the store.    blobs : its own, without pictures.
    Jobs and replies stay behind. Raises StorageError as `restore`.
    """
    report, names = await _verified(folder)
    if await migration_of(target[1]) is None:
        await _check_empty(blobs)
    source = Blobs(str(folder / _BLOBS))
    _check_copied(await copy_blobs(source, None, names), folder)
    name = f"the backup with {str((await asyncio.to_thread(_manifest, folder))['store_sha256'])[:16]}"
    with tempfile.TemporaryDirectory() as place:  # opening may change it
        await asyncio.to_thread(shutil.copyfile, folder / _STORE, Path(place) / _STORE)
        opened = SqliteStore(Path(place) / _STORE)
        try:
            copied = await migrate_store(
                (name, opened),
                target,
                pictures=(source, blobs),
                leave_jobs=True,
                dry_run=dry_run,
                told=told,
            )
        finally:
            await opened.close()
    if copied.failures:
        first = copied.failures[0]
        raise StorageError(
            f"{len(copied.failures)} classifiers could not be restored, such as {first.id} of "
            f"{first.tenant}: {first.reason}"
        )
    return report


async def _verified(folder: Path) -> tuple[BackupReport, list[str]]:
    """What a backup holds, and the names of its pictures. Raises StorageError where it is not whole."""
    manifest = await asyncio.to_thread(_manifest, folder)
    if await asyncio.to_thread(_digest, folder / _STORE) != manifest["store_sha256"]:
        raise StorageError(f"{folder / _STORE} was changed since the backup; use another backup")
    report, named = await asyncio.to_thread(_look_into, folder / _STORE)
    missing, lost = (tuple(str(one) for one in _list(manifest, key)) for key in ("missing", "lost"))
    never = set(missing)
    names = [name for name in named if name not in never]
    gone = sorted(set(names) - set(await Blobs(str(folder / _BLOBS)).names()))
    if gone:
        raise StorageError(f"{gone[0]} and {len(gone) - 1} more pictures are missing in {folder}")
    return replace(report, blobs=len(names), missing=missing, lost=lost), names


async def _check_empty(blobs: Blobs) -> None:
    if set(await blobs.names()) - _SHARED:
        raise StorageError(f"there are blobs in {blobs.url} already; restore into a new data folder")


def _check_copied(missing: Sequence[str], folder: Path) -> None:
    if missing:
        raise StorageError(f"{missing[0]} in {folder} is damaged; use another backup")


@asynccontextmanager
async def _trash_held(store: Store) -> AsyncIterator[None]:
    """No blob is removed meanwhile. The hold ends by itself: another backup may need it for longer."""

    async def hold() -> None:
        await store.hold_trash(datetime.now(UTC) + _HOLD)

    async def go_on() -> None:
        while True:
            await asyncio.sleep(_HOLD.total_seconds() / 4)
            await hold()

    await hold()
    going = asyncio.create_task(go_on())
    try:
        yield
    finally:
        going.cancel()
        await asyncio.gather(going, return_exceptions=True)


@contextmanager
def _worded(place: Path) -> Iterator[None]:
    try:
        yield
    except StorageError:
        raise
    except OSError as exc:
        if no_room(exc):
            raise StorageFullError(f"no room is left for {place}; nothing is there: free some") from exc
        raise StorageError(
            f"{place} cannot be written ({exc}); check that its folder is there and may be written"
        ) from exc


def _look_into(file: Path) -> tuple[BackupReport, list[str]]:
    """What a store holds, and the blobs that it names."""
    with explained(file), closing(sqlite3.connect(f"file:{file}?mode=ro&immutable=1", uri=True)) as disk:
        (health,) = disk.execute("PRAGMA quick_check(1)").fetchone()
        if health != "ok":
            raise StorageError(f"the store in {file} is damaged ({health}); use another backup")
        (schema,) = disk.execute("PRAGMA user_version").fetchone()
        if schema > SCHEMA:
            raise StorageError(f"{file} has schema {schema}, newer than {SCHEMA}; upgrade Handful")
        living = "FROM shots WHERE classifier IN (SELECT pk FROM classifiers)"
        classifiers, shots = (
            disk.execute(sql).fetchone()[0]
            for sql in ("SELECT count(*) FROM classifiers", f"SELECT count(*) {living}")
        )
        names = [name for (name,) in disk.execute(f"SELECT blob {living} AND blob IS NOT NULL ORDER BY blob")]
    report = BackupReport(
        classifiers=classifiers, shots=shots, blobs=len(names), store_bytes=file.stat().st_size
    )
    return report, names


def _manifest(folder: Path) -> dict[str, object]:
    try:
        said = json.loads((folder / _MANIFEST).read_bytes())
        kind, _, number = str(said["format"]).rpartition("/")
        newer = int(number) > VERSION
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise StorageError(f"{folder} holds no whole backup ({exc}); give the folder of one") from exc
    if kind != _FORMAT or newer:
        raise StorageError(f"{folder} holds a {said['format']}; this build reads {_FORMAT}/{VERSION}")
    if not isinstance(said, dict):
        raise StorageError(f"{folder} holds no whole backup; give the folder of one")
    return said


def _list(manifest: dict[str, object], key: str) -> list[object]:
    told = manifest.get(key, [])
    return told if isinstance(told, list) else []


def _finish(fresh: Path, manifest: dict[str, object]) -> None:
    with (fresh / _MANIFEST).open("w", encoding="utf-8") as file:
        json.dump(manifest, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    with (fresh / _STORE).open("rb+") as stored:
        os.fsync(stored.fileno())
    sync_folder(fresh)


def _place(source: Path, target: Path) -> None:
    """Copy durably under another name, then give it its own."""
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{target.name}.restoring")
    shutil.copyfile(source, unfinished)
    with unfinished.open("rb+") as file:
        os.fsync(file.fileno())
    unfinished.rename(target)
    sync_folder(target.parent)


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
