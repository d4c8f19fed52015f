"""What is on a picture: classify, zero-shot, suggest."""

from collections.abc import Mapping
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response

from handful.api.answering import json_of, sent, server_timing
from handful.api.bodies import (
    FIELD_EACH,
    checked,
    json_body,
    media_type,
    pictures,
    pictures_of_text,
    rows_of,
    rows_of_flat,
)
from handful.api.deps import Reader, ServiceDep, admitted, bearer, service_of
from handful.api.problems import responses
from handful.api.schemas.answers import (
    AnswerOut,
    ClassifyIn,
    OptionsIn,
    SuggestionOut,
    SuggestionsOut,
    ZeroShotIn,
    said,
)
from handful.errors import RequestError
from handful.service.answers import NEIGHBOURS, Answer, Asked
from handful.settings import Settings

router = APIRouter(prefix="/v1", tags=["answers"])

_JSON = "application/json"
_FILES: dict[str, Any] = {"type": "array", "items": {"type": "string", "format": "binary"}}  # Any: OpenAPI
_BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_OPTIONS = OptionsIn.model_fields.keys()
_SCHEMAS = OptionsIn.model_json_schema()["properties"]
_PARAMETERS: list[dict[str, Any]] = [
    {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "title": "Id"}},
    *({"name": name, "in": "query", "schema": schema} for name, schema in _SCHEMAS.items()),
]
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            # First what /docs offers to try.
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["files"],
                    "properties": {"files": _FILES},  # not the options: /docs would send odd ones unasked
                }
            },
            _JSON: {"schema": {"$ref": "#/components/schemas/ClassifyIn"}},
            "image/*": _BINARY,
            "application/octet-stream": {
                "schema": {
                    "type": "string",
                    "format": "binary",
                    "description": "rows of D little-endian float32",
                }
            },
        },
    }
}


@router.post(
    "/classifiers/{id}/classify",
    response_model=AnswerOut,
    response_model_exclude_none=True,
    responses=responses(400, 404, 409, 413, 415),
    openapi_extra={**_BODY, "parameters": _PARAMETERS, "security": [{bearer.scheme_name: []}]},
)
async def classify(request: Request) -> Response:
    """Classify pictures or embeddings: exactly one of the two.

    `top_k`, `coverage`, `explain` and `views` are query parameters, form fields, or members of a JSON body.
    At most 256 pictures, each view counted, or 10,000 embeddings, and 64 MB, unless the service is set up
    otherwise. `Server-Timing` says how many pictures were encoded.
    """
    # Nothing is left to FastAPI's dependencies here: they take longer than the answer.
    service, caller, id = service_of(request), admitted(request, "read"), request.path_params["id"]
    asked, options = await _asked(request, service.settings)
    options |= _options(request.query_params)
    shots = options.get("explain", False)
    answer = await service.answers.classify(
        caller.tenant,
        id,
        asked,
        top_k=options.get("top_k", 5),
        coverage=options.get("coverage"),
        explain=NEIGHBOURS if shots is True else int(shots),
        views=options.get("views", "none"),
    )
    return _answered(id, answer)


