"""What the service answers, as values."""

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Literal, TypeVar

from pydantic import TypeAdapter

from handful.prediction import Prediction

T = TypeVar("T")
JobStatus = Literal["queued", "running", "succeeded", "failed", "cancelled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassSummary:
    """A class of a classifier.    shots : how many it has."""

    name: str
    description: str | None = None
    prompts: tuple[str, ...] = ()
    shots: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Classifier:
    """A classifier.

    classes : up to 1,000; `classes(id)` of the client goes over all of them.
    stale : the head that answers does not count the newest writes.
    etag : of this state, for `if_match`; None in lists.
    """

    id: str
    name: str
    encoder: str
    method: str
    views: str
    unknown_threshold: float
    class_count: int
    classes: tuple[ClassSummary, ...] = ()
    shots: int
    support_version: int
    head_version: int
    stale: bool
    created: datetime
    updated: datetime
    etag: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """What a deletion would take with it.    image_bytes : of kept pictures.    versions : heads."""

    classes: int
    shots: int
    image_bytes: int
    versions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """A labelled picture.    width, height : pixels, 0 for an embedding.    sha256 : of the bytes as sent."""

    id: str
    label: str
    width: int
    height: int
    sha256: str
    created: datetime
    group: str | None = None
    source_id: str | None = None
    metadata: dict[str, Any] | None = None  # Any: the sender's JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is on pictures, one prediction each, in order.    version : of the head, 0 for words alone."""

    predictions: tuple[Prediction, ...]
    version: int
    encoder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """A picture to label.    index : its place among those sent.    score : 0 to 1."""

    index: int
    score: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A head of a classifier.    active : it answers.    stale : it does not count the newest writes."""

    version: int
    method: str
    created: datetime
    active: bool
    stale: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Work that outlives its request.    progress : 0 to 1.    error : a problem, where it failed."""

    id: str
    kind: str
    status: JobStatus
    progress: float
    result: dict[str, Any] | None = None  # Any: each kind of job has its own
    error: dict[str, Any] | None = None  # Any: a problem's extension members

    @property
    def over(self) -> bool:
        """Whether it is in its final state."""
        return self.status in ("succeeded", "failed", "cancelled")


def read(kind: type[T], said: object) -> T:
    """JSON as a value; members that this release does not know are left out."""
    reader: TypeAdapter[T] = _reader(kind)  # type: ignore[arg-type] # mypy takes classes for unhashable
    return reader.validate_python(said)


def as_json(value: object) -> Any:  # Any: JSON
    """A value as the service answers it; what was not asked for or is not known is not there."""
    if isinstance(value, Answer):
        return {
            "predictions": [prediction.as_dict() for prediction in value.predictions],
            "version": value.version,
            "encoder": value.encoder,
        }
    reader: TypeAdapter[Any] = _reader(type(value))  # type: ignore[arg-type] # as above
    return reader.dump_python(value, mode="json", exclude_none=True)


@cache
def _reader(kind: Any) -> TypeAdapter[Any]:  # Any: functools forgets what kind it was asked for
    return TypeAdapter(kind)
