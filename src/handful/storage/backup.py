"""Backups: store and blobs as of one moment, taken while the service runs.

store.sqlite     everything but pictures
blobs/           the pictures that it names
manifest.json    what is in it, and the digest of the store
"""

import asyncio
import hashlib
import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from handful.errors import StorageError, StorageFullError
from handful.folders import sync_folder
from handful.storage.blobs import Blobs, no_room
from handful.storage.sqlite.failures import explained
from handful.storage.sqlite.schema import VERSION as SCHEMA
from handful.storage.store import Store

_FORMAT, VERSION = "handful.backup", 1
_STORE, _BLOBS, _MANIFEST = "store.sqlite", "blobs", "manifest.json"
_BESIDE = ("-wal", "-shm", "-journal")  # what SQLite keeps beside a store
_HOLD = timedelta(minutes=2)  # extended meanwhile
_TOGETHER = 64  # blobs copied at once


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupReport:
    """What a backup holds, or would."""

    classifiers: int
    shots: int
    blobs: int
    store_bytes: int


Told = Callable[[int, int], None]  # blobs done, of how many


async def backup(
    store: Store, blobs: Blobs, folder: Path, *, dry_run: bool = False, told: Told | None = None
) -> BackupReport:
    """Write a backup into a new folder; it is there as a whole, or not at all.

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
            await store.dump(fresh / _STORE)
            report, names = await asyncio.to_thread(_look_into, fresh / _STORE)
            if dry_run:
                return report
            await _copy_all(blobs, Blobs(str(fresh / _BLOBS)), names, told)
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
    manifest = await asyncio.to_thread(_manifest, folder)
    # SQLite would read a journal that a lost store left behind into the restored one.
    for there in (store_file, *(store_file.with_name(store_file.name + end) for end in _BESIDE)):
        if there.exists():
            raise StorageError(f"there is a store in {there} already; restore into a new data folder")
    if await blobs.names():
        raise StorageError(f"there are blobs in {blobs.url} already; restore into a new data folder")
    if await asyncio.to_thread(_digest, folder / _STORE) != manifest["store_sha256"]:
        raise StorageError(f"{folder / _STORE} was changed since the backup; use another backup")
    report, names = await asyncio.to_thread(_look_into, folder / _STORE)
    source = Blobs(str(folder / _BLOBS))
    missing = sorted(set(names) - set(await source.names()))
    if missing:
        raise StorageError(f"{missing[0]} and {len(missing) - 1} more pictures are missing in {folder}")
    await _copy_all(source, None if dry_run else blobs, names, told)
    if not dry_run:
        with _worded(store_file):
            await asyncio.to_thread(_place, folder / _STORE, store_file)
    return report


async def _copy_all(source: Blobs, target: Blobs | None, names: Sequence[str], told: Told | None) -> None:
    """None is under way any more when this returns or raises."""
    for start in range(0, len(names), _TOGETHER):
        some = names[start : start + _TOGETHER]
        copies = (_copy(source, target, name) for name in some)
        for failure in await asyncio.gather(*copies, return_exceptions=True):
            if failure is not None:
                raise failure
        if told is not None:
            told(start + len(some), len(names))


async def _copy(source: Blobs, target: Blobs | None, name: str) -> None:
    """`get` checks the digest in the name.    target : None only checks."""
    data = await source.get(name)
    if data is None:
        raise StorageError(f"the picture {name} is missing, though the store names it")
    if target is not None:
        await target.put(name, data)


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
