"""Heads: the one that answers is a value in Redis, older ones and very large ones are blobs."""

import asyncio
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from handful.errors import HandfulError, StorageError
from handful.storage.blobs import Blobs, digest_name
from handful.storage.records import HeadRecord
from handful.storage.redis.codec import HEAD, decode, encode, seal, unseal
from handful.storage.redis.commit import Commit
from handful.storage.redis.connection import Connection
from handful.storage.redis.failures import UnconfirmedError
from handful.storage.redis.layout import HEADS, RECORD, classifier_key, head_key, place
from handful.storage.redis.support import record_of
from handful.storage.store import ChangedMeanwhileError

_MOST_INLINE = 4 * 2**20  # bytes of a head in Redis
_MOST_OF_BLOB = 64 * 2**20
_NONCE = 8  # random bytes before each blob, so that no two have the same name
_VERSION = 8  # bytes of it before the value in Redis
_TRIES = 50  # against writers that keep being faster


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptHead:
    """record : without its classes.    blobs : digests of those that hold it; none where Redis does."""

    record: HeadRecord
    blobs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadsAsRead:
    """The heads of a classifier.    value : of the field HEADS.    inline : of head_key."""

    value: bytes | None = None
    inline: bytes | None = None

    @property
    def index(self) -> dict[int, KeptHead]:
        """By version. Raises StorageError."""
        if self.value is None:
            return {}
        what = "an index of heads"
        told = decode(unseal(self.value, what), what)
        kept = (KeptHead(record=HEAD.record(one), blobs=tuple(blobs)) for one, blobs in told)
        return {one.record.version: one for one in kept}

    @property
    def inline_version(self) -> int | None:
        """Of the head in Redis."""
        return None if self.inline is None else int.from_bytes(self.inline[:_VERSION], "big")


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadsChange:
    """What becomes of the heads.    inline : None where nothing is in Redis.    made, needless : blobs."""

    read: HeadsAsRead
    value: bytes
    inline: bytes | None
    made: tuple[str, ...]
    needless: tuple[str, ...]

    def add_to(self, commit: Commit, classifier: str, id: str) -> None:
        """Nothing is written where the heads are others by now."""

        def refused(_: bytes) -> Exception:
            return ChangedMeanwhileError(f"the heads of classifier {id} were changed meanwhile; try again")

        commit.check(classifier, "same", HEADS, self.read.value or b"", refused=refused)
        commit.do(classifier, "HSET", HEADS, self.value)
        if self.inline is None:
            commit.do(head_key(classifier), "DEL")
        elif self.inline != self.read.inline:
            commit.do(head_key(classifier), "SET", self.inline)
        commit.trash(self.needless)


