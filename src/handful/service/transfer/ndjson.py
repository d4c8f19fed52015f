"""Many classifiers as lines of JSON."""

from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from handful.errors import ImageError, RequestError
from handful.images import Limits, from_text
from handful.service.classes import NewClass
from handful.service.classifiers import NewClassifier
from handful.service.new_shots import NewShot
from handful.service.transfer.base64_rows import numbers_of
from handful.service.transfer.uploads import Source

LONGEST_LINE = 32 * 2**20  # bytes


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class _LineClass(_Line):
    name: str
    description: str | None = None
    prompts: tuple[str, ...] = ()


class _LineShot(_Line):
    label: str
    image: str | None = None
    embedding: str | list[float] | None = None
    group: str | None = None
    source_id: str | None = None
    metadata: dict[str, Any] | None = None  # Any: the sender's JSON


class ClassifierLine(_Line):
    """The body of POST /v1/classifiers, and its shots."""

    name: str
    encoder: str | None = None
    method: str = "auto"
    views: str = "auto"
    domain: str | None = None
    templates: str | tuple[str, ...] = "photo"
    use_text: bool = True
    unknown_threshold: float = 0.05
    classes: tuple[_LineClass, ...] = ()
    shots: Annotated[tuple[_LineShot, ...], Field(max_length=100_000)] = ()

    def classifier(self) -> NewClassifier:
        """Without its shots."""
        told = self.model_dump(exclude={"classes", "shots"})
        return NewClassifier(**told, classes=tuple(NewClass(**one.model_dump()) for one in self.classes))

    def new_shots(self, limits: Limits, most_images: int) -> list[NewShot]:
        """Raises RequestError for a picture or an embedding that is none."""
        pictured = sum(one.image is not None for one in self.shots)
        if pictured > most_images:
            raise RequestError(
                f"a line holds {pictured:,} images, and {most_images:,} may be; import an archive instead",
                pointer="/shots",
            )
        return [_shot(one, f"/shots/{at}", limits) for at, one in enumerate(self.shots)]


def numbered_lines(source: Source, start: int) -> Iterator[tuple[int, bytes | None, int]]:
    """Number from 0, bytes and end of each line that is not blank, from the place `start` in the file on.

    Numbers count the lines read here. A line that is too long comes as None, and is never in memory.
    """
    with source.open("rb") as file:
        file.seek(start)
        number = -1
        while line := file.readline(LONGEST_LINE + 1):
            number += 1
            if len(line) > LONGEST_LINE:
                while line and not line.endswith(b"\n"):
                    line = file.readline(LONGEST_LINE)
                yield number, None, file.tell()
            elif line.strip():
                yield number, line, file.tell()


def parsed_line(line: bytes) -> ClassifierLine:
    """Raises RequestError that says what is wrong, and where."""
    try:
        return ClassifierLine.model_validate_json(line)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False)[0]
        pointer = "/" + "/".join(str(part) for part in first["loc"])
        raise RequestError(f"{pointer}: {first['msg']}", pointer=pointer) from None


def _shot(one: _LineShot, pointer: str, limits: Limits) -> NewShot:
    image, row = None, None
    if (one.image is None) == (one.embedding is None):
        raise RequestError("a shot is an image or an embedding; give one of them", pointer=pointer)
    if one.image is not None:
        try:
            image = from_text(one.image, limits=limits)
        except ImageError as exc:
            raise RequestError(str(exc), pointer=f"{pointer}/image") from exc
    elif isinstance(one.embedding, str):
        row = numbers_of(one.embedding, pointer=f"{pointer}/embedding")
    else:
        with np.errstate(over="ignore"):  # what is no float32 is infinite, and refused as that
            row = np.asarray(one.embedding, np.float32)
    return NewShot(
        label=one.label,
        image=image,
        row=row,
        group=one.group,
        source_id=one.source_id,
        metadata=one.metadata,
        pointer=pointer,
    )
