"""/v1/jobs: work that outlives its request; and what starts it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

import orjson
from fastapi import APIRouter, Body, Request, Response
from fastapi.responses import StreamingResponse

from handful.api.answering import json_of, once_of, sent
from handful.api.bodies import media_type, unsupported
from handful.api.deps import IdempotencyKey, Reader, ServiceDep, WriterOf
from handful.api.problems import responses
from handful.api.schemas.work import EvaluateIn, JobOut, TrainIn, ViewsIn
from handful.service.once import Rendered
from handful.storage.records import JobRecord

router = APIRouter(prefix="/v1", tags=["jobs"])

_LINES = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/jsonlines")
_ALIVE = 15.0  # seconds between comments that keep a silent stream open


def accepted(job: JobRecord) -> Rendered:
    """A new job as an answer."""
    return json_of(JobOut.of(job), 202, {"Location": f"/v1/jobs/{job.id}"})


@router.post(
    "/classifiers/{id}/train",
    status_code=202,
    response_model=JobOut,
    responses=responses(400, 404, 413, 415, 507),
)
async def train(
    request: Request,
    id: str,
    body: Annotated[TrainIn, Body()],
    caller: WriterOf,
    service: ServiceDep,
    key: IdempotencyKey = None,
) -> Response:
    """Train a head by `tip-f`, `clip-adapter`, or any other method, and let it answer until told otherwise.

    Its result is {version, method, views, rows, seconds, found}; `rows` counts shots with all their views.
    """
    once = once_of(request, caller, body.model_dump_json(), accepted)
    return sent(accepted(await service.jobs.submit(caller.tenant, "train", id, body.model_dump(), once)))


@router.post(
    "/classifiers/{id}/evaluate",
    status_code=202,
    response_model=JobOut,
    responses=responses(400, 404, 413, 415, 507),
)
async def evaluate(
    request: Request,
    id: str,
    caller: WriterOf,
    service: ServiceDep,
    body: Annotated[EvaluateIn | None, Body()] = None,
    key: IdempotencyKey = None,
) -> Response:
    """What the classifier would answer for its own shots, had it not been taught them.

    Its result has accuracy, macro-F1, ECE and NLL, each {value, low, high}; each class's share of right
    answers; confusions; mistakes; and shots whose label looks wrong. With `views` it compares policies of
    augmented copies: {chosen, why, default, judged, policies: [{policy, encodings, accuracy, gain}],
    milliseconds}, where gain is over "none", and the last is of encoding one copy.
    """
    asked = {} if body is None else body.model_dump(exclude_none=True)
    once = once_of(request, caller, orjson.dumps(asked), accepted)
    return sent(accepted(await service.jobs.submit(caller.tenant, "evaluate", id, asked, once)))


@router.post(
    "/classifiers/{id}/views",
    status_code=202,
    response_model=JobOut,
    responses=responses(400, 404, 413, 415, 507),
)
async def change_views(
    request: Request,
    id: str,
    body: Annotated[ViewsIn, Body()],
    caller: WriterOf,
    service: ServiceDep,
    key: IdempotencyKey = None,
) -> Response:
    """Change the policy of augmented copies, for the shots that are there as well, from their kept pictures.

    PATCH changes it for shots that come. Meanwhile the classifier answers as before; then all rows change at
    once. The result is {views, policy, shots, changed, without_picture, encoded, support_version, compared};
    shots without a kept picture keep the rows they have, and `compared` says why `choose` chose.
    """
    once = once_of(request, caller, body.model_dump_json(), accepted)
    return sent(accepted(await service.jobs.submit(caller.tenant, "views", id, body.model_dump(), once)))


@router.post(
    "/import",
    status_code=202,
    response_model=JobOut,
    responses=responses(413, 415, 507),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/x-ndjson": {"schema": {"type": "string"}}},
        }
    },
)
async def import_lines(
    request: Request, caller: WriterOf, service: ServiceDep, key: IdempotencyKey = None
) -> Response:
    """Many classifiers: each line the body of POST /v1/classifiers, with `shots` as in POST …/shots.

    At most 2 GB, and 32 MB per line. Wrong lines are named in the result, and the others imported.
    """
    if media_type(request) not in _LINES:
        raise unsupported(request, "application/x-ndjson")
    once = once_of(request, caller, "", accepted)
    return sent(accepted(await service.transfer.start_lines(caller.tenant, request.stream(), once)))


@router.get("/jobs/{id}", response_model=JobOut, responses=responses(404))
async def get_job(id: str, caller: Reader, service: ServiceDep) -> Response:
    """A job as it is."""
    return sent(json_of(JobOut.of(await service.jobs.get(caller.tenant, id))))


@router.get(
    "/jobs/{id}/events",
    response_class=StreamingResponse,
    responses={
        200: {
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
            "description": "each change of the job as `data:`, up to its final state",
        },
        **responses(404),
    },
)
async def follow_job(request: Request, id: str, caller: Reader, service: ServiceDep) -> Response:
    """Server-sent events: the job, each time that it changes; the stream ends after its final state."""
    await service.jobs.get(caller.tenant, id)
    changes = service.jobs.events(caller.tenant, id)
    return StreamingResponse(
        _events(changes, request.state.stopping),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


@router.delete("/jobs/{id}", response_model=JobOut, responses=responses(404, 507))
async def cancel_job(id: str, caller: WriterOf, service: ServiceDep) -> Response:
    """Cancel a job. A queued one never starts; a running one stops soon; one that is over stays as it is."""
    return sent(json_of(JobOut.of(await service.jobs.cancel(caller.tenant, id))))


async def _events(changes: AsyncIterator[JobRecord], stopping: asyncio.Event) -> AsyncIterator[str]:
    following = aiter(changes)
    stopped = asyncio.ensure_future(stopping.wait())
    coming: asyncio.Task[JobRecord] | None = None
    try:
        while not stopping.is_set():
            coming = coming or asyncio.ensure_future(_next(following))
            await asyncio.wait({coming, stopped}, timeout=_ALIVE, return_when=asyncio.FIRST_COMPLETED)
            if not coming.done():
                yield ": waiting\n\n"
                continue
            try:
                job = coming.result()
            except StopAsyncIteration:
                return
            coming = None
            yield f"data: {JobOut.of(job).model_dump_json()}\n\n"
    finally:
        stopped.cancel()
        if coming is not None:
            coming.cancel()


async def _next(changes: AsyncIterator[JobRecord]) -> JobRecord:
    return await anext(changes)