@router.post(
    "/zero-shot",
    response_model=AnswerOut,
    response_model_exclude_none=True,
    responses=responses(400, 413, 415),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "required": ["files", "labels"],
                        "properties": {
                            "files": _FILES,
                            "labels": {
                                "type": "array",
                                "items": {"type": "string"},
                                "example": ["cat", "dog"],
                                "description": "a field for each, or one with commas between them",
                            },
                            "templates": {"type": "array", "items": {"type": "string"}, "default": ["photo"]},
                        },
                    },
                    "encoding": {"labels": FIELD_EACH, "templates": FIELD_EACH},
                },
                _JSON: {"schema": {"$ref": "#/components/schemas/ZeroShotIn"}},
            },
        }
    },
)
async def zero_shot(request: Request, caller: Reader, service: ServiceDep) -> Response:
    """Classify by the words of labels alone; nothing is kept. At most 10,000 labels and 256 pictures."""
    if media_type(request) == _JSON:
        body = checked(ZeroShotIn, await json_body(request))
        images = await pictures_of_text(body.images, service.settings)
        asked = Asked(images=images, pointers=[f"/images/{at}" for at in range(len(images))])
    else:
        form = await pictures(request)
        templates = form.fields.get("templates", ["photo"])
        body = checked(
            ZeroShotIn,
            {
                "labels": _labels(form.fields.get("labels", [])),
                "images": ["-"],  # they came as files
                "templates": templates if len(templates) > 1 or "{}" in templates[0] else templates[0],
                "top_k": form.fields.get("top_k", ["5"])[0],
            },
        )
        asked = Asked(images=form.images, pointers=form.pointers)
    answer = await service.answers.zero_shot(
        caller.tenant, body.labels, asked, templates=body.templates, encoder=body.encoder, top_k=body.top_k
    )
    return _answered(None, answer)


@router.post(
    "/classifiers/{id}/suggest",
    response_model=SuggestionsOut,
    responses=responses(400, 404, 409, 413, 415),
    openapi_extra=_BODY,
)
async def suggest(request: Request, id: str, caller: Reader, service: ServiceDep) -> Response:
    """Which of these unlabelled pictures to label next: typical ones first, later those that are in doubt.

    At most 256 pictures or 10,000 embeddings.
    """
    asked, _ = await _asked(request, service.settings)
    found = await service.answers.suggest(caller.tenant, id, asked)
    items = [SuggestionOut(index=one.index, score=one.score, reason=one.reason) for one in found]
    return sent(json_of(SuggestionsOut(items=items)))


def _labels(fields: list[str]) -> list[str]:
    """One label by itself tells nothing apart, so that commas in it are between labels."""
    if len(fields) != 1:
        return fields
    return [label.strip() for label in fields[0].split(",") if label.strip()]


async def _asked(request: Request, settings: Settings) -> tuple[Asked, dict[str, Any]]:
    """Pictures or embeddings, and options that came with them, checked.    (Any: each has its own type.)"""
    if media_type(request) == _JSON:
        return await _of_json(request, settings)
    body = await pictures(request)
    options = _options({name: values[0] for name, values in body.fields.items()})
    flat = body.numbers
    if flat is None:
        return Asked(images=body.images, pointers=body.pointers), options
    return Asked(rows=lambda dimension: rows_of_flat(flat, dimension, settings)), options


async def _of_json(request: Request, settings: Settings) -> tuple[Asked, dict[str, Any]]:
    body = await json_body(request)
    if not isinstance(body, dict):
        raise RequestError("the body is no object; send {images: […]} or {embeddings: […]}", pointer="/")
    # Long lists of numbers are checked by NumPy, not one by one.
    embeddings = body.pop("embeddings", None)
    told = checked(ClassifyIn, body)
    options = {name: getattr(told, name) for name in _OPTIONS & told.model_fields_set}
    if (told.images is None) == (embeddings is None):
        raise RequestError("give exactly one of `images` and `embeddings`", pointer="/")
    if told.images is not None:
        images = await pictures_of_text(told.images, settings)
        return Asked(images=images, pointers=[f"/images/{at}" for at in range(len(images))]), options
    return Asked(rows=lambda dimension: rows_of(embeddings, dimension, settings)), options


def _options(texts: Mapping[str, str]) -> dict[str, Any]:
    """Of a query or a form; what else is in it is not looked at."""
    given = {name: texts[name] for name in _OPTIONS if name in texts}
    told = checked(OptionsIn, given) if given else None
    return {name: getattr(told, name) for name in given}


def _answered(id: str | None, answer: Answer) -> Response:
    body = {
        "predictions": [said(id, prediction) for prediction in answer.predictions],
        "version": answer.version,
        "encoder": answer.encoder,
    }
    return Response(orjson.dumps(body), media_type=_JSON, headers=server_timing(answer.timings))
