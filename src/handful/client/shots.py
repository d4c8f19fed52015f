"""Operations on shots."""

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from handful.client.answers import Job, Shot, read
from handful.client.classifiers import at
from handful.client.exchange import asked, exchanged
from handful.client.pages import paged
from handful.client.pictures import listed, next_uploads
from handful.client.steps import Items, Progress, Request, Steps, worked
from handful.datasets import read_dataset
from handful.errors import SupportError
from handful.images import ImageSource
from handful.rows import as_rows

T = TypeVar("T")
_MOST_ROWS = 1000  # of a request
_ARCHIVES = {
    ".zip": "application/zip",
    ".tar": "application/x-tar",
    ".tgz": "application/gzip",
    ".gz": "application/gzip",
}


def add_shots(
    id: str,
    images: Iterable[ImageSource],
    labels: str | Sequence[str],
    *,
    groups: Sequence[str | None] | None = None,
    source_ids: Sequence[str | None] | None = None,
    metadata: Sequence[Mapping[str, Any] | None] | None = None,  # Any: the caller's JSON
    progress: Progress | None = None,
) -> Steps[tuple[Shot, ...]]:
    """Teach pictures; a new label makes its class.

    images : paths, bytes, files, PIL images, arrays.    labels : one for all, or one each.
    groups, source_ids, metadata : of each, None where it has none.
    progress : told how many of how many are stored.
    Up to 64 pictures or 16 MB go in a request, which is stored whole or not at all.
    """
    sources = listed(images)
    of_each = [labels] * len(sources) if isinstance(labels, str) else [str(label) for label in labels]
    _check(sources, labels=of_each, groups=groups, source_ids=source_ids, metadata=metadata)
    shots: list[Shot] = []
    while len(shots) < len(sources):
        start = len(shots)
        uploads = yield from worked(lambda start=start: next_uploads(sources, start))  # type: ignore[misc]
        part = slice(start, start + len(uploads))
        form = {"label": of_each[part]}
        for name, values in (("group", groups), ("source_id", source_ids)):
            if values is not None:
                form[name] = [value or "" for value in values[part]]
        if metadata is not None:
            form["metadata"] = [json.dumps(value or {}) for value in metadata[part]]
        request = Request(
            method="POST",
            path=at(id, "shots"),
            files=[("files", upload) for upload in uploads],
            form=form,
            write=True,
        )
        shots += _shots((yield from asked(request)))
        if progress is not None:
            progress(len(shots), len(sources))
    return tuple(shots)


def add_embeddings(
    id: str,
    X: ArrayLike,
    labels: str | Sequence[str],
    *,
    groups: Sequence[str | None] | None = None,
    source_ids: Sequence[str | None] | None = None,
    metadata: Sequence[Mapping[str, Any] | None] | None = None,  # Any: the caller's JSON
) -> Steps[tuple[Shot, ...]]:
    """Teach rows X (N, D) of the classifier's encoder in place of pictures; up to 1,000 go in a request."""
    rows = as_rows(X, name="X")
    of_each = [labels] * len(rows) if isinstance(labels, str) else [str(label) for label in labels]
    _check(rows, labels=of_each, groups=groups, source_ids=source_ids, metadata=metadata)
    optional = {"group": groups, "source_id": source_ids, "metadata": metadata}
    shots: list[Shot] = []
    for start in range(0, len(rows), _MOST_ROWS):
        body = []
        for row in range(start, min(start + _MOST_ROWS, len(rows))):
            shot: dict[str, Any] = {"label": of_each[row], "embedding": as_base64(rows[row])}
            for name, values in optional.items():
                if values is not None and values[row] is not None:
                    shot[name] = values[row]
            body.append(shot)
        said = yield from asked(Request(method="POST", path=at(id, "shots"), json=body, write=True))
        shots += _shots(said)
    return tuple(shots)


def add_folder(
    id: str, folder: str | PathLike[str], *, split: str = "train", progress: Progress | None = None
) -> Steps[tuple[Shot, ...]]:
    """Teach the pictures of a folder with a folder per class, or of a CSV of path,label.

    Raises DatasetError where there are none.    split, progress : as in `handful fit` and `add_shots`.
    """
    dataset = yield from worked(lambda: read_dataset(Path(folder), split=split))
    return (
        yield from add_shots(
            id,
            dataset.images,
            [str(label) for label in dataset.labels],
            groups=None if dataset.groups is None else [str(group) for group in dataset.groups],
            progress=progress,
        )
    )


def add_archive(id: str, archive: str | PathLike[str]) -> Steps[Job]:
    """Teach the pictures of a .zip, .tar or .tar.gz with a folder per class, by a job on the server."""
    path = Path(archive)
    kind = _ARCHIVES.get(path.suffix.lower())
    if kind is None:
        raise SupportError(
            f"{path.name} is no .zip, .tar or .tar.gz; pack the folders of classes as one of them"
        )
    request = Request(
        method="POST", path=at(id, "shots"), file=path, headers={"Content-Type": kind}, write=True
    )
    return read(Job, (yield from asked(request)))


def shots(id: str, *, label: str | None = None) -> Items[Shot]:
    """All shots, of one class or of all, page by page."""
    return paged(Shot, at(id, "shots"), {"label": label})


def shot_image(id: str, shot: str, *, size: int | None = None) -> Steps[bytes]:
    """The kept picture of a shot as JPEG.    size : of its longer side in pixels, at most."""
    response = yield from exchanged(
        Request(method="GET", path=at(id, "shots", shot, "image"), query={"size": size})
    )
    return response.content


def relabel_shot(id: str, shot: str, label: str) -> Steps[Shot]:
    """Move a shot to another class, which is made if it is new."""
    body = {"label": label}
    return read(
        Shot, (yield from asked(Request(method="PATCH", path=at(id, "shots", shot), json=body, write=True)))
    )


def delete_shot(id: str, shot: str) -> Steps[None]:
    """Forget a shot, as if it had never been shown."""
    yield from asked(Request(method="DELETE", path=at(id, "shots", shot), write=True))


def as_base64(rows: ArrayLike) -> str:
    """Numbers as base64 of little-endian float32."""
    return base64.b64encode(np.ascontiguousarray(rows, "<f4").tobytes()).decode()


def _shots(said: Any) -> list[Shot]:  # Any: JSON
    return [read(Shot, shot) for shot in said["shots"]]


def _check(things: Sequence[Any] | np.ndarray, **of_each: Sequence[Any] | None) -> None:  # Any: for len only
    if not len(things):
        raise SupportError("there is nothing to teach in this; give at least one picture or row")
    for name, values in of_each.items():
        if values is not None and len(values) != len(things):
            raise SupportError(f"{name} are {len(values)} for {len(things)} shots; give one for each")
