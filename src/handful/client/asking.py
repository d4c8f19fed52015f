"""Operations that ask: what is on pictures, which to label next, what encoders see."""

import base64
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from handful.client.answers import Answer, Suggestion, read
from handful.client.classifiers import at
from handful.client.exchange import asked
from handful.client.pictures import listed, next_uploads
from handful.client.steps import Progress, Request, Steps, worked
from handful.errors import ImageError, SupportError
from handful.images import ImageSource
from handful.prediction import Prediction
from handful.rows import Rows, as_rows

T = TypeVar("T")
_MOST_ROWS = 4096  # of a request
_MOST_TEXTS = 256
_ENCODINGS = {"flip": 2, "five": 5}  # of a picture, by views; the service says which there are


def classify(
    id: str,
    images: Iterable[ImageSource],
    *,
    top_k: int = 5,
    coverage: float | None = None,
    explain: bool = False,
    views: str = "none",
    progress: Progress | None = None,
) -> Steps[Answer]:
    """Say what is on pictures: paths, bytes, files, PIL images, arrays.

    top_k : classes in each prediction.    coverage : adds the set of classes that holds the truth so often.
    explain : adds the shots that speak for each answer.    views : of each picture, to answer by: "flip" or
    "five".    progress : told how many of how many are answered.
    Up to 64 pictures, each view counted, or 16 MB go in a request; `version` is the last one's.
    """
    query = {
        "top_k": top_k,
        "coverage": coverage,
        "explain": "true" if explain else None,
        "views": None if views == "none" else views,
    }
    return _answered(at(id, "classify"), images, query, {}, progress, encodings=_ENCODINGS.get(views, 1))


def classify_embeddings(
    id: str, Q: ArrayLike, *, top_k: int = 5, coverage: float | None = None, explain: bool = False
) -> Steps[Answer]:
    """Classify rows Q (B, D) of the classifier's encoder; the options as in `classify`."""
    rows = as_rows(Q, name="Q")
    query = {"top_k": top_k, "coverage": coverage, "explain": "true" if explain else None}
    answers = []
    for start in range(0, max(1, len(rows)), _MOST_ROWS):
        request = Request(
            method="POST",
            path=at(id, "classify"),
            query=query,
            content=rows[start : start + _MOST_ROWS].astype("<f4").tobytes(),
            headers={"Content-Type": "application/octet-stream"},
        )
        answers.append(read(Answer, (yield from asked(request))))
    return _joined(answers)


def zero_shot(
    labels: Sequence[str],
    images: Iterable[ImageSource],
    *,
    templates: str | Sequence[str] | None = None,
    top_k: int = 5,
    progress: Progress | None = None,
) -> Steps[Answer]:
    """Classify pictures by words alone; nothing is kept.    templates : as of a classifier."""
    if isinstance(labels, str):
        raise SupportError(f"labels are a list of texts, not one text ({labels[:50]!r}); put it in a list")
    said = templates if templates is None or isinstance(templates, str) else list(templates)
    form: dict[str, Any] = {"labels": list(labels), "top_k": str(top_k)}
    if said is not None:
        form["templates"] = said
    return _answered("v1/zero-shot", images, {}, form, progress)


def suggest(id: str, images: Iterable[ImageSource]) -> Steps[tuple[Suggestion, ...]]:
    """Which of unlabelled pictures to label, the most useful first. All go in one request."""
    sources = listed(images)
    if not sources:
        raise ImageError("there are no pictures to look at; give at least one")
    uploads = yield from worked(lambda: next_uploads(sources, 0, all_of_them=True))
    request = Request(method="POST", path=at(id, "suggest"), files=[("files", upload) for upload in uploads])
    said = yield from asked(request)
    return tuple(read(Suggestion, item) for item in said["items"])


def embed_texts(texts: Sequence[str], *, model: str = "builtin") -> Steps[Rows]:
    """(M, D) unit rows of texts by an encoder."""
    return _embedded(list(texts), model, {})


def embed_images(images: Iterable[ImageSource], *, model: str = "builtin") -> Steps[Rows]:
    """(N, D) unit rows of pictures by an encoder."""
    sources = listed(images)
    parts: list[Rows] = []
    start = 0
    while start < len(sources):
        uploads = yield from worked(lambda start=start: next_uploads(sources, start))  # type: ignore[misc]
        inputs = [f"data:image/*;base64,{base64.b64encode(data).decode()}" for _, data, _ in uploads]
        parts.append((yield from _embedded(inputs, model, {"modality": "image"})))
        start += len(uploads)
    return np.concatenate(parts) if parts else np.zeros((0, 0), np.float32)


def encoders() -> Steps[tuple[dict[str, Any], ...]]:  # Any: JSON
    """What the service can see by."""
    said = yield from asked(Request(method="GET", path="v1/encoders"))
    return tuple(said["items"])


def _embedded(inputs: Sequence[str], model: str, more: dict[str, str]) -> Steps[Rows]:
    parts: list[Rows] = []
    for start in range(0, len(inputs), _MOST_TEXTS):
        body = {
            "model": model,
            "input": list(inputs[start : start + _MOST_TEXTS]),
            "encoding_format": "base64",
            **more,
        }
        said = yield from asked(Request(method="POST", path="v1/embeddings", json=body))
        rows = [np.frombuffer(base64.b64decode(item["embedding"]), "<f4") for item in said["data"]]
        parts.append(np.stack(rows).astype(np.float32))
    return np.concatenate(parts) if parts else np.zeros((0, 0), np.float32)


def _answered(
    path: str,
    images: Iterable[ImageSource],
    query: dict[str, Any],  # Any: as in Request
    form: dict[str, Any],  # Any: as in Request
    progress: Progress | None,
    *,
    encodings: int = 1,
) -> Steps[Answer]:
    """encodings : that each picture takes."""
    sources = listed(images)
    if not sources:
        raise ImageError("there are no pictures to look at; give at least one")
    answers: list[Answer] = []
    done = 0
    while done < len(sources):
        uploads = yield from worked(
            lambda done=done: next_uploads(sources, done, encodings=encodings)  # type: ignore[misc]
        )
        request = Request(
            method="POST",
            path=path,
            query=query,
            files=[("files", upload) for upload in uploads],
            form=form,
        )
        answers.append(read(Answer, (yield from asked(request))))
        done += len(uploads)
        if progress is not None:
            progress(done, len(sources))
    return _joined(answers)


def _joined(answers: Sequence[Answer]) -> Answer:
    predictions: list[Prediction] = [one for answer in answers for one in answer.predictions]
    last = answers[-1]
    return Answer(predictions=tuple(predictions), version=last.version, encoder=last.encoder)
