"""What is on a picture: classify, zero-shot, suggest."""

import asyncio
from typing import Annotated, Any

import numpy as np
import orjson
from fastapi import APIRouter, Query, Request, Response

from handful.api.answering import json_of, sent, server_timing
from handful.api.bodies import (
    Sent,
    check_rows,
    checked,
    images_of_text,
    json_body,
    media_type,
    pictures,
    rows_of,
)
from handful.api.deps import Reader, ServiceDep
from handful.api.problems import responses
from handful.api.schemas.answers import (
    AnswerOut,
    ClassifyIn,
    Coverage,
    Explain,
    SuggestionOut,
    SuggestionsOut,
    TopK,
    ZeroShotIn,
    said,
)
from handful.errors import RequestError
from handful.service.answers import NEIGHBOURS, Answer, Asked
from handful.service.service import Service

router = APIRouter(prefix="/v1", tags=["answers"])

_JSON = "application/json"
_FILES: dict[str, Any] = {"type": "array", "items": {"type": "string", "format": "binary"}}  # Any: OpenAPI
_BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_OPTIONS = {"top_k": TopK, "coverage": Coverage, "explain": Explain}
_CLASSIFY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            _JSON: {"schema": {"$ref": "#/components/schemas/ClassifyIn"}},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["files"],
                    "properties": {
                        "files": _FILES,
                        "top_k": {"type": "integer", "minimum": 1, "maximum": 1000},
                        "coverage": {"type": "number"},
                        "explain": {"type": "boolean"},
                    },
                }
            },
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
    openapi_extra=_CLASSIFY,
)
async def classify(
    request: Request,
    id: str,
    caller: Reader,
    service: ServiceDep,
    top_k: Annotated[TopK | None, Query()] = None,
    coverage: Annotated[Coverage, Query()] = None,
    explain: Annotated[Explain | None, Query()] = None,
) -> Response:
    """Classify pictures or embeddings: exactly one of the two.

    `top_k`, `coverage` and `explain` are query parameters, form fields, or members of a JSON body. At most
    256 pictures or 10,000 embeddings, and 64 MB, unless the service is set up otherwise.
    """
    given: dict[str, Any] = {"top_k": top_k, "coverage": coverage, "explain": explain}
    options = {name: value for name, value in given.items() if value is not None}
    if media_type(request) == _JSON:
        asked, members = await _of_json(request, id, caller.tenant, service)
        options = {**members, **options}
    else:
        body = await pictures(request)
        options = {**_of_fields(body), **options}
        asked = await _asked(body, id, caller.tenant, service)
    shots = options.get("explain", False)
    answer = await service.answers.classify(
        caller.tenant,
        id,
        asked,
        top_k=options.get("top_k", 5),
        coverage=options.get("coverage"),
        explain=NEIGHBOURS if shots is True else int(shots),
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
                _JSON: {"schema": {"$ref": "#/components/schemas/ZeroShotIn"}},
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "required": ["files", "labels"],
                        "properties": {
                            "files": _FILES,
                            "labels": {"type": "array", "items": {"type": "string"}},
                            "templates": {"type": "array", "items": {"type": "string"}},
                        },
                    }
                },
            },
        }
    },
)
async def zero_shot(request: Request, caller: Reader, service: ServiceDep) -> Response:
    """Classify by the words of labels alone; nothing is kept. At most 10,000 labels and 256 pictures."""
    if media_type(request) == _JSON:
        body = checked(ZeroShotIn, await json_body(request))
        images = await asyncio.to_thread(images_of_text, body.images, service.settings)
        asked = Asked(images=images, pointers=[f"/images/{at}" for at in range(len(images))])
    else:
        form = await pictures(request)
        templates = form.fields.get("templates", ["photo"])
        body = checked(
            ZeroShotIn,
            {
                "labels": form.fields.get("labels", []),
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
    openapi_extra=_CLASSIFY,
)
async def suggest(request: Request, id: str, caller: Reader, service: ServiceDep) -> Response:
    """Which of these unlabelled pictures to label next: typical ones first, later those that are in doubt.

    At most 256 pictures or 10,000 embeddings.
    """
    if media_type(request) == _JSON:
        asked, _ = await _of_json(request, id, caller.tenant, service)
    else:
        asked = await _asked(await pictures(request), id, caller.tenant, service)
    found = await service.answers.suggest(caller.tenant, id, asked)
    items = [SuggestionOut(index=one.index, score=one.score, reason=one.reason) for one in found]
    return sent(json_of(SuggestionsOut(items=items)))


async def _of_json(
    request: Request, id: str, tenant: str, service: Service
) -> tuple[Asked, dict[str, Any]]:  # Any: each option has its own type
    """Pictures or embeddings of a JSON body, and its options, checked."""
    body = await json_body(request)
    if not isinstance(body, dict):
        raise RequestError("the body is no object; send {images: […]} or {embeddings: […]}", pointer="/")
    # Long lists of numbers are checked by NumPy, not one by one.
    embeddings = body.pop("embeddings", None)
    told = checked(ClassifyIn, body) if body else ClassifyIn()
    options = {name: getattr(told, name) for name in _OPTIONS if name in told.model_fields_set}
    if (told.images is None) == (embeddings is None):
        raise RequestError("give exactly one of `images` and `embeddings`", pointer="/")
    if told.images is not None:
        images = await asyncio.to_thread(images_of_text, told.images, service.settings)
        return Asked(images=images, pointers=[f"/images/{at}" for at in range(len(images))]), options
    dimension = await _dimension(tenant, id, service)
    return Asked(rows=rows_of(embeddings, dimension, service.settings)), options


async def _asked(body: Sent, id: str, tenant: str, service: Service) -> Asked:
    if body.rows is None:
        return Asked(images=body.images, pointers=body.pointers)
    dimension = await _dimension(tenant, id, service)
    if not body.rows.size or body.rows.size % dimension:
        raise RequestError(
            f"{body.rows.size} numbers are no rows of {dimension}; send {dimension} float32 for each",
            pointer="/",
        )
    rows = body.rows.reshape(-1, dimension)
    check_rows(len(rows), service.settings, "/")
    return Asked(rows=np.asarray(rows, np.float32))


async def _dimension(tenant: str, id: str, service: Service) -> int:
    return await service.answers.dimension(tenant, id)


def _of_fields(body: Sent) -> dict[str, Any]:  # Any: each option has its own type
    given = {name: body.fields[name][0] for name in _OPTIONS if name in body.fields}
    if not given:
        return {}
    told = checked(ClassifyIn, given)
    return {name: getattr(told, name) for name in given}


def _answered(id: str | None, answer: Answer) -> Response:
    body = {
        "predictions": [said(id, prediction) for prediction in answer.predictions],
        "version": answer.version,
        "encoder": answer.encoder,
    }
    return Response(orjson.dumps(body), media_type=_JSON, headers=server_timing(answer.timings))
