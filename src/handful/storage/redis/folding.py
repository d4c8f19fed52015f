"""Folding: what waits in Redis, and small segments, become one segment among the blobs.

Blobs are written first, each under a name of its own; then one script names them in place of what they hold,
if that is still there. So a crash leaves a blob that nothing names, at worst; of two that fold the same, one
writes nothing and removes its own blobs.
"""

import asyncio
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from handful.errors import HandfulError
from handful.storage.records import ShotRecord
from handful.storage.redis.codec import microseconds
from handful.storage.redis.commit import Argument, Commit
from handful.storage.redis.connection import Connection
from handful.storage.redis.failures import UnconfirmedError
from handful.storage.redis.layout import GONE, MOVED, RECORD, TAILS, classifier_key, place
from handful.storage.redis.segments import Batch, Segments, VanishedError
from handful.storage.redis.support import Kept, read_kept, revision_bytes
from handful.storage.store import ChangedMeanwhileError

_SMALL = 2**20  # bytes of a segment that is folded again
_MOST_BYTES = 64 * 2**20  # of segments that are folded at once
_TOGETHER = 64  # classifiers of a call
_AT_ONCE = 8
_CLAIM = timedelta(seconds=60)  # until another process takes up what this one did not finish
_AGAIN = timedelta(seconds=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """sources : batches to fold.    settled : fields of changes that are in no other batch.

    whole : nothing is left to fold afterwards.
    """

    sources: tuple[Batch, ...]
    settled: tuple[bytes, ...]
    whole: bool


class Folding:
    """Folds classifiers that are due."""

    def __init__(self, connection: Connection, segments: Segments) -> None:
        self._connection = connection
        self._segments = segments

    async def fold(self, now: datetime) -> int:
        """Some of those that are due; how many classifiers are left, due or not."""
        (names,) = await self._connection.pipe(
            ("ZRANGEBYSCORE", TAILS, "-inf", microseconds(now), "LIMIT", 0, _TOGETHER)
        )
        if names:
            claim: list[Argument] = []
            for name in names:
                claim += (microseconds(now + _CLAIM), name)
            await self._connection.pipe(("ZADD", TAILS, "XX", *claim))
            room = asyncio.Semaphore(_AT_ONCE)

            async def one(name: bytes) -> None:
                async with room:
                    tenant, _, id = name.decode().partition("/")
                    await self._one(tenant, id, now)

            outcomes = await asyncio.gather(*(one(name) for name in names), return_exceptions=True)
            for outcome in outcomes:
                if outcome is not None:
                    raise outcome
        (left,) = await self._connection.pipe(("ZCARD", TAILS))
        return int(left)

    async def _one(self, tenant: str, id: str, now: datetime) -> None:
        kept = await read_kept(self._connection, tenant, id)
        if kept is None:
            await self._connection.pipe(("ZREM", TAILS, place(tenant, id)))
            return
        plan = _plan(kept)
        try:
            if plan.sources or plan.settled:
                await self._write(kept, plan)
            if plan.whole:
                await self._done(kept, now)
                return
        except (ChangedMeanwhileError, VanishedError):
            pass  # others were faster; what they left is looked at again
        due = microseconds(now if not plan.whole else now + _AGAIN)
        await self._connection.pipe(("ZADD", TAILS, "XX", due, place(tenant, id)))

    async def _write(self, kept: Kept, plan: _Plan) -> None:
        tenant, id = kept.record.tenant, kept.record.id
        shots: list[ShotRecord] = []
        for source in plan.sources:
            shots.extend(kept.live(source, await self._segments.read(tenant, id, source)))
        shots.sort(key=lambda shot: shot.id)
        made = await self._segments.write(tenant, id, kept.record.revision, shots)
        try:
            await self._commit(kept, plan, made).run(self._connection)
        except UnconfirmedError:
            raise  # they may be named
        except HandfulError:
            await self._segments.remove(tenant, id, made)
            raise

    def _commit(self, kept: Kept, plan: _Plan, made: Sequence[Batch]) -> Commit:
        record = kept.record
        key = classifier_key(record.tenant, record.id)

        def refused(_: bytes) -> Exception:
            return ChangedMeanwhileError(f"shots of classifier {record.id} were folded or dropped meanwhile")

        commit = Commit()
        commit.check(key, "there", RECORD, refused=refused)
        for source in plan.sources:
            commit.check(key, "there", source.field, refused=refused)
        commit.do_many(key, "HDEL", [source.field for source in plan.sources])
        pairs: list[Argument] = []
        for field in plan.settled:
            pairs += (field, kept.fields[field])
        commit.do_many(key, "HDELSAME", pairs, of=2)
        named: list[Argument] = []
        for batch in made:
            named += (batch.field, batch.value)
        commit.do_many(key, "HSET", named, of=2)
        old = (source.blob(record.tenant, record.id) for source in plan.sources)
        commit.trash([name for name in old if name is not None])
        return commit

    async def _done(self, kept: Kept, now: datetime) -> None:
        """Nothing is left to fold, unless somebody wrote meanwhile."""
        record = kept.record
        key, name = classifier_key(record.tenant, record.id), place(record.tenant, record.id)

        def refused(_: bytes) -> Exception:
            return ChangedMeanwhileError(f"classifier {record.id} was changed meanwhile")

        commit = Commit()
        commit.check(key, "starts", RECORD, revision_bytes(record.revision), refused=refused)
        if not self._connection.clustered:
            commit.do(TAILS, "ZREM", name)
            await commit.run(self._connection)
            return
        await commit.run(self._connection)
        await self._connection.pipe(("ZREM", TAILS, name))
        try:  # the two lie in different slots: a write between them found its name still there
            await commit.run(self._connection)
        except ChangedMeanwhileError:
            await self._connection.pipe(("ZADD", TAILS, "NX", microseconds(now + _AGAIN), name))


def _plan(kept: Kept) -> _Plan:
    """Inline batches, small segments, and those that changes are about."""
    moved = sorted(kept.moved)
    touched = {batch.field for batch in kept.batches if _is_touched(kept, moved, batch)}
    light = [batch for batch in kept.batches if batch.digest is None or batch.size < _SMALL]
    if len(light) == 1 and light[0].digest is not None and light[0].field not in touched:
        light = []  # alone, and fine as it is
    wanted = [batch for batch in kept.batches if batch in light or batch.field in touched]
    sources: list[Batch] = []
    size = 0
    for batch in wanted:
        if sources and size + batch.size > _MOST_BYTES:
            break
        sources.append(batch)
        size += batch.size
    folded = {batch.field for batch in sources}
    others = [batch for batch in kept.batches if batch.field not in folded]
    waiting = {shot for batch in others for shot in _concerned(kept, moved, batch)}
    settled = [MOVED + shot.encode() for shot in moved if shot not in waiting]
    unsettled = {kept.moved[shot][1] for shot in waiting}
    settled += [
        GONE + str(key).encode()
        for key, revision in kept.gone.items()
        if key not in unsettled and not any(_may_lose(batch, key, revision) for batch in others)
    ]
    return _Plan(sources=tuple(sources), settled=tuple(settled), whole=len(sources) == len(wanted))


def _is_touched(kept: Kept, moved: Sequence[str], batch: Batch) -> bool:
    if any(_may_lose(batch, key, revision) for key, revision in kept.gone.items()):
        return True
    return any(True for _ in _concerned(kept, moved, batch))


def _may_lose(batch: Batch, key: int, revision: int) -> bool:
    """Whether it may have shots that went with a class at that revision."""
    return batch.revision < revision and batch.low <= key <= batch.high


def _concerned(kept: Kept, moved: Sequence[str], batch: Batch) -> Iterator[str]:
    """Shots that it may have as they were before they were changed.    moved : all that were, in order."""
    for shot in moved[bisect_left(moved, batch.first) : bisect_right(moved, batch.last)]:
        revision, to = kept.moved[shot]
        if batch.revision < revision or (to is not None and batch.revision == revision):
            yield shot
