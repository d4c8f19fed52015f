"""Records to JSON and back."""

from dataclasses import replace
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from handful.errors import StorageError
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


class Codec(Generic[R]):
    """Of one kind of record.    apart : bytes that have a column of their own."""

    def __init__(self, kind: type[R], apart: str | None = None) -> None:
        self._name = kind.__name__
        self._adapter: TypeAdapter[R] = TypeAdapter(kind)
        self._apart = apart

    def write(self, record: R) -> bytes:
        """JSON, without what is kept apart."""
        return self._adapter.dump_json(record, exclude={self._apart} if self._apart else None)

    def read(self, data: bytes, apart: bytes | None = None) -> R:
        """The record again. Raises StorageError where the disk gave other bytes than it was given."""
        try:
            record = self._adapter.validate_json(data)
        except ValidationError as exc:
            raise StorageError(
                f"a {self._name} in the store is damaged ({exc.errors()[0]['msg']}); restore a backup with "
                "`handful restore`"
            ) from exc
        return record if apart is None else _with(record, {str(self._apart): apart})


def _with(record: R, fields: dict[str, Any]) -> R:
    changed: R = replace(record, **fields)  # type: ignore[type-var]  # every record is a dataclass
    return changed


CLASSIFIER = Codec(ClassifierRecord)
CLASS = Codec(ClassRecord)
SHOT = Codec(ShotRecord, apart="rows")
HEAD = Codec(HeadRecord)
JOB = Codec(JobRecord)
KEY = Codec(KeyRecord)
REPLY = Codec(Reply, apart="body")
