"""Operations that move whole classifiers between services and files."""

import os
from os import PathLike
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

import httpx2

from handful.client.answers import Classifier, Job, read
from handful.client.classifiers import answered_classifier, at
from handful.client.exchange import asked, exchanged
from handful.client.steps import Part, Request, Steps, worked
from handful.errors import UnreachableError


def export(id: str, path: str | PathLike[str]) -> Steps[Path]:
    """Write a classifier with its shots and heads to a zip file, whole or not at all."""
    target = Path(path)
    response = yield from exchanged(Request(method="GET", path=at(id, "export")), streamed=True)
    draft = yield from worked(lambda: _draft_beside(target))
    try:
        while True:
            part = yield Part(response, "bytes")
            if isinstance(part, httpx2.TransportError):
                raise UnreachableError(f"the export of classifier {id} broke off ({part}); try again")
            if part is None:
                break
            yield from worked(lambda part=part: draft.write(part))  # type: ignore[misc]
        yield from worked(lambda: _put(draft, target))
    finally:
        draft.close()
        Path(draft.name).unlink(missing_ok=True)
    return target


def import_classifier(path: str | PathLike[str]) -> Steps[Classifier]:
    """Make a classifier of a file that `export` wrote; it is checked first, and taken whole or not at all."""
    request = Request(
        method="POST",
        path="v1/classifiers/import",
        file=Path(path),
        headers={"Content-Type": "application/zip"},
        write=True,
    )
    return answered_classifier(request)


def import_classifiers(path: str | PathLike[str]) -> Steps[Job]:
    """Make many classifiers with their shots of an NDJSON file, by a job on the server; see `wait`."""
    request = Request(
        method="POST",
        path="v1/import",
        file=Path(path),
        headers={"Content-Type": "application/x-ndjson"},
        write=True,
    )
    return read(Job, (yield from asked(request)))


def _draft_beside(target: Path) -> IO[bytes]:
    return NamedTemporaryFile(dir=target.absolute().parent, prefix=f".{target.name}.", delete=False)


def _put(draft: IO[bytes], target: Path) -> None:
    draft.flush()
    os.fsync(draft.fileno())
    draft.close()
    os.replace(draft.name, target)
