"""What a classifier's hash holds, as of one moment; and the shots that it comes to."""

import asyncio
from bisect import bisect_left, bisect_right
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import merge
from typing import TypeVar

from handful.storage.records import ClassifierRecord, ClassRecord, ShotRecord, Support
from handful.storage.redis.codec import CLASSIFIER, decode, encode
from handful.storage.redis.connection import Connection
from handful.storage.redis.layout import (
    BATCH,
    GONE,
    INLINE_PAGES,
    MOVED,
    PAGE_CLASSES,
    RECORD,
    classifier_key,
    pages_key,
)
from handful.storage.redis.pages import classes_of, page_field
from handful.storage.redis.pool import Command
from handful.storage.redis.segments import Batch, Segments, VanishedError, batch_of

T = TypeVar("T")

_PAGES_TOGETHER = 256  # of large classifiers, in one command
_COMMANDS_TOGETHER = 16
_MANY = 2000  # shots and classes whose putting together is a thread's work
_TRIES = 50  # against writers that keep being faster


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A classifier's hash.

    pages : of classes, by number, those that lie in it.    batches : in the order of their first shots.
    moved : shot → revision, and its class since then, or None where it was dropped.
    gone : keys of classes that were dropped, with the revision.
    fields : the hash itself.
    """

    record: ClassifierRecord
    pages: dict[int, bytes]
    batches: tuple[Batch, ...]
    moved: dict[str, tuple[int, int | None]]
    gone: dict[int, int]
    fields: dict[bytes, bytes]

    def live(self, batch: Batch, shots: Sequence[ShotRecord]) -> Iterator[ShotRecord]:
        """Those of a batch that are still there, as they are now."""
        for shot in shots:
            key, since = shot.class_key, batch.revision
            if shot.id in self.moved:
                revision, to = self.moved[shot.id]
                if to is None:
                    if since < revision:
                        continue
                elif since <= revision:
                    key, since = to, revision
            if since >= self.gone.get(key, 0):
                yield shot if key == shot.class_key else replace(shot, class_key=key)


def revision_bytes(revision: int) -> bytes:
    """What the value of the field RECORD begins with."""
    return revision.to_bytes(8, "big")


def record_value(record: ClassifierRecord) -> bytes:
    """The field RECORD."""
    return revision_bytes(record.revision) + CLASSIFIER.write(record)


def record_of(tenant: str, id: str, value: bytes) -> ClassifierRecord:
    """The classifier that a field RECORD tells of. Raises StorageError."""
    return CLASSIFIER.read(value[8:], tenant=tenant, id=id, revision=int.from_bytes(value[:8], "big"))


def moved_value(revision: int, to: int | None) -> bytes:
    """A field MOVED.    to : the shot's class, or None where it is dropped."""
    return encode([revision, to])


async def read_record(connection: Connection, tenant: str, id: str) -> ClassifierRecord | None:
    """One trip."""
    (value,) = await connection.pipe(("HGET", classifier_key(tenant, id), RECORD))
    return None if value is None else record_of(tenant, id, value)


async def read_kept(connection: Connection, tenant: str, id: str) -> Kept | None:
    """One trip."""
    (flat,) = await connection.pipe(("HGETALL", classifier_key(tenant, id)))
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    return kept_of(tenant, id, fields) if RECORD in fields else None


def kept_of(tenant: str, id: str, fields: dict[bytes, bytes]) -> Kept:
    """Raises StorageError for what is damaged or of a newer build."""
    batches = [batch_of(name, value) for name, value in fields.items() if name.startswith(BATCH)]
    moved = {}
    for name, value in fields.items():
        if name.startswith(MOVED):
            told = decode(value, "a change of a shot")
            moved[name[1:].decode()] = (told[0], told[1])
    return Kept(
        record=record_of(tenant, id, fields[RECORD]),
        pages={
            number: fields[name] for number in range(INLINE_PAGES) if (name := page_field(number)) in fields
        },
        batches=tuple(sorted(batches, key=lambda batch: (batch.first, batch.field))),
        moved=moved,
        gone={int(name[1:]): int(value) for name, value in fields.items() if name.startswith(GONE)},
        fields=fields,
    )


