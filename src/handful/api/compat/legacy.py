"""The endpoints of the first prototype: a cache is a classifier, and every picture of a label counts.

There, only the last picture of a label did, and each request loaded a model.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel

from handful.api.answering import json_of, once_of, sent
from handful.api.bodies import form_body, is_form, unsupported
from handful.api.deps import IdempotencyKey, Reader, ServiceDep, WriterOf
from handful.api.problems import responses
from handful.errors import RequestError
from handful.service.answers import Asked
from handful.service.classifiers import NewClassifier
from handful.service.new_shots import NewShot
from handful.service.once import Rendered, check_once

router = APIRouter(tags=["first prototype"])


class MessageOut(BaseModel):
    """A greeting."""

    message: str


class CacheOut(BaseModel):
    """A new cache, which is a classifier of that id."""

    message: str
    cache_id: str


class PredictionsOut(BaseModel):
    """The best label of the picture, as a list of one."""

    message: str
    predictions: list[str]


def _form(**fields: Any) -> dict[str, Any]:  # Any: OpenAPI
    schema = {"type": "object", "required": list(fields), "properties": fields}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


_FILE = {"type": "string", "format": "binary"}


@router.post(
    "/clip/cache",
    response_model=CacheOut,
    responses=responses(400, 409, 413, 415, 507),
    openapi_extra=_form(
        labels={"type": "array", "items": {"type": "string"}, "description": "one for each file, in order"},
        files={"type": "array", "items": _FILE},
    ),
)
async def generate_cache(
    request: Request, caller: WriterOf, service: ServiceDep, key: IdempotencyKey = None
) -> Response:
    """Make a classifier of labelled pictures, a label for each; at most 256 pictures and 64 MB."""
    if not is_form(request):
        raise unsupported(request, "multipart/form-data")
    body = await form_body(request)
    labels = body.fields.get("labels", [])
    if len(labels) != len(body.images) or not labels:
        raise RequestError(
            f"there are {len(labels)} labels and {len(body.images)} files; give one label for each file",
            pointer="/labels",
        )
    made: list[str] = []

    def rendered(_: object) -> Rendered:
        return json_of(CacheOut(message="Cache Generated Successfully", cache_id=made[0]))

    once = once_of(request, caller, body.digest, rendered)
    await check_once(service.store, once)
    view = await service.classifiers.create(caller.tenant, NewClassifier(name="cache"))
    made.append(view.record.id)
    shots = [
        NewShot(label=label, image=image, pointer=pointer)
        for label, image, pointer in zip(labels, body.images, body.pointers, strict=True)
    ]
    try:
        await service.shots.add(caller.tenant, made[0], shots, once)
    except BaseException:
        await service.classifiers.delete(caller.tenant, made[0])
        raise
    return sent(rendered(None))


@router.post(
    "/clip",
    response_model=PredictionsOut,
    responses=responses(400, 404, 409, 413, 415),
    openapi_extra=_form(file=_FILE),
)
async def classify_by_cache(
    request: Request,
    caller: Reader,
    service: ServiceDep,
    cache_id: Annotated[str, Query(max_length=200, description="from /clip/cache, or a classifier's id")],
) -> PredictionsOut:
    """The best label of a picture of at most 20 MB."""
    if not is_form(request):
        raise unsupported(request, "multipart/form-data")
    body = await form_body(request)
    if len(body.images) != 1:
        raise RequestError(f"there are {len(body.images)} files; send one, as `file`", pointer="/file")
    answer = await service.answers.classify(
        caller.tenant, cache_id, Asked(images=body.images, pointers=["/file"]), top_k=1
    )
    return PredictionsOut(
        message="Image Classified Successfully Completed",
        predictions=[str(prediction.label) for prediction in answer.predictions],
    )


@router.post("/world", response_model=MessageOut, responses=responses())
async def hello_world(caller: Reader) -> MessageOut:
    """Says hello."""
    return MessageOut(message="Hello World!")
