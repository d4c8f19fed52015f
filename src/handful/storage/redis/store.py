"""The store in Redis, which many processes share; segments of shots and large heads lie among the blobs."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from handful.storage.blobs import Blobs
from handful.storage.copying import dump_store
from handful.storage.records import (
    ClassifierRecord,
    ClassRecord,
    HeadRecord,
    JobRecord,
    KeyRecord,
    Repairs,
    Reply,
    ShotRecord,
    Support,
    Usage,
)
from handful.storage.redis.changes import Changes
from handful.storage.redis.classes import Classes
from handful.storage.redis.codec import KEY
from handful.storage.redis.commit import Commit
from handful.storage.redis.connection import Connection
from handful.storage.redis.folding import Folding
from handful.storage.redis.heads import Heads, head_blobs
from handful.storage.redis.identity import Identity
from handful.storage.redis.jobs import Jobs
from handful.storage.redis.layout import (
    KEYS,
    NOTES,
    RECORD,
    TENANTS,
    TRASH,
    TRASH_HOLD,
    classifier_key,
    ids_key,
)
from handful.storage.redis.pool import Command
from handful.storage.redis.repair import repair
from handful.storage.redis.replies import Replies
from handful.storage.redis.segments import Segments
from handful.storage.redis.support import Reading, read_record, record_of
from handful.storage.redis.tally import tally
from handful.storage.redis.usage import read_usage
from handful.storage.store import Change, ChangedMeanwhileError, Trash

CACHE_BYTES = 64 * 2**20  # of parsed segments
# A Redis that dies, or is replaced by its replica, may lose its last seconds, and so name blobs again.
TRASH_AFTER = timedelta(seconds=60)


class RedisStore:
    """A `Store`. To be used in one event loop; connects when it is first used.

    blobs : of all processes that use this Redis.    wait_replicas : so many must confirm each write.
    trips : round trips to Redis so far.
    """

    def __init__(self, url: str, blobs: Blobs, *, wait_replicas: int = 0) -> None:
        """Raises StorageError for a malformed URL."""
        self._connection = Connection(url, wait_replicas=wait_replicas)
        self._identity = Identity(self._connection, blobs)
        segments = Segments(blobs, CACHE_BYTES)
        self._replies = Replies(self._connection)
        self._jobs = Jobs(self._connection, self._replies)
        self._heads = Heads(self._connection, blobs)
        self._reading = Reading(self._connection, segments)
        self._classes = Classes(self._connection)
        self._folding = Folding(self._connection, segments)
        self._changes = Changes(
            self._connection, segments, self._reading, self._heads, self._jobs, self._replies
        )

    @property
    def trips(self) -> int:
        return self._connection.trips

    async def check(self) -> None:
        await self._connection.check()
        await self._identity.check()

    async def close(self) -> None:
        await self._connection.close()

    # ---- classifiers

    async def apply(self, change: Change) -> None:
        await self._identity.ensure()
        await self._changes.apply(change)

    async def classifier(self, tenant: str, id: str) -> ClassifierRecord | None:
        await self._identity.ensure()
        return await read_record(self._connection, tenant, id)

    async def classifiers(
        self, tenant: str, *, limit: int, after: str | None = None
    ) -> list[ClassifierRecord]:
        await self._identity.ensure()
        found: list[ClassifierRecord] = []
        while len(found) < limit:
            ids = await self._behind(ids_key(tenant), after, limit - len(found))
            if not ids:
                break
            reads: list[Command] = [("HGET", classifier_key(tenant, id), RECORD) for id in ids]
            values = await self._connection.pipe(*reads)
            found += [
                record_of(tenant, id, value)
                for id, value in zip(ids, values, strict=True)
                if value is not None  # listed before it was written, or after it was deleted
            ]
            after = ids[-1]
        return found

    async def classes(
        self, tenant: str, id: str, *, limit: int, after: int | None = None
    ) -> list[ClassRecord]:
        await self._identity.ensure()
        return await self._classes.listed(tenant, id, limit=limit, after=after)

    async def classes_named(self, tenant: str, id: str, names: Sequence[str]) -> dict[str, ClassRecord]:
        await self._identity.ensure()
        return await self._classes.named(tenant, id, names)

    async def classes_keyed(self, tenant: str, id: str, keys: Sequence[int]) -> dict[int, ClassRecord]:
        await self._identity.ensure()
        return await self._classes.keyed(tenant, id, keys)

    async def shots(
        self,
        tenant: str,
        id: str,
        *,
        limit: int,
        after: str | None = None,
        class_key: int | None = None,
    ) -> list[ShotRecord]:
        await self._identity.ensure()
        return await self._reading.shots(tenant, id, limit=limit, after=after, class_key=class_key)

    async def shots_named(self, tenant: str, id: str, ids: Sequence[str]) -> dict[str, ShotRecord]:
        await self._identity.ensure()
        return await self._reading.shots_named(tenant, id, ids)

    async def support(self, tenant: str, id: str) -> Support | None:
        await self._identity.ensure()
        return await self._reading.support(tenant, id)

    async def changed_since(self, tenant: str, id: str, revision: int) -> Support | None:
        await self._identity.ensure()
        return await self._reading.support(tenant, id, since=revision)

    async def heads(self, tenant: str, id: str) -> list[HeadRecord]:
        await self._identity.ensure()
        return await self._heads.listed(tenant, id)

    async def head(self, tenant: str, id: str, version: int) -> tuple[HeadRecord, bytes] | None:
        await self._identity.ensure()
        return await self._heads.head(tenant, id, version)

    async def keep_head(self, tenant: str, id: str, head: HeadRecord, data: bytes, *, newest: int) -> None:
        await self._identity.ensure()
        await self._heads.keep(tenant, id, head, data, newest=newest)

    # ---- answers given

    async def reply(self, tenant: str, key: str) -> Reply | None:
        await self._identity.ensure()
        return await self._replies.read(tenant, key)

    # ---- jobs

    async def put_job(self, job: JobRecord, *, reply: Reply | None = None) -> None:
        await self._identity.ensure()
        await self._jobs.put(job, reply)

    async def job(self, tenant: str, id: str) -> JobRecord | None:
        await self._identity.ensure()
        return await self._jobs.get(tenant, id)

    async def claim_job(self, *, token: str, now: datetime, lease_until: datetime) -> JobRecord | None:
        await self._identity.ensure()
        return await self._jobs.claim(token=token, now=now, lease_until=lease_until)

    async def update_job(self, job: JobRecord) -> bool:
        await self._identity.ensure()
        return await self._jobs.update(job)

    async def cancel_job(self, tenant: str, id: str, now: datetime) -> JobRecord | None:
        await self._identity.ensure()
        return await self._jobs.cancel(tenant, id, now)

    async def jobs_left(self) -> int:
        await self._identity.ensure()
        return await self._jobs.left()

    async def forget_jobs(self, before: datetime, limit: int) -> int:
        await self._identity.ensure()
        return await self._jobs.forget(before, limit)

    # ---- keys

    async def put_key(self, key: KeyRecord, *, before: KeyRecord | None = None) -> None:
        await self._identity.ensure()

        def refused(_: bytes) -> Exception:
            return ChangedMeanwhileError(f"key {key.id} was changed meanwhile; read it again")

        (value,) = await self._connection.pipe(("HGET", KEYS, key.id))
        if before != (None if value is None else KEY.read(value)):
            raise refused(b"")
        commit = Commit()
        commit.check(KEYS, "same", key.id, value or b"", refused=refused)
        commit.do(KEYS, "HSET", key.id, KEY.write(key))
        await commit.run(self._connection)

    async def key(self, id: str) -> KeyRecord | None:
        await self._identity.ensure()
        (value,) = await self._connection.pipe(("HGET", KEYS, id))
        return None if value is None else KEY.read(value)

    async def keys(self, tenant: str | None = None) -> list[KeyRecord]:
        await self._identity.ensure()
        (values,) = await self._connection.pipe(("HVALS", KEYS))
        found = (KEY.read(value) for value in values)
        return sorted((key for key in found if tenant in (None, key.tenant)), key=lambda key: key.id)

    # ---- upkeep

    async def usage(self, tenant: str) -> Usage:
        await self._identity.ensure()
        return await read_usage(self._connection, tenant)

    async def tally(
        self, more: Mapping[tuple[str, str], int], *, keep: timedelta
    ) -> Mapping[tuple[str, str], int] | None:
        return await tally(self._connection, more, keep=keep)

    async def tenants(self, *, limit: int, after: str | None = None) -> list[str]:
        await self._identity.ensure()
        return await self._behind(TENANTS, after, limit)

    async def blob_names(self, tenant: str, id: str) -> frozenset[str] | None:
        await self._identity.ensure()
        found = await self._reading.blobs(tenant, id)
        return None if found is None else found[1] | head_blobs(tenant, id, found[0].fields)

    async def fold(self, now: datetime) -> int:
        await self._identity.ensure()
        return await self._folding.fold(now)

    async def trash(self, limit: int) -> list[Trash]:
        await self._identity.ensure()
        held, flat, (seconds, _) = await self._connection.pipe(
            ("EXISTS", TRASH_HOLD), ("ZRANGE", TRASH, 0, limit - 1, "WITHSCORES"), ("TIME",)
        )
        if held:
            return []
        newest = (int(seconds) - TRASH_AFTER.total_seconds()) * 1_000_000
        return [
            Trash(id=int(number), name=name.decode())
            for name, number in zip(flat[::2], flat[1::2], strict=True)
            if int(number) <= newest or not TRASH_AFTER
        ]

    async def hold_trash(self, until: datetime) -> None:
        await self._identity.ensure()
        left = int((until - datetime.now(UTC)).total_seconds() * 1000)
        hold: Command = ("SET", TRASH_HOLD, "1", "PX", left)
        await self._connection.pipe(hold if left > 0 else ("DEL", TRASH_HOLD))

    async def trash_held(self) -> bool:
        await self._identity.ensure()
        (held,) = await self._connection.pipe(("EXISTS", TRASH_HOLD))
        return bool(held)

    async def forget_trash(self, ids: Sequence[int]) -> None:
        await self._identity.ensure()
        if ids:
            await self._connection.pipe(*(("ZREMRANGEBYSCORE", TRASH, number, number) for number in ids))

    async def forget_expired(self, now: datetime) -> None:
        self._replies.forget(now)

    async def dump(self, file: Path) -> list[str]:
        return await dump_store(self, file)

    async def repair(self, tenant: str, *, write: bool) -> Repairs:
        await self._identity.ensure()
        return await repair(self._connection, tenant, write=write)

    async def note(self, name: str) -> bytes | None:
        await self._identity.ensure()
        (value,) = await self._connection.pipe(("HGET", NOTES, name))
        return None if value is None else bytes(value)

    async def put_note(self, name: str, data: bytes | None) -> None:
        await self._identity.ensure()
        put: Command = ("HDEL", NOTES, name) if data is None else ("HSET", NOTES, name, data)
        await self._connection.pipe(put)

    async def _behind(self, key: str, after: str | None, limit: int) -> list[str]:
        """Members of a sorted set by name."""
        (names,) = await self._connection.pipe(
            ("ZRANGEBYLEX", key, "-" if after is None else f"({after}", "+", "LIMIT", 0, limit)
        )
        return [name.decode() for name in names]
