"""Segments: shots with their rows in one value, immutable; inline in Redis, or a blob that it points to."""

import asyncio
import secrets
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cachetools import LRUCache

from handful.errors import StorageError
from handful.storage.blobs import Blobs, digest_name
from handful.storage.records import ShotRecord
from handful.storage.redis.codec import (
    SHOT,
    VERSION,
    check_version,
    damaged,
    decode,
    encode,
    unseal,
)
from handful.storage.redis.layout import BATCH, place

MOST_BYTES = 4 * 2**20  # of a segment, about
_INLINE, _POINTER = b"i", b"p"
_RECORD_BYTES = 300  # of a shot without its rows, about
_IN_MEMORY = 700  # bytes of a shot's objects, about
_AT_ONCE = 2**18  # bytes, above which packing is a thread's work
_LENGTH = struct.Struct(">BI")  # version, length of the records; rows follow these


class VanishedError(StorageError):
    """A segment that was named a moment ago is not there: it was folded meanwhile, or is lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Where some shots are, as a field of the classifier's hash tells.

    field : its name, never given twice.    revision : the classifier's, up to which changes are in it.
    first, last : ids between which all of its shots lie; low, high : likewise keys of classes.
    pictures : how many shots have a kept one.    size : bytes of the segment.
    digest : in the name of its blob; None where `data` is the segment itself.
    """

    field: bytes
    revision: int
    first: str
    last: str
    low: int
    high: int
    count: int
    pictures: int
    size: int
    digest: str | None
    data: bytes | None = None

    @property
    def value(self) -> bytes:
        """What `batch_of` reads again."""
        told = [
            self.revision,
            self.first,
            self.last,
            self.low,
            self.high,
            self.count,
            self.pictures,
            self.size,
        ]
        if self.digest is not None:
            return bytes([VERSION]) + _POINTER + encode([*told, bytes.fromhex(self.digest)])
        return bytes([VERSION]) + _INLINE + encode([*told, self.data])

    def blob(self, tenant: str, id: str) -> str | None:
        """The name of its blob."""
        return None if self.digest is None else f"{place(tenant, id)}/support-{self.digest}.seg"


def batch_of(field: bytes, value: bytes) -> Batch:
    """Raises StorageError for what is damaged or of a newer build."""
    check_version(value[0] if value else 0, "a batch of shots")
    told = decode(value[2:], "a batch of shots")
    try:
        names = ("revision", "first", "last", "low", "high", "count", "pictures", "size")
        known = dict(zip(names, told[:8], strict=True))
        inline = value[1:2] == _INLINE
        return Batch(
            field=field,
            **known,
            digest=None if inline else told[8].hex(),
            data=told[8] if inline else None,
        )
    except (TypeError, ValueError, AttributeError, IndexError) as exc:
        raise damaged("a batch of shots", exc) from exc


def packed(shots: Sequence[ShotRecord]) -> bytes:
    """A segment. Two of the same shots differ, so that each has a blob of its own."""
    told = [secrets.token_bytes(8), [SHOT.values(shot) for shot in shots], [len(shot.rows) for shot in shots]]
    records = bytes([VERSION]) + encode(told)  # not compressed: disks are large, and this is often done
    return b"".join([_LENGTH.pack(VERSION, len(records)), records, *(shot.rows for shot in shots)])


def unpacked(data: bytes) -> tuple[ShotRecord, ...]:
    """Raises StorageError for what is damaged or of a newer build."""
    try:
        version, length = _LENGTH.unpack_from(data)
        check_version(version, "a segment of shots")
        at = _LENGTH.size + length
        told = decode(unseal(data[_LENGTH.size : at], "a segment of shots"), "a segment of shots")
        shots = []
        for values, size in zip(told[1], told[2], strict=True):
            shots.append(SHOT.record(values, rows=data[at : at + size]))
            at += size
    except (struct.error, TypeError, ValueError, IndexError) as exc:
        raise damaged("a segment of shots", exc) from exc
    if at > len(data):
        raise damaged("a segment of shots", "its rows are cut off")
    return tuple(shots)


class Segments:
    """Reads and writes them.    cache_bytes : of those that are kept parsed."""

    def __init__(self, blobs: Blobs, cache_bytes: int) -> None:
        self._blobs = blobs
        self._cache: LRUCache[str, tuple[ShotRecord, ...]] = LRUCache(cache_bytes, getsizeof=_memory)

    async def read(self, tenant: str, id: str, batch: Batch) -> tuple[ShotRecord, ...]:
        """Its shots as they were written. Raises VanishedError, and StorageError."""
        name = batch.blob(tenant, id)
        if name is None:
            return unpacked(batch.data or b"")
        found = self._cache.get(name)
        if found is None:
            data = await self._blobs.get(name)
            if data is None:
                raise VanishedError(
                    f"the segment {name} of classifier {id} is gone from {self._blobs.url}; put it back from "
                    "a backup, with all others"
                )
            found = unpacked(data) if len(data) < _AT_ONCE else await asyncio.to_thread(unpacked, data)
            if _memory(found) <= self._cache.maxsize:
                self._cache[name] = found
        return found

    async def write(
        self, tenant: str, id: str, revision: int, shots: Sequence[ShotRecord], *, inline: bool = False
    ) -> list[Batch]:
        """Blobs with all of the shots, which are by id; or one inline."""
        pieces = [shots] if inline else list(_pieces(shots))
        writing = [self._write(tenant, id, revision, piece, inline) for piece in pieces]
        return list(await asyncio.gather(*writing))

    async def _write(
        self, tenant: str, id: str, revision: int, shots: Sequence[ShotRecord], inline: bool
    ) -> Batch:
        data = packed(shots) if _size(shots) < _AT_ONCE else await asyncio.to_thread(packed, shots)
        digest = None
        if not inline:
            name = digest_name(f"{place(tenant, id)}/support", data, "seg")
            digest = name.rpartition("-")[2].removesuffix(".seg")
            await self._blobs.put(name, data)
        keys = [shot.class_key for shot in shots]
        return Batch(
            field=BATCH + secrets.token_bytes(6),
            revision=revision,
            first=min(shot.id for shot in shots),
            last=max(shot.id for shot in shots),
            low=min(keys),
            high=max(keys),
            count=len(shots),
            pictures=sum(shot.blob is not None for shot in shots),
            size=len(data),
            digest=digest,
            data=data if inline else None,
        )

    async def remove(self, tenant: str, id: str, batches: Sequence[Batch]) -> None:
        """Blobs of batches that no classifier names, and none will."""
        names = [name for batch in batches if (name := batch.blob(tenant, id)) is not None]
        await asyncio.gather(*(self._blobs.remove(name) for name in names), return_exceptions=True)


def _pieces(shots: Sequence[ShotRecord]) -> Iterator[Sequence[ShotRecord]]:
    start = size = 0
    for at, shot in enumerate(shots):
        own = _size((shot,))
        if at > start and size + own > MOST_BYTES:
            yield shots[start:at]
            start, size = at, 0
        size += own
    if start < len(shots):
        yield shots[start:]


def _size(shots: Sequence[ShotRecord]) -> int:
    return sum(len(shot.rows) + _RECORD_BYTES for shot in shots)


def _memory(shots: tuple[ShotRecord, ...]) -> int:
    return sum(len(shot.rows) + _IN_MEMORY for shot in shots)
