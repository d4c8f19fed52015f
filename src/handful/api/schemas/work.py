"""Versions, jobs, training and encoders over HTTP."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from handful.api.schemas.classifiers import In, Method
from handful.service.versions import VersionView
from handful.storage.records import JobRecord


class VersionOut(BaseModel):
    """A head."""

    version: int
    method: str
    created: datetime
    active: bool
    stale: bool

    @classmethod
    def of(cls, view: VersionView) -> Self:
        """From what the use cases give."""
        return cls(
            version=view.version,
            method=view.method,
            created=view.created,
            active=view.active,
            stale=view.stale,
        )


class VersionsOut(BaseModel):
    """The heads of a classifier, newest first."""

    items: list[VersionOut]
    next_cursor: None = None


class TrainIn(In):
    """How to train."""

    model_config = ConfigDict(json_schema_extra={"example": {"method": "tip-f"}})

    method: Method = "tip-f"
    options: dict[str, float | int | str | bool | None] = Field(
        default_factory=dict, description="of the method, such as learning_rate"
    )
    views: Annotated[
        str | None,
        Field(
            max_length=40,
            description="policy of augmented copies, made of kept pictures; null: the classifier's own, "
            "auto: the method's",
        ),
    ] = None


class EvaluateIn(In):
    """What to evaluate: null is the classifier's own method."""

    method: Method | None = None
    views: Annotated[
        Literal["all"] | Annotated[list[Annotated[str, Field(max_length=40)]], Field(min_length=1)] | None,
        Field(
            description="policies of augmented copies to compare beside none and the method's own, or all "
            "that are worth it; made of kept pictures"
        ),
    ] = None


class ViewsIn(In):
    """Another policy of augmented copies."""

    model_config = ConfigDict(json_schema_extra={"example": {"views": "flip"}})

    views: Annotated[
        str,
        Field(
            max_length=40,
            description="a policy, auto, or choose: what the shots, left out in turn, surely prefer",
        ),
    ]


class JobOut(BaseModel):
    """Work that outlives its request."""

    id: str
    kind: str
    classifier: str | None
    status: Literal["queued", "running", "succeeded", "failed", "cancelled"]
    progress: Annotated[float, Field(ge=0, le=1)]
    result: dict[str, Any] | None  # Any: each kind has its own
    error: Annotated[dict[str, Any] | None, Field(description="a problem, where it failed")]  # Any: JSON
    created: datetime
    updated: datetime

    @classmethod
    def of(cls, job: JobRecord) -> Self:
        """From what the use cases give."""
        return cls(
            id=job.id,
            kind=job.kind,
            classifier=job.classifier,
            status=job.status,
            progress=min(max(job.progress or 0.0, 0.0), 1.0),
            result=None if job.result is None else dict(job.result),
            error=None if job.error is None else dict(job.error),
            created=job.created,
            updated=job.updated,
        )


class EncoderOut(BaseModel):
    """An encoder: one that classifiers may name, or that whoever runs the service can let them name."""

    name: str
    title: str
    dimension: Annotated[int | None, Field(description="columns of its embeddings; null until it was used")]
    fingerprint: Annotated[str | None, Field(description="tells embeddings apart; null until it was used")]
    default: bool
    usable: Annotated[bool, Field(description="whether classifiers may name it; see HANDFUL_ENCODERS")]
    loaded: Annotated[bool, Field(description="whether this process holds it in memory")]
    loaded_bytes: Annotated[int | None, Field(description="about the memory that it takes; null: not known")]
    parameters: int | None = None
    imagenet_top1: Annotated[float | None, Field(description="%, without a shot; of builtin, trained")] = None
    licence: str | None = None
    warning: Annotated[str | None, Field(description="what its licence forbids")] = None
    description: str


class EncodersOut(BaseModel):
    """All of them."""

    items: list[EncoderOut]
    next_cursor: None = None
