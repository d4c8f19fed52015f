"""What a store keeps: records, each an immutable value that is written as a whole."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Any, Literal

JobStatus = Literal["queued", "running", "succeeded", "failed", "cancelled"]
Scope = Literal["read", "write", "admin"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinned:
    """A head that answers until told otherwise: a trained one, or an old one that was activated.

    version : of that head.    since : the support_version it was right for; later ones make it stale.
    """

    version: int
    since: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifierRecord:
    """A classifier without its classes and shots; small, read at every request.

    tenant, id : its name in the store; ids sort by time of creation.
    fingerprint : of the encoder that made its rows.
    templates : a named set, or prompts of its own.
    revision : counts every write to it; its ETag.
    support_version : the revision of the last write that changes what a closed-form head is made of.
    pinned : None where the closed-form head of support_version answers.
    next_class : the key that the next new class gets; keys are never given twice.
    class_count, shot_count, image_bytes : what it holds.
    """

    tenant: str
    id: str
    name: str
    encoder: str
    fingerprint: str
    method: str
    views: str
    domain: str | None
    templates: str | tuple[str, ...]
    use_text: bool
    unknown_threshold: float
    revision: int
    support_version: int
    pinned: Pinned | None
    next_class: int
    class_count: int
    shot_count: int
    image_bytes: int
    created: datetime
    updated: datetime

    @property
    def head_version(self) -> int:
        """The head that answers."""
        return self.support_version if self.pinned is None else self.pinned.version

    @property
    def stale(self) -> bool:
        """Whether the head that answers does not count the newest writes."""
        return self.pinned is not None and self.support_version > self.pinned.since

    @property
    def usage(self) -> "Usage":
        """Its part of what its tenant holds."""
        return Usage(
            classifiers=1,
            classes=self.class_count,
            shots=self.shot_count,
            image_bytes=self.image_bytes,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassRecord:
    """A class of a classifier.

    key : its number in the classifier, by which shots name it; renaming a class touches no shot.
    prompts : read as they are in place of templates, where there are any.    shots : how many it has.
    changed : the revision of the last write to its words or its shots.
    """

    key: int
    name: str
    description: str | None = None
    prompts: tuple[str, ...] = ()
    shots: int = 0
    changed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ShotRecord:
    """A shot.

    id : unique in the classifier; ids sort by arrival.    class_key : its class.
    group : shots of a group are left out together.    source_id, metadata : the sender's, given back.
    sha256 : of the bytes as sent.    width, height : pixels after EXIF rotation, 0 for an embedding.
    blob : name of the kept picture among the blobs, or None.    blob_bytes : its size.
    rows : D in two bytes, then (V, D) of float16, all little-endian, a row for each view; empty in lists.
    """

    id: str
    class_key: int
    group: str | None = None
    source_id: str | None = None
    metadata: Mapping[str, Any] | None = None
    sha256: str
    width: int
    height: int
    created: datetime
    blob: str | None = None
    blob_bytes: int = 0
    rows: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadRecord:
    """A head that is kept.

    version : the revision of its classifier that it was made at.    support_version : what it was made of.
    trained : by a job; otherwise in closed form.    held : stays until its classifier goes, as trained ones
    and ones once activated by hand do; others go when five newer ones are there.
    classes : key and name of each class in the head's order.
    frozen : what its statistics are good for, as long as it stays so; empty where it keeps none.
    """

    version: int
    support_version: int
    method: str
    trained: bool
    held: bool
    created: datetime
    classes: tuple[tuple[int, str], ...] = ()
    frozen: str = ""

    @classmethod
    def in_closed_form(
        cls, of: ClassifierRecord, method: str, classes: Sequence[ClassRecord], *, frozen: str = ""
    ) -> "HeadRecord":
        """Of a classifier's shots as they are, made now."""
        return cls(
            version=of.support_version,
            support_version=of.support_version,
            method=method,
            trained=False,
            held=False,
            created=datetime.now(UTC),
            classes=tuple((one.key, one.name) for one in classes),
            frozen=frozen,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Support:
    """All that a closed-form head is made of, as of one moment.

    classes : by key.    shots : by id, with their rows.
    """

    classifier: ClassifierRecord
    classes: tuple[ClassRecord, ...]
    shots: tuple[ShotRecord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """Work that outlives its request.

    kind : what to do; request : with what.    progress : 0 to 1.    cursor : how far it is, for going on
    after a crash; only the job's own code reads it.
    result : its outcome.    error : why it failed, as a problem.
    worker, lease_until : who works on it, and until when it may be thought alive; token : of this claim,
    without which nobody may write to it.    attempts : how often it was claimed.
    cancelling : asked to stop.
    """

    tenant: str
    id: str
    kind: str
    classifier: str | None
    status: JobStatus
    request: Mapping[str, Any]
    progress: float = 0.0
    cursor: Mapping[str, Any] = field(default_factory=dict)
    result: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None
    token: str | None = None
    lease_until: datetime | None = None
    attempts: int = 0
    cancelling: bool = False
    created: datetime
    updated: datetime

    @property
    def over(self) -> bool:
        """Whether it is in its final state."""
        return self.status in ("succeeded", "failed", "cancelled")

    def claimed(self, *, token: str, now: datetime, lease_until: datetime) -> "JobRecord":
        """The same in the hands of a worker."""
        return replace(
            self,
            status="running",
            token=token,
            lease_until=lease_until,
            attempts=self.attempts + 1,
            updated=now,
        )

    def told_to_stop(self, now: datetime) -> "JobRecord":
        """The same, which is not over: cancelled if it is queued, asked to stop if somebody works on it."""
        status: JobStatus = "cancelled" if self.status == "queued" else self.status
        return replace(self, status=status, cancelling=True, updated=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """An API key; of the secret only its SHA-256 is kept."""

    id: str
    tenant: str
    name: str
    digest: str
    scopes: frozenset[Scope]
    created: datetime
    expires: datetime | None = None
    revoked: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer that was given under an Idempotency-Key, to be given again.

    request : digest of what was asked, by content.    expires : when it is forgotten.
    """

    tenant: str
    key: str
    request: str
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    expires: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a tenant holds, or may hold."""

    classifiers: int = 0
    classes: int = 0
    shots: int = 0
    image_bytes: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(**{name: getattr(self, name) + getattr(other, name) for name in COUNTED})

    def __sub__(self, other: "Usage") -> "Usage":
        return Usage(**{name: getattr(self, name) - getattr(other, name) for name in COUNTED})


COUNTED = tuple(one.name for one in fields(Usage))  # what is counted for each tenant


@dataclass(frozen=True, slots=True, kw_only=True)
class Repairs:
    """What of a tenant's lists and counts was not as its classifiers are.

    dangling : names in lists that are no classifiers.    over : how much more was counted than it holds.
    """

    dangling: int = 0
    over: Usage = field(default_factory=Usage)
