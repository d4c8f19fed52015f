"""All classifiers and keys of one store into another, whatever kinds they are of, verified by digests."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from handful.errors import ConflictError, StorageError, StorageFullError
from handful.storage.blob_copies import copy_blobs
from handful.storage.blobs import Blobs
from handful.storage.records import ClassifierRecord
from handful.storage.snapshots import Snapshot, catching_up, creation, snapshot
from handful.storage.sqlite import SqliteStore
from handful.storage.sqlite.failures import explained
from handful.storage.store import Change, Store
from handful.storage.walking import all_tenants, pairs

Told = Callable[[int, int], None]  # classifiers done, of about how many

_ROOM = 16_000  # shots and classes in memory at once; a classifier of more goes alone
_ALWAYS = 500  # as many of them does the smallest classifier count for: so many are copied at once
_TRIES = 5  # readings of a classifier whose pictures go meanwhile


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyFailure:
    """A classifier that is not in the target as it is in the source."""

    tenant: str
    id: str
    reason: str


@dataclass(slots=True, kw_only=True)
class CopyReport:
    """What was copied, or would be.

    classifiers, updated, same, removed : made anew; brought up; already there; taken away since the source
    has them no longer.    shots, heads : written.    pictures : copied, where the places differ.
    missing : pictures that records name and that are not there, or damaged.
    """

    classifiers: int = 0
    updated: int = 0
    same: int = 0
    removed: int = 0
    shots: int = 0
    heads: int = 0
    keys: int = 0
    pictures: int = 0
    missing: list[str]
    failures: list[CopyFailure]

    @property
    def whole(self) -> bool:
        """Whether every classifier is in the target as it is in the source."""
        return not self.failures


async def copy_store(
    source: Store,
    target: Store,
    *,
    pictures: tuple[Blobs, Blobs] | None = None,
    dry_run: bool = False,
    told: Told | None = None,
) -> CopyReport:
    """Make the target hold the classifiers and keys that the source holds; jobs and replies are not copied.

    What is there already, by its digest, stays as it is, so that a copy that was cut off can be gone on with;
    an older state is brought up, and classifiers that the source has no longer are removed. Each is of one
    revision, also while others write to the source; all together are not of one moment.
    pictures : the places of kept pictures of source and target where they differ.
    Raises StorageError, StorageFullError where either cannot be read or written at all; what is wrong with
    single classifiers is in the report.
    """
    return await _Copy(source, target, pictures, dry_run, told).run()


async def dump_store(source: Store, file: Path) -> list[str]:
    """Copy a store of any kind into a new SQLite file; what could not be read, in words. See Store.dump."""
    target = SqliteStore(file)
    try:
        report = await copy_store(source, target)
    finally:
        await target.close()

    def finish() -> None:
        with explained(file), closing(sqlite3.connect(file)) as disk:
            disk.execute("PRAGMA journal_mode = DELETE")  # all is in the one file, nothing beside it

    await asyncio.to_thread(finish)
    return [f"classifier {one.id} of {one.tenant}: {one.reason}" for one in report.failures]


class _Copy:
    def __init__(
        self,
        source: Store,
        target: Store,
        pictures: tuple[Blobs, Blobs] | None,
        dry_run: bool,
        told: Told | None,
    ) -> None:
        self._source = source
        self._target = target
        self._pictures = pictures
        self._dry = dry_run
        self._told = told
        self._room = _Room(_ROOM)
        self._report = CopyReport(missing=[], failures=[])
        self._done = 0
        self._total = 0

    async def run(self) -> CopyReport:
        await self._copy_keys()
        async for tenant in all_tenants(self._source):
            self._total += (await self._source.usage(tenant)).classifiers
        try:
            async with asyncio.TaskGroup() as group:
                async for mine, theirs in pairs(self._source, self._target):
                    size = max(_size(mine), _size(theirs))
                    await self._room.take(size)
                    group.create_task(self._one(mine, theirs, size))
        except ExceptionGroup as exc:
            raise exc.exceptions[0] from exc
        return self._report

    async def _copy_keys(self) -> None:
        for key in await self._source.keys():
            there = await self._target.key(key.id)
            if there == key:
                continue
            self._report.keys += 1
            if not self._dry:
                await self._target.put_key(key, before=there)

    async def _one(self, mine: ClassifierRecord | None, theirs: ClassifierRecord | None, size: int) -> None:
        record = mine or theirs
        if record is None:
            raise ValueError("a pair has one of both")
        try:
            await self._settle(record.tenant, record.id, theirs)
        except StorageFullError:
            raise
        except (StorageError, ConflictError) as exc:
            await self._source.check()  # if one of them is away, that is what is wrong
            await self._target.check()
            self._report.failures.append(CopyFailure(tenant=record.tenant, id=record.id, reason=str(exc)))
        finally:
            await self._room.give(size)
        self._done += 1
        if self._told is not None:
            self._told(self._done, max(self._done, self._total))

    async def _settle(self, tenant: str, id: str, theirs: ClassifierRecord | None) -> None:
        whole = await self._with_pictures(tenant, id)
        if whole is None:
            await self._remove(theirs)
            return
        there = None if theirs is None else await snapshot(self._target, tenant, id)
        if there is None:
            await self._write(whole, [creation(whole)])
            self._report.classifiers += 1
        elif there.digest(made_again=False) == whole.digest(made_again=False):
            self._report.same += 1
        elif there.record.revision < whole.record.revision:
            await self._write(whole, catching_up(there, whole))
            self._report.updated += 1
        else:
            raise StorageError(
                f"the target has revision {there.record.revision} of it with other content, the source "
                f"{whole.record.revision}; somebody wrote to the target: copy into an empty one"
            )

    async def _with_pictures(self, tenant: str, id: str) -> Snapshot | None:
        """The classifier once its pictures are in the target's place."""
        lost: list[str] = []
        for _ in range(_TRIES):
            whole = await snapshot(self._source, tenant, id)
            if whole is None or self._pictures is None:
                return whole
            source, target = self._pictures
            there = set(await target.names(f"{tenant}/{id}/"))
            wanted = [name for name in whole.pictures if name not in there]
            lost = await copy_blobs(source, None if self._dry else target, wanted)
            self._report.pictures += len(wanted) - len(lost)
            if not lost or await self._source.classifier(tenant, id) == whole.record:
                break  # otherwise they may have been deleted meanwhile
        self._report.missing.extend(lost)
        return whole

    async def _remove(self, theirs: ClassifierRecord | None) -> None:
        if theirs is None:  # created and deleted again meanwhile
            return
        if not self._dry:
            await self._target.apply(Change(before=theirs, after=None))
        self._report.removed += 1

    async def _write(self, whole: Snapshot, changes: list[Change]) -> None:
        for change in changes:
            self._report.shots += len(change.put_shots)
            self._report.heads += len(change.put_heads)
            if not self._dry:
                await self._target.apply(change)
        if self._dry:
            return
        back = await snapshot(self._target, whole.record.tenant, whole.record.id)
        if back is None or back.digest() != whole.digest():
            raise StorageError("it reads otherwise from the target than it was written; look at its disk")


class _Room:
    """Lets in as much as fits at once; what is larger than all of it, alone."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken = 0
        self._changed = asyncio.Condition()

    async def take(self, size: int) -> None:
        size = min(size, self._most)
        async with self._changed:
            await self._changed.wait_for(lambda: self._taken + size <= self._most)
            self._taken += size

    async def give(self, size: int) -> None:
        async with self._changed:
            self._taken -= min(size, self._most)
            self._changed.notify_all()


def _size(record: ClassifierRecord | None) -> int:
    return 0 if record is None else _ALWAYS + record.shot_count + record.class_count
