"""Jobs, all of them in one slot."""

import asyncio
from dataclasses import replace
from datetime import datetime
from hashlib import sha256

from handful.errors import StaleError
from handful.storage.records import JobRecord, Reply
from handful.storage.redis.codec import JOB, microseconds
from handful.storage.redis.commit import Commit, When
from handful.storage.redis.connection import Connection
from handful.storage.redis.layout import JOBS, JOBS_CANCELLING, JOBS_DUE, JOBS_OVER
from handful.storage.redis.replies import Replies
from handful.storage.store import ChangedMeanwhileError

_WAITING, _OVER = b"w", b"o"
_TOKEN = 16  # bytes of its digest, before the record
_HEADER = 1 + _TOKEN


class Jobs:
    """As `Store` has them."""

    def __init__(self, connection: Connection, replies: Replies) -> None:
        self._connection = connection
        self._replies = replies
        self._claiming = asyncio.Lock()  # callers of a process take turns; those of others are checked

    async def put(self, job: JobRecord, reply: Reply | None) -> None:
        commit = Commit()
        answer = None if reply is None else self._replies.give(commit, reply, JOBS)
        _write(commit, job, When.WITH)
        if answer is not None:
            answer()
        await self._replies.run(commit, reply)

    async def get(self, tenant: str, id: str) -> JobRecord | None:
        found = await self._read(_name(tenant, id))
        return None if found is None else found[0]

    async def claim(self, *, token: str, now: datetime, lease_until: datetime) -> JobRecord | None:
        async with self._claiming:
            while True:
                (names,) = await self._connection.pipe(
                    ("ZRANGEBYSCORE", JOBS_DUE, "-inf", microseconds(now), "LIMIT", 0, 1)
                )
                if not names:
                    return None
                name = names[0].decode()
                found = await self._read(name)
                if found is None:
                    continue
                job, value = found
                claimed = job.claimed(token=token, now=now, lease_until=lease_until)
                if await self._replaced(name, value, claimed):
                    return claimed

    async def update(self, job: JobRecord) -> bool:
        commit = Commit()
        self.add_update(commit, job)
        try:
            await commit.run(self._connection)
        except StaleError:
            return False
        return True

    def add_update(self, commit: Commit, job: JobRecord, *, checked_before: bool = False) -> None:
        """Write a job, and nothing where it is no longer its claimer's, which is a StaleError.

        checked_before : on a Cluster, look before the change and write after it.
        A wish to cancel it that its claimer has not heard of yet stays.
        """

        def refused(_: bytes) -> Exception:
            return StaleError(f"job {job.id} has another worker by now, or is over")

        name = _name(job.tenant, job.id)
        # A job without a token is nobody's: no value begins with such bytes.
        claim = b"-" if job.token is None else _WAITING + _digest(job.token)
        commit.check(JOBS, "starts", name, claim, refused=refused, when=When.BEFORE)
        if checked_before and self._connection.clustered:
            commit.check(JOBS, "starts", name, claim, refused=refused, when=When.AFTER)
        _write(commit, job, When.AFTER)

    async def cancel(self, tenant: str, id: str, now: datetime) -> JobRecord | None:
        name = _name(tenant, id)
        while True:
            found = await self._read(name)
            if found is None:
                return None
            job, value = found
            if job.over:
                return job
            job = job.told_to_stop(now)
            if await self._replaced(name, value, job):
                return job

    async def left(self) -> int:
        (count,) = await self._connection.pipe(("ZCARD", JOBS_DUE))
        return int(count)

    async def forget(self, before: datetime, limit: int) -> int:
        (names,) = await self._connection.pipe(
            ("ZRANGEBYSCORE", JOBS_OVER, "-inf", f"({microseconds(before)}", "LIMIT", 0, limit)
        )
        if not names:
            return 0
        commit = Commit()
        commit.do_many(JOBS, "HDEL", names)
        commit.do_many(JOBS_CANCELLING, "SREM", names)
        commit.do_many(JOBS_OVER, "ZREM", names)
        await commit.run(self._connection)
        return len(names)

    async def _read(self, name: str) -> tuple[JobRecord, bytes] | None:
        """A job, and the value that it was read from."""
        value, cancelling = await self._connection.pipe(
            ("HGET", JOBS, name), ("SISMEMBER", JOBS_CANCELLING, name)
        )
        if value is None:
            return None
        job = JOB.read(value[_HEADER:])
        return replace(job, cancelling=job.cancelling or bool(cancelling)), value

    async def _replaced(self, name: str, value: bytes, job: JobRecord) -> bool:
        def refused(_: bytes) -> Exception:
            return ChangedMeanwhileError(f"job {job.id} was changed meanwhile")

        commit = Commit()
        commit.check(JOBS, "same", name, value, refused=refused)
        _write(commit, job, When.WITH)
        try:
            await commit.run(self._connection)
        except ChangedMeanwhileError:
            return False
        return True


def _write(commit: Commit, job: JobRecord, when: When) -> None:
    name = _name(job.tenant, job.id)
    header = (_OVER if job.over else _WAITING) + _digest(job.token)
    commit.do(JOBS, "HSET", name, header + JOB.write(job), when=when)
    if job.cancelling:
        commit.do(JOBS_CANCELLING, "SADD", name, when=when)
    if job.over:
        commit.do(JOBS_DUE, "ZREM", name, when=when)
        commit.do(JOBS_OVER, "ZADD", microseconds(job.updated), name, when=when)
    else:
        lease = 0 if job.lease_until is None else microseconds(job.lease_until)
        commit.do(JOBS_DUE, "ZADD", lease, name, when=when)


def _name(tenant: str, id: str) -> str:
    """Those that are due at once are claimed in the order of these."""
    return f"{id}/{tenant}"


def _digest(token: str | None) -> bytes:
    return bytes(_TOKEN) if token is None else sha256(token.encode()).digest()[:_TOKEN]
