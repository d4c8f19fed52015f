"""Records as short lists of msgpack, in an envelope that tells their version.

A field that is added later goes to the end of its list, with a default in its record: older builds leave it
aside, and newer ones do without it.
"""

import json
import zlib
from datetime import datetime
from typing import Any, Generic, TypeVar

import msgspec

from handful.errors import StorageError, StorageSetupError
from handful.storage.records import (
    ClassifierRecord,
    ClassRecord,
    HeadRecord,
    JobRecord,
    KeyRecord,
    Reply,
    ShotRecord,
)

R = TypeVar("R")

VERSION = 1
_COMPRESSED = 0x80
_WORTH = 200  # bytes, below which compressing saves little
_LARGEST = 2**16  # bytes, above which it takes long


def seal(data: bytes) -> bytes:
    """In an envelope, compressed where that pays."""
    if _WORTH <= len(data) <= _LARGEST:
        smaller = zlib.compress(data, 1, -15)
        if len(smaller) < len(data) - len(data) // 16:
            return bytes([VERSION | _COMPRESSED]) + smaller
    return bytes([VERSION]) + data


def unseal(data: bytes, what: str) -> bytes:
    """Raises StorageError for what is damaged or of a newer build.    what : for its message."""
    version = data[0] & ~_COMPRESSED if data else 0
    check_version(version, what)
    if not data[0] & _COMPRESSED:
        return data[1:]
    try:
        return zlib.decompress(data[1:], -15)
    except zlib.error as exc:
        raise damaged(what, exc) from exc


def check_version(version: int, what: str) -> None:
    """Raises StorageError unless this build can read it."""
    if version > VERSION:
        raise StorageSetupError(
            f"{what} has format {version}, newer than {VERSION}, the newest that this build reads; "
            "upgrade Handful"
        )
    if version < 1:
        raise damaged(what, f"format {version}")


def damaged(what: str, why: object) -> StorageError:
    """The error to raise for bytes that are not what was written."""
    return StorageError(f"{what} in the store is damaged ({why}); restore a backup with `handful restore`")


def encode(value: Any) -> bytes:  # Any: whatever msgpack has
    """As msgpack."""
    return msgspec.msgpack.encode(value)


def decode(data: bytes, what: str) -> Any:
    """Raises StorageError for what is no msgpack."""
    try:
        return msgspec.msgpack.decode(data)
    except msgspec.DecodeError as exc:
        raise damaged(what, exc) from exc


def microseconds(moment: datetime) -> int:
    """Since 1970; exact as a score of Redis, which is a double."""
    return int(moment.timestamp()) * 1_000_000 + moment.microsecond


class Codec(Generic[R]):
    """Of one kind of record.

    names : of its fields, in the order of the list, which never changes.    free : those of them that hold
    what others sent as JSON, with numbers of any size, which msgpack has not; they stay JSON.
    """

    def __init__(self, kind: type[R], *names: str, free: tuple[str, ...] = ()) -> None:
        self._kind = kind
        self._free = free
        self._names = names
        self._what = f"a {kind.__name__}"

    def values(self, record: R) -> list[Any]:
        """What `record` reads again."""
        told = [getattr(record, name) for name in self._names]
        for name in self._free:
            at = self._names.index(name)
            if told[at] is not None:
                told[at] = json.dumps(told[at], separators=(",", ":"))
        return told

    def record(self, values: list[Any], **others: Any) -> R:
        """others : fields that are kept elsewhere.    Raises StorageError."""
        try:
            told = dict(zip(self._names, values, strict=False))
            told |= {name: json.loads(told[name]) for name in self._free if told.get(name) is not None}
            return msgspec.convert(told | others, self._kind)
        except (TypeError, ValueError) as exc:
            raise damaged(self._what, exc) from exc

    def write(self, record: R) -> bytes:
        """In an envelope."""
        return seal(encode(self.values(record)))

    def read(self, data: bytes, **others: Any) -> R:
        """The record again. Raises StorageError."""
        return self.record(decode(unseal(data, self._what), self._what), **others)


CLASSIFIER = Codec(
    ClassifierRecord,
    "name",
    "encoder",
    "fingerprint",
    "method",
    "views",
    "domain",
    "templates",
    "use_text",
    "unknown_threshold",
    "support_version",
    "pinned",
    "next_class",
    "class_count",
    "shot_count",
    "image_bytes",
    "created",
    "updated",
)
CLASS = Codec(ClassRecord, "shots", "description", "prompts", "changed")
SHOT = Codec(
    ShotRecord,
    "id",
    "class_key",
    "sha256",
    "width",
    "height",
    "created",
    "group",
    "source_id",
    "metadata",
    "blob",
    "blob_bytes",
    free=("metadata",),
)
HEAD = Codec(HeadRecord, "version", "support_version", "method", "trained", "held", "created", "frozen")
JOB = Codec(
    JobRecord,
    "tenant",
    "id",
    "kind",
    "classifier",
    "status",
    "request",
    "progress",
    "cursor",
    "result",
    "error",
    "token",
    "lease_until",
    "attempts",
    "cancelling",
    "created",
    "updated",
    free=("request", "cursor", "result", "error"),
)
KEY = Codec(KeyRecord, "id", "tenant", "name", "digest", "scopes", "created", "expires", "revoked")
REPLY = Codec(Reply, "request", "status", "headers", "body", "expires")
