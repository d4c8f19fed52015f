"""Answers under Idempotency-Keys.

On one server an answer is written with its change. On a Cluster it lies in its tenant's slot and the change
in another: the answer is written first as pending, with the change goes a mark, and where that is, the answer
holds.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime

from handful.errors import ConflictError
from handful.storage.records import Reply
from handful.storage.redis.codec import REPLY, decode, encode, microseconds, seal, unseal
from handful.storage.redis.commit import Check, Commit, When
from handful.storage.redis.connection import Connection
from handful.storage.redis.layout import mark_key, reply_key
from handful.storage.store import AnsweredError

_FINAL, _PENDING = b"f", b"p"
_ABANDONED = 60_000_000  # microseconds after which a change that left no mark may be tried anew
_PATIENCE = 5.0  # seconds to wait for another's change
_PAUSE = 0.02  # seconds between looks


class _PendingError(ConflictError):
    """Another change under the key is, or was, under way.    value : what stands there."""

    def __init__(self, value: bytes) -> None:
        super().__init__("another request under the same Idempotency-Key is under way; wait for its answer")
        self.value = value


class Replies:
    """Reads them, and adds them to commits."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._as_of = datetime.min.replace(tzinfo=UTC)

    def forget(self, now: datetime) -> None:
        """Redis drops what has expired; only where this clock is ahead of its clock is there more to do."""
        self._as_of = max(self._as_of, now)

    async def read(self, tenant: str, key: str) -> Reply | None:
        """One trip. On a Cluster two, where its change is hardly over."""
        (value,) = await self._connection.pipe(("GET", reply_key(tenant, key)))
        if value is None:
            return None
        if value[:1] == _PENDING:
            _, mark, reply = _pending(tenant, key, value)
            (marked,) = await self._connection.pipe(("GET", mark))
            if marked is None:
                return None
        else:
            reply = _final(tenant, key, value)
        return reply if reply.expires > max(self._as_of, datetime.now(UTC)) else None

    def give(self, commit: Commit, reply: Reply, truth: str) -> Callable[[], None]:
        """Add an answer, unless another was given. To be called before any other check.

        truth : a key that is written with the change. What is returned adds the writing itself.
        """
        key = reply_key(reply.tenant, reply.key)
        left = int((reply.expires - datetime.now(UTC)).total_seconds() * 1000)

        def refused(value: bytes) -> Exception:
            if value[:1] == _PENDING:
                return _PendingError(value)
            return AnsweredError(_final(reply.tenant, reply.key, value))

        commit.check(key, "free", refused=refused, when=When.BEFORE)

        def write() -> None:
            if left <= 0:
                return
            final = _FINAL + REPLY.write(reply)
            if self._connection.clustered:
                mark = mark_key(truth, reply.tenant, reply.key)
                told = [microseconds(datetime.now(UTC)), mark, REPLY.values(reply)]
                pending = _PENDING + seal(encode(told))
                commit.do(key, "SET", pending, "PX", left, when=When.BEFORE)
                commit.undo(key, "DEL")
                commit.do(mark, "SET", b"", "PX", left)
            commit.do(key, "SET", final, "PX", left, when=When.AFTER)

        return write

    async def run(self, commit: Commit, reply: Reply | None) -> None:
        """Run a commit that may have an answer. Raises as `Commit.run`, AnsweredError, and ConflictError."""
        give_up = time.monotonic() + _PATIENCE
        while True:
            try:
                await commit.run(self._connection)
            except _PendingError as exc:
                if reply is None:
                    raise
                await self._settle(commit.checks[0], reply, exc, give_up)
            else:
                return

    async def _settle(self, check: Check, reply: Reply, found: _PendingError, give_up: float) -> None:
        """Wait until the other change is over; then its answer holds, or the check lets this one through."""
        begun, mark, other = _pending(reply.tenant, reply.key, found.value)
        while True:
            value, marked = await self._connection.pipe(
                ("GET", reply_key(reply.tenant, reply.key)), ("GET", mark)
            )
            if value is None:
                check.kind, check.args = "free", ()
                return
            if value[:1] == _FINAL:
                raise AnsweredError(_final(reply.tenant, reply.key, value))
            if marked is not None:
                raise AnsweredError(other)
            if value != found.value or microseconds(datetime.now(UTC)) - begun > _ABANDONED:
                check.kind, check.args = "is", (value,)
                return
            if time.monotonic() > give_up:
                raise found
            await asyncio.sleep(_PAUSE)


def _final(tenant: str, key: str, value: bytes) -> Reply:
    return REPLY.read(value[1:], tenant=tenant, key=key)


def _pending(tenant: str, key: str, value: bytes) -> tuple[int, str, Reply]:
    begun, mark, told = decode(unseal(value[1:], "a pending answer"), "a pending answer")
    return begun, mark, REPLY.record(told, tenant=tenant, key=key)
