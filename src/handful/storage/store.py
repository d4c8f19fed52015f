"""What a store is: where classifiers, their shots and heads, jobs, keys and given answers are kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from handful.errors import ConflictError, QuotaError
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


class ChangedMeanwhileError(ConflictError):
    """Another writer was faster; read again, and decide anew."""


class AnsweredError(ConflictError):
    """Another request under the same Idempotency-Key was answered meanwhile.    reply : that answer."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(f"the request under the Idempotency-Key {reply.key!r} was answered already")
        self.reply = reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Everything that one request changes about one classifier; written as a whole, or not at all.

    before : the classifier as it was read, None to create it. The store refuses the change where the
    classifier has another revision by now.
    after : as it shall be, with the next revision and its counts; None to delete all of it.
    put_classes : new, or in place of those with the same key.    drop_classes : keys; their shots go too.
    put_shots : new.    drop_shots : ids.    label_shots : the new class key of shots, by id.
    row_shots : new rows of shots, by id, packed as in ShotRecord.
    put_heads : heads with their bytes.    drop_heads : versions.
    limits : what the tenant may hold afterwards; None where nothing grows.
    reply : the answer to keep under the request's Idempotency-Key.
    job : a job whose claim (`token`) must still hold, and which is written with the change.
    """

    before: ClassifierRecord | None
    after: ClassifierRecord | None
    put_classes: Sequence[ClassRecord] = ()
    drop_classes: Sequence[int] = ()
    put_shots: Sequence[ShotRecord] = ()
    drop_shots: Sequence[str] = ()
    label_shots: Mapping[str, int] = field(default_factory=dict)
    row_shots: Mapping[str, bytes] = field(default_factory=dict)
    put_heads: Sequence[tuple[HeadRecord, bytes]] = ()
    drop_heads: Sequence[int] = ()
    limits: Usage | None = None
    reply: Reply | None = None
    job: JobRecord | None = None

    @property
    def classifier(self) -> ClassifierRecord:
        """That which it is about. Raises ValueError where it says none."""
        classifier = self.after or self.before
        if classifier is None:
            raise ValueError("a change needs a classifier before or after it")
        return classifier

    @property
    def grown(self) -> Usage:
        """By how much what the tenant holds grows."""
        before, after = (Usage() if one is None else one.usage for one in (self.before, self.after))
        return after - before


def changed_meanwhile(id: str) -> ChangedMeanwhileError:
    """The error to raise where a classifier has another revision by now."""
    return ChangedMeanwhileError(f"classifier {id} was changed meanwhile; try again")


def over_limit(name: str, held: int, most: int) -> QuotaError:
    """The error to raise where a tenant would hold more than it may.    name : of a field of `Usage`."""
    return QuotaError(
        f"this would make {held:,} {name.replace('_', ' ')}, and {most:,} are allowed; "
        "delete some, or ask for more"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Trash:
    """A blob, or all blobs under a prefix ending in "/", that no record names any more."""

    id: int
    name: str


class Store(Protocol):
    """Every method is atomic and durable once it returns: it survives a killed process and a lost power.

    What is not there is None or left out, and so is what belongs to another tenant, at the same cost.
    Raises StorageError, or StorageFullError, where the store cannot be read or written.
    """

    async def check(self) -> None:
        """Return if it can be read.

        Raises StorageSetupError where it is set up to lose what it is given, or newer than this build;
        StorageError where it is merely away.
        """
        ...

    async def close(self) -> None:
        """Finish what was accepted, and let go."""
        ...

    # ---- classifiers

    async def apply(self, change: Change) -> None:
        """Write a change, and put the blobs that it makes needless into the trash.

        Raises ChangedMeanwhileError, AnsweredError, QuotaError, or StaleError for a job that is no longer
        its claimer's, and then has written nothing. A classifier that is created under an id that exists is
        ChangedMeanwhileError too.
        """
        ...

    async def classifier(self, tenant: str, id: str) -> ClassifierRecord | None:
        """The cheapest read there is."""
        ...

    async def classifiers(
        self, tenant: str, *, limit: int, after: str | None = None
    ) -> list[ClassifierRecord]:
        """By id, those behind `after`."""
        ...

    async def classes(
        self, tenant: str, id: str, *, limit: int, after: int | None = None
    ) -> list[ClassRecord]:
        """By key, those behind `after`."""
        ...

    async def classes_named(self, tenant: str, id: str, names: Sequence[str]) -> dict[str, ClassRecord]:
        """Those of the names that are classes."""
        ...

    async def classes_keyed(self, tenant: str, id: str, keys: Sequence[int]) -> dict[int, ClassRecord]:
        """Those of the keys that are classes."""
        ...

    async def shots(
        self,
        tenant: str,
        id: str,
        *,
        limit: int,
        after: str | None = None,
        class_key: int | None = None,
    ) -> list[ShotRecord]:
        """By id, those behind `after`, without their rows."""
        ...

    async def shots_named(self, tenant: str, id: str, ids: Sequence[str]) -> dict[str, ShotRecord]:
        """Those of the ids that are shots, without their rows."""
        ...

    async def support(self, tenant: str, id: str) -> Support | None:
        """Classifier, classes and shots as of one moment."""
        ...

    async def changed_since(self, tenant: str, id: str, revision: int) -> Support | None:
        """As `support`, with those shots alone whose class changed after a revision."""
        ...

    async def heads(self, tenant: str, id: str) -> list[HeadRecord]:
        """Newest first, without their classes."""
        ...

    async def head(self, tenant: str, id: str, version: int) -> tuple[HeadRecord, bytes] | None:
        """A head with its bytes."""
        ...

    async def keep_head(self, tenant: str, id: str, head: HeadRecord, data: bytes, *, newest: int) -> None:
        """Keep a closed-form head, and only the `newest` of those that are not held.

        Nothing happens where the classifier is gone, or has the head. Bumps no revision.
        """
        ...

    # ---- answers given

    async def reply(self, tenant: str, key: str) -> Reply | None:
        """The answer under an Idempotency-Key, unless it has expired."""
        ...

    # ---- jobs

    async def put_job(self, job: JobRecord, *, reply: Reply | None = None) -> None:
        """A new job. Raises AnsweredError."""
        ...

    async def job(self, tenant: str, id: str) -> JobRecord | None: ...

    async def claim_job(self, *, token: str, now: datetime, lease_until: datetime) -> JobRecord | None:
        """The oldest job that is queued, or running with its lease over; it is the claimer's from now on."""
        ...

    async def update_job(self, job: JobRecord) -> bool:
        """Write a job that was claimed; False, and nothing written, where `job.token` is not its claim's."""
        ...

    async def cancel_job(self, tenant: str, id: str, now: datetime) -> JobRecord | None:
        """A queued job is cancelled; a running one is asked to stop; one that is over stays as it is."""
        ...

    async def jobs_left(self) -> int:
        """How many jobs of all tenants are not over."""
        ...

    # ---- keys

    async def put_key(self, key: KeyRecord, *, before: KeyRecord | None = None) -> None:
        """Write a key in place of `before`, as that was read; None: a new one.

        Raises ChangedMeanwhileError where another stands under its id by now, or none; nothing is written.
        """
        ...

    async def key(self, id: str) -> KeyRecord | None: ...

    async def keys(self, tenant: str | None = None) -> list[KeyRecord]:
        """By time of creation."""
        ...

    # ---- upkeep

    async def usage(self, tenant: str) -> Usage:
        """What a tenant holds."""
        ...

    async def tally(
        self, more: Mapping[tuple[str, str], int], *, keep: timedelta
    ) -> Mapping[tuple[str, str], int] | None:
        """Add to counts that all processes share, each of a tenant and a name; their sums.

        Cheap, and so neither durable nor exact: a count may be lost, or added twice.
        keep : how long a count is kept after something was added last.
        None where the store shares no counts.
        """
        ...

    async def tenants(self, *, limit: int, after: str | None = None) -> list[str]:
        """Those that have, or had, a classifier; by name, those behind `after`."""
        ...

    async def blob_names(self, tenant: str, id: str) -> frozenset[str] | None:
        """All blobs that a classifier's records name, and those that the store itself keeps for it."""
        ...

    async def fold(self, now: datetime) -> int:
        """Pack what was written some seconds ago into blobs, where the store does so; how many are left.

        Changes no record and no revision. Safe beside every other call, also of other processes.
        """
        ...

    async def trash(self, limit: int) -> list[Trash]:
        """Blobs to remove."""
        ...

    async def hold_trash(self, until: datetime) -> None:
        """Until then `trash` is empty for every process; a moment that is past lets go again."""
        ...

    async def dump(self, file: Path) -> list[str]:
        """Write all of it into a new SQLite file, which `open_store` opens; what could not be read, in words.

        A SQLite store is written as of one moment; of another each classifier is of one revision, and jobs
        and replies are left out.
        """
        ...

    async def trash_held(self) -> bool:
        """Whether somebody holds it now, who may still need what no record names any more."""
        ...

    async def forget_trash(self, ids: Sequence[int]) -> None:
        """They are removed."""
        ...

    async def forget_expired(self, now: datetime) -> None:
        """Drop replies that have expired."""
        ...

    async def forget_jobs(self, before: datetime, limit: int) -> int:
        """Drop jobs that were over before then, the longest over first; how many."""
        ...

    async def repair(self, tenant: str, *, write: bool) -> Repairs:
        """Look for what a crash may have left wrong in a tenant's lists and counts; put it right if `write`.

        Safe beside every other call. Takes some seconds where something is found.
        """
        ...

    async def note(self, name: str) -> bytes | None:
        """What was noted about the store as a whole."""
        ...

    async def put_note(self, name: str, data: bytes | None) -> None:
        """Note something in place of what was noted; None forgets it."""
        ...
