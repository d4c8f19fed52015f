"""A service's store moved to another: safe to break off and go on with, safe against the wrong target.

What the target notes about it ("migration") tells a copy that was cut off from a store that is in use; what
the source notes ("moved") keeps `handful gc` there from removing what only the target still names.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

import msgspec

from handful.errors import StorageError
from handful.storage.blobs import Blobs
from handful.storage.copying import CopyReport, Told, copy_store
from handful.storage.store import Store
from handful.storage.walking import pairs

_MIGRATION, _MOVED = "migration", "moved"
_AHEAD = timedelta(seconds=10)  # noted for the time until the next note
_SQLITE = "sqlite:///"


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """What a store notes about how it was filled.

    source : from where, without passwords.    shared : whether both have one place for blobs.
    started, alive : of the last run: until `alive` it may have written.    over : whether that run copied
    everything.
    """

    source: str
    shared: bool
    started: datetime
    alive: datetime
    over: bool

    @property
    def needs_blobs(self) -> bool:
        """Whether the source keeps shots of its own among the blobs that both have."""
        return self.shared and not self.source.startswith(_SQLITE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What a store notes once its classifiers are in another that shares its blobs.    target : which."""

    target: str
    since: datetime


async def migration_of(store: Store) -> Migration | None:
    """How the store was filled, if by a migration."""
    data = await store.note(_MIGRATION)
    return None if data is None else msgspec.json.decode(data, type=Migration)


async def forget_migration(store: Store) -> None:
    """The source is needed no more."""
    await store.put_note(_MIGRATION, None)


async def moved_from(store: Store) -> Moved | None:
    """Where its classifiers were copied, if the blobs are shared with that store."""
    data = await store.note(_MOVED)
    return None if data is None else msgspec.json.decode(data, type=Moved)


async def migrate_store(
    source: tuple[str, Store],
    target: tuple[str, Store],
    *,
    pictures: tuple[Blobs, Blobs] | None = None,
    leave_jobs: bool = False,
    dry_run: bool = False,
    told: Told | None = None,
) -> CopyReport:
    """Fill a target that is empty, or that an earlier run from the same source filled and nobody used since.

    source, target : what each is called in notes and errors (`plain_url`), and the store.
    pictures : as for `copy_store`; None where both share a place.
    leave_jobs : copy although jobs are not over, which the target will not know.
    Raises StorageError for a target that holds anything else, and as `copy_store`.
    """
    (source_name, here), (target_name, there) = source, target
    await here.check()
    await there.check()
    left = await here.jobs_left()
    if left and not leave_jobs:
        raise StorageError(
            f"jobs of {source_name} that are not over: {left}; they are not copied: let the service finish "
            "or cancel them, or leave them behind with --leave-jobs"
        )
    before = await migration_of(there)
    await _check_target(here, there, before, source_name, target_name)
    if dry_run:
        return await copy_store(here, there, pictures=pictures, dry_run=True, told=told)
    async with _noted(there, source_name, shared=pictures is None) as done:
        report = await copy_store(here, there, pictures=pictures, told=told)
        done.append(report.whole)
    if report.whole and pictures is None:
        moved = Moved(target=target_name, since=datetime.now(UTC))
        await here.put_note(_MOVED, msgspec.json.encode(moved))
    return report


def plain_url(url: str) -> str:
    """A store's URL as it may be shown and compared: without user and password, a file by its whole path.

    >>> plain_url("redis://app:secret@db:6379/0")
    'redis://db:6379/0'
    """
    if url.startswith(_SQLITE):
        return _SQLITE + str(Path(unquote(url.removeprefix(_SQLITE))).resolve())
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment=""))


async def _check_target(
    here: Store, there: Store, before: Migration | None, source: str, target: str
) -> None:
    """Raises StorageError unless all that the target holds is from this source, as it was copied."""
    if before is None:
        async for _ in pairs(there, there):
            raise StorageError(
                f"{target} holds classifiers already, none of them from a migration; give an empty store"
            )
        return
    if before.source != source:
        raise StorageError(
            f"{target} was filled from {before.source}, not from {source}; give an empty store"
        )
    async for mine, theirs in pairs(here, there):
        if theirs is not None and theirs.updated > before.alive:
            raise StorageError(
                f"classifier {theirs.id} of {theirs.tenant} was written to in {target} since it was copied "
                f"there, at {theirs.updated:%Y-%m-%d %H:%M:%S %Z}; {target} is in use: give an empty store"
            )
        if before.over and theirs is None and mine is not None and mine.updated < before.started:
            raise StorageError(
                f"classifier {mine.id} of {mine.tenant} was copied to {target} and is gone there; {target} "
                "is in use: give an empty store"
            )


@asynccontextmanager
async def _noted(there: Store, source: str, *, shared: bool) -> AsyncIterator[list[bool]]:
    """The target knows meanwhile that it is being filled, and afterwards whether it was."""
    started = datetime.now(UTC)

    async def note(alive: datetime, over: bool) -> None:
        told = Migration(source=source, shared=shared, started=started, alive=alive, over=over)
        await there.put_note(_MIGRATION, msgspec.json.encode(told))

    async def go_on() -> None:
        while True:
            await note(datetime.now(UTC) + _AHEAD, over=False)
            await asyncio.sleep(_AHEAD.total_seconds() / 3)

    await note(datetime.now(UTC) + _AHEAD, over=False)
    going = asyncio.create_task(go_on())
    outcome: list[bool] = []
    try:
        yield outcome
    finally:
        going.cancel()
        await asyncio.gather(going, return_exceptions=True)
    await note(datetime.now(UTC), over=outcome == [True])