class Heads:
    """Reads and writes them."""

    def __init__(self, connection: Connection, blobs: Blobs) -> None:
        self._connection = connection
        self._blobs = blobs

    async def listed(self, tenant: str, id: str) -> list[HeadRecord]:
        """Newest first, without their classes. One trip."""
        (value,) = await self._connection.pipe(("HGET", classifier_key(tenant, id), HEADS))
        index = HeadsAsRead(value=value).index
        return [index[version].record for version in sorted(index, reverse=True)]

    async def read(self, tenant: str, id: str) -> tuple[HeadsAsRead, bytes | None]:
        """With the field RECORD. One trip."""
        key = classifier_key(tenant, id)
        (record, value), inline = await self._connection.pipe(
            ("HMGET", key, RECORD, HEADS), ("GET", head_key(key))
        )
        return HeadsAsRead(value=value, inline=inline), record

    async def head(self, tenant: str, id: str, version: int) -> tuple[HeadRecord, bytes] | None:
        """One trip, and a read of blobs for a head that has not answered lately. Raises StorageError."""
        for last in (*[False] * _TRIES, True):
            read, _ = await self.read(tenant, id)
            kept = read.index.get(version)
            if kept is None:
                return None
            if kept.blobs:
                payload = await self._from_blobs(tenant, id, kept)
            else:  # read a moment after the index: another head may be there by now
                payload = None
                if read.inline is not None and read.inline_version == version:
                    payload = read.inline[_VERSION:]
            if payload is not None:
                what = f"head {version} of classifier {id}"
                classes, data = decode(unseal(payload, what), what)
                told = tuple((key, name) for key, name in classes)
                return replace(kept.record, classes=told), data
            if last:
                raise StorageError(
                    f"head {version} of classifier {id} is gone from {self._blobs.url}; put it back from a "
                    "backup, or activate another"
                )
        return None

    async def keep(self, tenant: str, id: str, head: HeadRecord, data: bytes, *, newest: int) -> None:
        """See Store.keep_head. Two trips, as long as nobody else writes."""
        key = classifier_key(tenant, id)
        for last in (*[False] * _TRIES, True):
            read, value = await self.read(tenant, id)
            if value is None or head.version in read.index:
                return
            record = record_of(tenant, id, value)
            change = await self.changed(
                (tenant, id), read, put=[(head, data)], answers=record.head_version, newest=newest
            )
            commit = Commit()

            def gone(_: bytes) -> Exception:
                return ChangedMeanwhileError(f"classifier {id} was deleted meanwhile")

            commit.check(key, "there", RECORD, refused=gone)
            change.add_to(commit, key, id)
            try:
                await commit.run(self._connection)
            except UnconfirmedError:
                raise
            except HandfulError as exc:
                await self.remove(tenant, id, change.made)
                if last or not isinstance(exc, ChangedMeanwhileError):
                    raise
            else:
                return

    async def changed(
        self,
        of: tuple[str, str],
        read: HeadsAsRead,
        *,
        put: Sequence[tuple[HeadRecord, bytes]],
        drop: Collection[int] = (),
        answers: int,
        newest: int | None = None,
    ) -> HeadsChange:
        """What to write, once the blobs of it are written.

        answers : version of the head that answers then; it lies in Redis if it is at hand.
        newest : so many stay of those that are not held.
        """
        before = read.index
        payloads = {head.version: seal(encode([head.classes, data])) for head, data in put}
        if read.inline is not None and read.inline_version in before:
            payloads.setdefault(int(read.inline_version), read.inline[_VERSION:])
        after = {version: kept for version, kept in before.items() if version not in drop}
        after |= {head.version: KeptHead(record=head) for head, _ in put}
        if newest is not None:
            loose = sorted((version for version, kept in after.items() if not kept.record.held), reverse=True)
            for version in loose[newest:]:
                del after[version]
        inline = _inline(answers, read.inline_version, payloads, after)
        outside = {
            version: payloads[version] for version in after if version in payloads and version != inline
        }
        if inline is not None and len(payloads[inline]) > _MOST_INLINE:
            outside[inline] = payloads[inline]
            inline = None
        written = await asyncio.gather(*(self._to_blobs(*of, payload) for payload in outside.values()))
        for version, digests in zip(outside, written, strict=True):
            after[version] = replace(after[version], blobs=digests)
        named = {name for kept in after.values() for name in kept.blobs}
        told = [[HEAD.values(kept.record), kept.blobs] for kept in after.values()]
        return HeadsChange(
            read=read,
            value=seal(encode(told)),
            inline=None if inline is None else inline.to_bytes(_VERSION, "big") + payloads[inline],
            made=tuple(_blob_name(*of, digest) for digests in written for digest in digests),
            needless=tuple(
                _blob_name(*of, digest)
                for kept in before.values()
                for digest in kept.blobs
                if digest not in named
            ),
        )

    async def remove(self, tenant: str, id: str, names: Sequence[str]) -> None:
        """Blobs that were made for a change that was not written."""
        await asyncio.gather(*(self._blobs.remove(name) for name in names), return_exceptions=True)

    async def _to_blobs(self, tenant: str, id: str, payload: bytes) -> tuple[str, ...]:
        digests = []
        for start in range(0, len(payload), _MOST_OF_BLOB):
            data = secrets.token_bytes(_NONCE) + payload[start : start + _MOST_OF_BLOB]
            name = digest_name(f"{place(tenant, id)}/head", data, "head")
            await self._blobs.put(name, data)
            digests.append(name.rpartition("-")[2].removesuffix(".head"))
        return tuple(digests)

    async def _from_blobs(self, tenant: str, id: str, kept: KeptHead) -> bytes | None:
        names = [_blob_name(tenant, id, digest) for digest in kept.blobs]
        pieces = await asyncio.gather(*(self._blobs.get(name) for name in names))
        found = [piece[_NONCE:] for piece in pieces if piece is not None]
        return b"".join(found) if len(found) == len(names) else None


def head_blobs(tenant: str, id: str, fields: Mapping[bytes, bytes]) -> frozenset[str]:
    """All blobs that the heads of a classifier's hash are in."""
    index = HeadsAsRead(value=fields.get(HEADS)).index
    return frozenset(_blob_name(tenant, id, digest) for kept in index.values() for digest in kept.blobs)


def _inline(
    answers: int, current: int | None, payloads: Mapping[int, bytes], after: Mapping[int, KeptHead]
) -> int | None:
    """Which head lies in Redis from now on."""
    for version in (answers, current):
        if version is not None and version in payloads and version in after:
            return version
    return max((version for version in payloads if version in after), default=None)


def _blob_name(tenant: str, id: str, digest: str) -> str:
    return f"{place(tenant, id)}/head-{digest}.head"