class Reading:
    """Shots and classes of classifiers."""

    def __init__(self, connection: Connection, segments: Segments) -> None:
        self._connection = connection
        self._segments = segments

    async def support(self, tenant: str, id: str, *, since: int | None = None) -> Support | None:
        """All of one moment.    since : only the shots of classes that changed after this revision."""

        async def read(kept: Kept) -> Support | None:
            later = await self._later_classes(kept)
            if later is None:
                return None
            if since is not None:
                return await self._changed(kept, later, since)
            segments = [await self._segment(kept, batch) for batch in kept.batches]
            if kept.record.shot_count + kept.record.class_count < _MANY:
                return _together(kept, segments, later)
            return await asyncio.to_thread(_together, kept, segments, later)

        return await self.steadily(tenant, id, read)

    async def shots(
        self, tenant: str, id: str, *, limit: int, after: str | None, class_key: int | None
    ) -> list[ShotRecord]:
        """By id. Segments are read in the order of their ids, as far as needed."""

        async def read(kept: Kept) -> list[ShotRecord]:
            found: list[ShotRecord] = []
            behind = after or ""
            to = {shot for shot, (_, key) in kept.moved.items() if key == class_key}
            for batch in kept.batches:
                if len(found) >= limit and batch.first > found[limit - 1].id:
                    break
                if batch.last <= behind or not _may_have(batch, class_key, to):
                    continue
                own = sorted(await self._live(kept, batch), key=lambda shot: shot.id)
                chosen = (shot for shot in own if shot.id > behind and class_key in (None, shot.class_key))
                found = list(merge(found, chosen, key=lambda shot: shot.id))[:limit]
            return [replace(shot, rows=b"") for shot in found]

        return await self.steadily(tenant, id, read) or []

    async def shots_named(self, tenant: str, id: str, ids: Collection[str]) -> dict[str, ShotRecord]:
        """Those that are there; only the segments are read between whose ids one lies."""
        if not ids:
            return {}

        async def read(kept: Kept) -> dict[str, ShotRecord]:
            return {
                shot.id: replace(shot, rows=b"")
                for batch in kept.batches
                if any(batch.first <= shot <= batch.last for shot in ids)
                for shot in await self._live(kept, batch)
                if shot.id in wanted
            }

        wanted = frozenset(ids)
        return await self.steadily(tenant, id, read) or {}

    async def pictures(
        self, kept: Kept, *, shots: Collection[str] = (), classes: Collection[int] = ()
    ) -> list[ShotRecord]:
        """Of these shots and of all shots of these classes, those with a kept picture; by id.

        Raises VanishedError where a segment was folded meanwhile.
        """
        named, keys = frozenset(shots), frozenset(classes)
        to = {shot for shot, (_, key) in kept.moved.items() if key in keys}
        found = [
            shot
            for batch in kept.batches
            if batch.pictures
            and (
                any(batch.first <= shot <= batch.last for shot in named)
                or any(_may_have(batch, key, to) for key in keys)
            )
            for shot in await self._live(kept, batch)
            if shot.blob is not None and (shot.id in named or shot.class_key in keys)
        ]
        return sorted(found, key=lambda shot: shot.id)

    async def with_rows(
        self, kept: Kept, rows: Mapping[str, bytes]
    ) -> tuple[list[Batch], dict[str, ShotRecord]]:
        """The batches that hold some of these shots, and all of their shots by id, with the rows given here.

        Raises VanishedError where a segment was folded meanwhile.
        """
        ids = sorted(rows)
        held = [
            batch for batch in kept.batches if bisect_left(ids, batch.first) < bisect_right(ids, batch.last)
        ]
        touched: list[Batch] = []
        found: dict[str, ShotRecord] = {}
        for batch in held:
            own = await self._live(kept, batch)
            if any(shot.id in rows for shot in own):
                touched.append(batch)
                found |= {shot.id: replace(shot, rows=rows.get(shot.id, shot.rows)) for shot in own}
        return touched, found

    async def blobs(self, tenant: str, id: str) -> tuple[Kept, frozenset[str]] | None:
        """The hash, and all blobs that its shots name, with the segments themselves."""

        async def read(kept: Kept) -> tuple[Kept, frozenset[str]]:
            segments = {name for batch in kept.batches if (name := batch.blob(tenant, id)) is not None}
            pictures = {
                shot.blob
                for batch in kept.batches
                if batch.pictures
                for shot in await self._live(kept, batch)
                if shot.blob is not None
            }
            return kept, frozenset(segments | pictures)

        return await self.steadily(tenant, id, read)

    async def steadily(self, tenant: str, id: str, read: Callable[[Kept], Awaitable[T | None]]) -> T | None:
        """What `read` makes of the hash; again where it is None, or a segment was folded meanwhile.

        None where the classifier is not there. Raises StorageError where a segment is lost.
        """
        for last in (*[False] * _TRIES, True):
            kept = await read_kept(self._connection, tenant, id)
            if kept is None:
                return None
            try:
                result = await read(kept)
            except VanishedError:
                again = await read_kept(self._connection, tenant, id)
                named = {batch.field for batch in kept.batches}
                if last or (again is not None and named <= {batch.field for batch in again.batches}):
                    raise
                continue
            if result is not None:
                return result
        raise VanishedError(f"classifier {id} is being changed by many at once; try again")

    async def _changed(self, kept: Kept, later: Sequence[ClassRecord], since: int) -> Support:
        classes = (*_classes_of(kept.pages.keys(), kept.pages.values()), *later)
        keys = frozenset(one.key for one in classes if one.changed > since)
        to = {shot for shot, (_, key) in kept.moved.items() if key in keys}
        shots = [
            shot
            for batch in kept.batches
            if any(_may_have(batch, key, to) for key in keys)
            for shot in await self._live(kept, batch)
            if shot.class_key in keys
        ]
        ordered = tuple(sorted(shots, key=lambda shot: shot.id))
        return Support(classifier=kept.record, classes=classes, shots=ordered)

    async def _live(self, kept: Kept, batch: Batch) -> list[ShotRecord]:
        return list(kept.live(batch, await self._segment(kept, batch)))

    async def _segment(self, kept: Kept, batch: Batch) -> tuple[ShotRecord, ...]:
        return await self._segments.read(kept.record.tenant, kept.record.id, batch)

    async def _later_classes(self, kept: Kept) -> list[ClassRecord] | None:
        """Those beyond the hash; None where they are of another moment."""
        record = kept.record
        last = -(-record.next_class // PAGE_CLASSES)
        if last <= INLINE_PAGES:
            return []
        key = classifier_key(record.tenant, record.id)
        numbers = range(INLINE_PAGES, last)
        found: list[ClassRecord] = []
        step = _PAGES_TOGETHER * _COMMANDS_TOGETHER
        for start in range(0, len(numbers), step):
            some = numbers[start : start + step]
            reads: list[Command] = [
                ("HMGET", pages_key(key), *map(page_field, some[at : at + _PAGES_TOGETHER]))
                for at in range(0, len(some), _PAGES_TOGETHER)
            ]
            *lists, value = await self._connection.pipe(*reads, ("HGET", key, RECORD))
            if value != kept.fields[RECORD]:
                return None
            pages = [page for pages in lists for page in pages]
            found += await asyncio.to_thread(_classes_of, some, pages)
        return found


def _together(
    kept: Kept, segments: Sequence[tuple[ShotRecord, ...]], later: Sequence[ClassRecord]
) -> Support:
    shots = [
        shot for batch, own in zip(kept.batches, segments, strict=True) for shot in kept.live(batch, own)
    ]
    return Support(
        classifier=kept.record,
        classes=(*_classes_of(kept.pages.keys(), kept.pages.values()), *later),
        shots=tuple(sorted(shots, key=lambda shot: shot.id)),
    )


def _classes_of(numbers: Iterable[int], pages: Iterable[bytes | None]) -> list[ClassRecord]:
    return [one for number, page in zip(numbers, pages, strict=True) for one in classes_of(number, page)]


def _may_have(batch: Batch, class_key: int | None, moved_to_it: Collection[str]) -> bool:
    """Whether shots of the class may be in it."""
    if class_key is None or batch.low <= class_key <= batch.high:
        return True
    return any(batch.first <= shot <= batch.last for shot in moved_to_it)
