"""Operations on heads and jobs: train, evaluate, wait; versions."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import httpx2

from handful.client.answers import Job, Version, read
from handful.client.classifiers import at, part_of_path
from handful.client.exchange import asked, back_off, exchanged
from handful.client.steps import Give, Items, Part, Pause, Progress, Request, Steps
from handful.errors import JobError, UnreachableError

_TRIES = 6
_TICKS = 100  # of a job's progress


def train(
    id: str,
    method: str = "tip-f",
    *,
    options: Mapping[str, Any] | None = None,  # Any: numbers, text and bool, as the method has them
    views: str | None = None,
) -> Steps[Job]:
    """Start training a head by `tip-f` or `clip-adapter`, which answers from then on; see `wait`.

    options : of the method.    views : a policy of augmented copies, made of the kept pictures; None: the
    classifier's own.
    """
    body: dict[str, Any] = {"method": method, "options": dict(options or {})}
    if views is not None:
        body["views"] = views
    return read(Job, (yield from asked(Request(method="POST", path=at(id, "train"), json=body, write=True))))


def evaluate(id: str, *, method: str | None = None, views: str | Sequence[str] | None = None) -> Steps[Job]:
    """Start judging a classifier by leaving shots out; see `wait`. Accuracy is in 0..1.

    method : in place of its own.    views : policies of augmented copies to compare, or "all".
    """
    body: dict[str, Any] = {} if method is None else {"method": method}
    if views is not None:
        body["views"] = views if isinstance(views, str) else list(views)
    request = Request(method="POST", path=at(id, "evaluate"), json=body, write=True)
    return read(Job, (yield from asked(request)))


def change_views(id: str, views: str) -> Steps[Job]:
    """Start changing a classifier's policy of augmented copies, for the shots it has as well; see `wait`.

    views : a policy, "auto", or "choose", by the shots themselves.
    """
    request = Request(method="POST", path=at(id, "views"), json={"views": views}, write=True)
    return read(Job, (yield from asked(request)))


def job(id: str) -> Steps[Job]:
    """A job as it is now."""
    return read(Job, (yield from asked(Request(method="GET", path=_at(id)))))


def cancel_job(id: str) -> Steps[Job]:
    """Ask a job to stop, and say how it is; it stops where it can."""
    said = yield from asked(Request(method="DELETE", path=_at(id), write=True))
    return read(Job, said) if said is not None else (yield from job(id))


def events(id: str) -> Items[Job]:
    """A job at each change, up to its final state, also over a connection that breaks."""
    tried = 0
    while True:
        response = yield from exchanged(
            Request(method="GET", path=f"{_at(id)}/events", headers={"Accept": "text/event-stream"}),
            streamed=True,
        )
        while True:
            said = yield Part(response, "event")
            if said is None or isinstance(said, httpx2.TransportError):
                break
            seen = read(Job, json.loads(said))
            tried = 0
            yield Give(seen)
            if seen.over:
                return
        tried += 1
        if tried >= _TRIES:
            raise UnreachableError(f"the events of job {id} broke off {tried} times; look at it by `job`")
        yield Pause(back_off(tried))


def wait(job: str | Job, *, progress: Progress | None = None) -> Steps[Job]:
    """A job (or its id) in its final state.    progress : told how many of 100 parts are done.

    Raises JobError where it failed or was cancelled.
    """
    changes = events(job.id if isinstance(job, Job) else job)
    came: Any = None  # Any: what comes of a step
    last: Job | None = None
    while last is None or not last.over:
        step = changes.send(came)
        if isinstance(step, Give):
            last, came = step.item, None
            if progress is not None:
                progress(round(last.progress * _TICKS), _TICKS)
        else:
            came = yield step
    if last.status != "succeeded":
        raise JobError(last.id, last.kind, last.status, last.error)
    return last


def versions(id: str) -> Steps[tuple[Version, ...]]:
    """The heads of a classifier, newest first."""
    said = yield from asked(Request(method="GET", path=at(id, "versions")))
    return tuple(read(Version, item) for item in said["items"])


def activate(id: str, version: int) -> Steps[Version]:
    """Let another head answer."""
    path = at(id, "versions", str(version), "activate")
    return read(Version, (yield from asked(Request(method="POST", path=path, write=True))))


def _at(id: str) -> str:
    return f"v1/jobs/{part_of_path(id)}"
