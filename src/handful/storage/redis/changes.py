"""How a change of a classifier is written."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from handful.errors import HandfulError
from handful.storage.records import ClassifierRecord, ShotRecord
from handful.storage.redis.codec import microseconds
from handful.storage.redis.commit import Argument, Commit, When
from handful.storage.redis.connection import Connection
from handful.storage.redis.failures import UnconfirmedError
from handful.storage.redis.heads import Heads, HeadsAsRead, HeadsChange
from handful.storage.redis.jobs import Jobs
from handful.storage.redis.layout import (
    GONE,
    MOVED,
    RECORD,
    TAILS,
    TENANTS,
    classifier_key,
    head_key,
    ids_key,
    names_key,
    pages_key,
    place,
)
from handful.storage.redis.pages import put_classes
from handful.storage.redis.replies import Replies
from handful.storage.redis.segments import Batch, Segments, VanishedError
from handful.storage.redis.support import Reading, moved_value, read_kept, record_value, revision_bytes
from handful.storage.redis.usage import count
from handful.storage.store import Change, ChangedMeanwhileError, changed_meanwhile

FOLD_AFTER = timedelta(seconds=10)  # so that what comes in soon after goes into the same segment

_TRIES = 5  # against folding
_FEW_SHOTS = 8  # fewer wait in Redis until they are folded
_FEW_BYTES = 8192


class _FoldedError(ChangedMeanwhileError):
    """Shots whose rows change lie elsewhere by now."""


class Changes:
    """Writes changes."""

    def __init__(
        self,
        connection: Connection,
        segments: Segments,
        reading: Reading,
        heads: Heads,
        jobs: Jobs,
        replies: Replies,
    ) -> None:
        self._connection = connection
        self._segments = segments
        self._reading = reading
        self._heads = heads
        self._jobs = jobs
        self._replies = replies

    async def apply(self, change: Change) -> None:
        """As `Store.apply`. One trip, after a read where shots or heads go, get other rows, or heads come.

        What is large is written to the blobs before, and removed again where the change is refused.
        """
        for last in (*[False] * _TRIES, True):
            try:
                await self._apply(change)
                return
            except _FoldedError:
                if last:
                    raise

    async def _apply(self, change: Change) -> None:
        classifier = change.classifier
        tenant, id = classifier.tenant, classifier.id
        batches: list[Batch] = []
        replaced: list[Batch] = []
        heads: HeadsChange | None = None
        try:
            pictures = await self._needless_pictures(change)
            if change.after is not None:
                replaced, batches = await self._with_rows(change, change.after)
                if change.put_shots:
                    batches += await self._segments.write(
                        tenant,
                        id,
                        change.after.revision,
                        sorted(change.put_shots, key=lambda shot: shot.id),
                        inline=change.before is not None and _are_few(change),
                    )
                heads = await self._heads_change(change)
            commit = self._commit(classifier, change, batches, replaced, heads, pictures)
            await self._replies.run(commit, change.reply)
        except UnconfirmedError:
            raise  # it may be written, and name them
        except HandfulError:
            await self._segments.remove(tenant, id, batches)
            await self._heads.remove(tenant, id, () if heads is None else heads.made)
            raise

    def _commit(
        self,
        classifier: ClassifierRecord,
        change: Change,
        batches: list[Batch],
        replaced: list[Batch],
        heads: HeadsChange | None,
        pictures: list[ShotRecord],
    ) -> Commit:
        commit = Commit()
        key = classifier_key(classifier.tenant, classifier.id)
        answer: Callable[[], None] | None = None
        if change.reply is not None:
            answer = self._replies.give(commit, change.reply, key)
        if change.job is not None:
            self._jobs.add_update(commit, change.job, checked_before=True)
        _check_revision(commit, key, classifier.id, change.before)
        if change.after is None:
            # First, since Redis does it also where its memory is full, and then lets the rest pass.
            for gone in (key, pages_key(key), names_key(key), head_key(key)):
                commit.do(gone, "UNLINK")
            commit.do(ids_key(classifier.tenant), "ZREM", classifier.id, when=When.AFTER)
            commit.do(TAILS, "ZREM", place(classifier.tenant, classifier.id), when=When.AFTER)
            count(commit, classifier.tenant, change)
            commit.trash([f"{place(classifier.tenant, classifier.id)}/"])
        else:
            count(commit, classifier.tenant, change)
            self._write(commit, key, change.after, change, batches)
            _replace(commit, key, change.after, replaced)
            if heads is not None:
                heads.add_to(commit, key, classifier.id)
            commit.trash([str(shot.blob) for shot in pictures])
        if answer is not None:
            answer()
        return commit

    def _write(
        self, commit: Commit, key: str, after: ClassifierRecord, change: Change, batches: list[Batch]
    ) -> None:
        if change.before is None:
            commit.do(TENANTS, "ZADD", 0, after.tenant, when=When.BEFORE)
            commit.do(ids_key(after.tenant), "ZADD", 0, after.id, when=When.BEFORE)
        put_classes(commit, key, change.put_classes, change.drop_classes)
        values: list[Argument] = [RECORD, record_value(after)]
        for batch in batches:
            values += (batch.field, batch.value)
        for shot in change.drop_shots:
            values += (MOVED + shot.encode(), moved_value(after.revision, None))
        for shot, to in change.label_shots.items():
            values += (MOVED + shot.encode(), moved_value(after.revision, to))
        for dropped in change.drop_classes:
            values += (GONE + str(dropped).encode(), after.revision)
        commit.do_many(key, "HSET", values, of=2)
        if len(values) > 2 and change.before is not None:
            due = microseconds(datetime.now(UTC) + FOLD_AFTER)
            commit.do(TAILS, "ZADD", "NX", due, place(after.tenant, after.id), when=When.BEFORE)

    async def _with_rows(self, change: Change, after: ClassifierRecord) -> tuple[list[Batch], list[Batch]]:
        """Batches whose shots get other rows, and those that stand for them, which are written."""
        before = change.before
        if before is None or not change.row_shots:
            return [], []
        for last in (*[False] * 3, True):
            kept = await read_kept(self._connection, before.tenant, before.id)
            if kept is None or kept.record.revision != before.revision:
                raise changed_meanwhile(before.id)
            try:
                replaced, shots = await self._reading.with_rows(kept, change.row_shots)
            except VanishedError:
                if last:
                    raise
                continue
            # What this change drops is older than the batch and would be taken for alive in it.
            gone, dropped = set(change.drop_shots), set(change.drop_classes)
            left = [
                replace(shot, class_key=change.label_shots.get(shot.id, shot.class_key))
                for _, shot in sorted(shots.items())
                if shot.id not in gone and shot.class_key not in dropped
            ]
            made = await self._segments.write(before.tenant, before.id, after.revision, left) if left else []
            return replaced, made
        raise changed_meanwhile(before.id)

    async def _needless_pictures(self, change: Change) -> list[ShotRecord]:
        """Shots with a kept picture that go with the change."""
        before = change.before
        if before is None or change.after is None or not (change.drop_shots or change.drop_classes):
            return []
        for last in (*[False] * 3, True):
            kept = await read_kept(self._connection, before.tenant, before.id)
            if kept is None or kept.record.revision != before.revision:
                raise changed_meanwhile(before.id)
            try:
                return await self._reading.pictures(
                    kept, shots=change.drop_shots, classes=change.drop_classes
                )
            except VanishedError:
                if last:
                    raise
        return []

    async def _heads_change(self, change: Change) -> HeadsChange | None:
        after = change.after
        if after is None or not (change.put_heads or change.drop_heads):
            return None
        read = HeadsAsRead()
        if change.before is not None:
            read, _ = await self._heads.read(after.tenant, after.id)
        return await self._heads.changed(
            (after.tenant, after.id),
            read,
            put=change.put_heads,
            drop=change.drop_heads,
            answers=after.head_version,
        )


def _replace(commit: Commit, key: str, classifier: ClassifierRecord, batches: list[Batch]) -> None:
    """Others stand for these, if they are all still there."""

    def refused(_: bytes) -> Exception:
        return _FoldedError(f"shots of classifier {classifier.id} were folded meanwhile; try again")

    for batch in batches:
        commit.check(key, "there", batch.field, refused=refused)
    commit.do_many(key, "HDEL", [batch.field for batch in batches])
    names = (batch.blob(classifier.tenant, classifier.id) for batch in batches)
    commit.trash([name for name in names if name is not None])


def _are_few(change: Change) -> bool:
    shots = change.put_shots
    return len(shots) < _FEW_SHOTS and sum(len(shot.rows) for shot in shots) < _FEW_BYTES


def _check_revision(commit: Commit, key: str, id: str, before: ClassifierRecord | None) -> None:
    def refused(_: bytes) -> Exception:
        return changed_meanwhile(id)

    if before is None:
        commit.check(key, "absent", RECORD, refused=refused)
    else:
        commit.check(key, "starts", RECORD, revision_bytes(before.revision), refused=refused)
