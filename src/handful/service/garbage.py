"""Garbage: blobs that no record names, found and removed beside a running service."""

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from handful.errors import StorageError
from handful.storage.blobs import Blobs
from handful.storage.litter import Litter, Lying
from handful.storage.migration import forget_migration, migration_of, moved_from
from handful.storage.records import Usage
from handful.storage.store import Store
from handful.storage.walking import all_tenants

Told = Callable[[int, int], None]  # classifiers looked at, of how many in the folder of a tenant

_CLASSIFIER = re.compile(r"[0-9a-hjkmnp-tv-z]{26}")
_BLOB = re.compile(r"[A-Za-z0-9_.\-]+-[0-9a-f]{16}\.(jpg|seg|head)")  # pictures, segments of shots, old heads
_STORE_ID = "store-id"
_TOGETHER = 16  # classifiers looked at at once
_NAMED = 100  # unknown names that are listed


@dataclass(slots=True, kw_only=True)
class GarbageReport:
    """What was found, and removed where that was asked for; sizes in bytes.

    blobs, blob_bytes : of classifiers, looked at.    gone : garbage of classifiers that are gone; unnamed :
    of living ones; unfinished : of writers that were killed; garbage_bytes : of all three.
    young : unnamed, but too young to tell.    removed, removed_bytes : what went.
    unknown : files of no kind that is known here, which stay; the first of them by name.
    dangling : names in lists that are no classifiers.    miscounted : tenants that more, or less, was counted
    for than they hold. Both are put right with the removal.
    """

    blobs: int = 0
    blob_bytes: int = 0
    gone: int = 0
    unnamed: int = 0
    unfinished: int = 0
    garbage_bytes: int = 0
    young: int = 0
    removed: int = 0
    removed_bytes: int = 0
    unknown: int = 0
    unknown_bytes: int = 0
    unknown_names: list[str] = field(default_factory=list)
    dangling: int = 0
    miscounted: int = 0


async def collect(
    store: Store,
    blobs: Blobs,
    *,
    older_than: timedelta,
    delete: bool,
    anyway: bool = False,
    told: Told | None = None,
) -> GarbageReport:
    """Look at every blob, and if `delete` remove what no record names, and mend the store's lists and counts.

    A writer puts a blob before the record that names it, so that younger ones than `older_than` stay; before
    a blob goes, its classifier is asked once more. What is of an unknown kind stays, and so do uploads.
    anyway : also where the store looks like another than that of these blobs, or shares them with one that it
    was filled from.
    Raises StorageError for such a store, while a backup holds what was deleted, and where anything cannot be
    read.
    """
    collector = _Collector(store, blobs, datetime.now(UTC) - older_than, delete, told)
    if delete:
        await collector.check_held()
    if not anyway:
        await collector.check_store()
    report = await collector.run()
    if delete and anyway:
        await forget_migration(store)
    return report


class _Collector:
    def __init__(self, store: Store, blobs: Blobs, before: datetime, delete: bool, told: Told | None) -> None:
        self._store = store
        self._url = blobs.url
        self._litter = Litter(blobs)
        self._before = before
        self._delete = delete
        self._told = told
        self._report = GarbageReport()

    async def check_held(self) -> None:
        if await self._store.trash_held():
            raise StorageError(
                "a backup is being taken, which may need what was deleted since it began; nothing more is "
                "removed: try again when it is over"
            )

    async def check_store(self) -> None:
        """Raises StorageError unless the blobs are this store's, as far as one can see."""
        moved, filled = await moved_from(self._store), await migration_of(self._store)
        if moved is not None:
            raise StorageError(
                f"the classifiers of this store were copied to {moved.target}, which shares the blobs in "
                f"{self._url} and may name more of them; collect garbage there, or here with --anyway"
            )
        if filled is not None and not filled.over:
            raise StorageError(
                f"the migration from {filled.source} into this store is not over; end it, or pass --anyway"
            )
        if filled is not None and filled.needs_blobs:
            raise StorageError(
                f"this store was filled from {filled.source}, which keeps its shots among the same blobs; "
                "once that is needed no more, pass --anyway, this once"
            )
        strangers = 0
        for tenant in await self._litter.folders():
            for id in await self._litter.folders(f"{tenant}/"):
                if await self._store.classifier(tenant, id) is not None:
                    return
                strangers += _CLASSIFIER.fullmatch(id) is not None
        if strangers:
            raise StorageError(
                f"the store knows none of the {strangers} classifiers that have blobs in {self._url}; name "
                "the right store and blobs, or pass --anyway if all of them were deleted"
            )

    async def run(self) -> GarbageReport:
        async for tenant in all_tenants(self._store):
            repairs = await self._store.repair(tenant, write=self._delete)
            self._report.dangling += repairs.dangling
            self._report.miscounted += repairs.over != Usage()
        self._note_unknown([one for one in await self._litter.files(deep=False) if one.name != _STORE_ID])
        for tenant in await self._litter.folders():
            self._note_unknown(await self._litter.files(f"{tenant}/", deep=False))
            ids = await self._litter.folders(f"{tenant}/")
            for start in range(0, len(ids), _TOGETHER):
                some = ids[start : start + _TOGETHER]
                for outcome in await asyncio.gather(
                    *(self._classifier(tenant, id) for id in some), return_exceptions=True
                ):
                    if outcome is not None:
                        raise outcome
                if self._told is not None:
                    self._told(start + len(some), len(ids))
        return self._report

    async def _classifier(self, tenant: str, id: str) -> None:
        prefix = f"{tenant}/{id}/"
        files = await self._litter.files(prefix)
        if _CLASSIFIER.fullmatch(id) is None:
            self._note_unknown(files)
            return
        known: list[Lying] = []
        unknown: list[Lying] = []
        for one in files:
            ours = one.unfinished or _BLOB.fullmatch(one.name.removeprefix(prefix)) is not None
            (known if ours else unknown).append(one)
        self._note_unknown(unknown)
        named = await self._store.blob_names(tenant, id)
        self._report.blobs += len(known)
        self._report.blob_bytes += sum(one.size for one in known)
        idle = [one for one in known if named is None or one.name not in named]
        old = [one for one in idle if one.written is not None and one.written < self._before]
        self._report.young += len(idle) - len(old)
        unfinished = sum(one.unfinished for one in old)
        self._report.unfinished += unfinished
        if named is None:
            self._report.gone += len(old) - unfinished
        else:
            self._report.unnamed += len(old) - unfinished
        self._report.garbage_bytes += sum(one.size for one in old)
        if self._delete and (old or named is None):
            await self._remove(tenant, id, old)

    async def _remove(self, tenant: str, id: str, old: Sequence[Lying]) -> None:
        named = await self._store.blob_names(tenant, id)  # again: one may have been named meanwhile
        # Behind that: a backup that begins later knows nothing of what no record names by now.
        await self.check_held()
        for one in old:
            if named is not None and one.name in named:
                continue
            if await self._litter.remove_old(one.name, self._before):
                self._report.removed += 1
                self._report.removed_bytes += one.size
        if named is None:
            await self._litter.remove_empty(f"{tenant}/{id}/")

    def _note_unknown(self, files: Sequence[Lying]) -> None:
        self._report.unknown += len(files)
        self._report.unknown_bytes += sum(one.size for one in files)
        room = _NAMED - len(self._report.unknown_names)
        self._report.unknown_names += [one.name for one in files[:room]]
