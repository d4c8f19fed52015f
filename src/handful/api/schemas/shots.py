"""Shots over HTTP."""

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field

from handful.api.schemas.classifiers import In, Name
from handful.service.shots import ShotView

Base64 = Annotated[
    str,
    Field(description="base64, a data URI, or an address at a host that the service is set up to fetch from"),
]
Embedding = Annotated[list[float] | str, Field(description="D numbers, or base64 of little-endian float32")]


class ShotIn(In):
    """A labelled picture, or a labelled embedding."""

    label: Name
    image: Base64 | None = None
    embedding: Embedding | None = None
    group: Annotated[
        str | None, Field(min_length=1, max_length=200, description="shots of a group are left out together")
    ] = None
    source_id: Annotated[str | None, Field(min_length=1, max_length=200)] = None
    metadata: Annotated[dict[str, Any] | None, Field(description="at most 1 KB of JSON")] = None  # Any: JSON


class ShotPatchIn(In):
    """Another label."""

    model_config = ConfigDict(json_schema_extra={"example": {"label": "rust"}})

    label: Name


class ShotOut(BaseModel):
    """A shot."""

    id: str
    label: str
    width: Annotated[int, Field(description="pixels, the right way up; 0 for an embedding")]
    height: int
    sha256: Annotated[str, Field(description="of the bytes as uploaded")]
    created: datetime
    group: str | None
    source_id: str | None
    metadata: dict[str, Any] | None  # Any: the sender's JSON
    image: Annotated[str | None, Field(description="where the kept picture is")]

    @classmethod
    def of(cls, classifier: str, view: ShotView) -> Self:
        """From what the use cases give."""
        record = view.record
        return cls(
            id=record.id,
            label=view.label,
            width=record.width,
            height=record.height,
            sha256=record.sha256,
            created=record.created,
            group=record.group,
            source_id=record.source_id,
            metadata=None if record.metadata is None else dict(record.metadata),
            image=None if record.blob is None else shot_image(classifier, record.id),
        )


class NewShotsOut(BaseModel):
    """The shots that were stored."""

    shots: list[ShotOut]


class ShotsOut(BaseModel):
    """A page of shots."""

    items: list[ShotOut]
    next_cursor: str | None


def shot_image(classifier: str, shot: str) -> str:
    """Path of a kept picture."""
    return f"/v1/classifiers/{classifier}/shots/{shot}/image"
