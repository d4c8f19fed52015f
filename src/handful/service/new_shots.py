"""New shots: what is sent to be taught, and what is allowed of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import ArrayLike, NDArray

from handful.errors import EmbeddingError, RequestError
from handful.rows import Rows, as_rows

_MOST_METADATA = 1024  # bytes of JSON
_LONGEST_NAME = 200  # characters of a group or a source_id


@dataclass(frozen=True, slots=True, kw_only=True)
class NewShot:
    """A shot to add: a picture's bytes, or a row.    pointer : to it in the request, for errors."""

    label: str
    image: bytes | None = None
    row: ArrayLike | None = None
    group: str | None = None
    source_id: str | None = None
    metadata: Mapping[str, Any] | None = None  # Any: the sender's JSON
    pointer: str = ""


def check_shot(shot: NewShot) -> None:
    """Raises RequestError for what a shot says of itself at too great length."""
    for name, value in (("group", shot.group), ("source_id", shot.source_id)):
        if value is not None and not 1 <= len(value) <= _LONGEST_NAME:
            raise RequestError(
                f"{name} has {len(value)} characters; give 1 to {_LONGEST_NAME}",
                pointer=f"{shot.pointer}/{name}",
            )
    if shot.metadata is not None and _size_of(shot) > _MOST_METADATA:
        raise RequestError(
            f"metadata takes over {_MOST_METADATA} bytes of JSON; keep less with a shot",
            pointer=f"{shot.pointer}/metadata",
        )


def _size_of(shot: NewShot) -> int:
    """Bytes of its metadata as JSON."""
    try:
        return len(orjson.dumps(shot.metadata))
    except orjson.JSONEncodeError as exc:
        raise RequestError(f"metadata is no JSON: {exc}", pointer=f"{shot.pointer}/metadata") from exc


def new_rows(shots: Sequence[NewShot], dimension: int) -> Rows:
    """(N, D) of shots that are rows. Raises RequestError that points to one that is none."""
    given = [_row(shot) for shot in shots]
    if not given:
        return np.zeros((0, dimension), np.float32)
    try:
        return as_rows(np.stack(given), name="embeddings", dimension=dimension)
    except (EmbeddingError, ValueError):  # which of them, in words of its own
        for shot, row in zip(shots, given, strict=True):
            try:
                as_rows(row, name="embedding", dimension=dimension)
            except EmbeddingError as exc:
                raise RequestError(str(exc), pointer=f"{shot.pointer}/embedding") from exc
        raise


def _row(shot: NewShot) -> NDArray[Any]:
    if shot.row is None:
        raise RequestError("a shot is an image or an embedding; give one of them", pointer=shot.pointer)
    try:
        row = np.asarray(shot.row)
    except ValueError as exc:  # lists of different lengths in one
        raise RequestError(
            f"an embedding is a list of numbers: {exc}", pointer=f"{shot.pointer}/embedding"
        ) from exc
    if row.ndim != 1:
        raise RequestError(
            f"an embedding is a list of numbers, and this has shape {row.shape}",
            pointer=f"{shot.pointer}/embedding",
        )
    return row
