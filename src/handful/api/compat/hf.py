"""Hugging Face's InferenceClient: `InferenceClient(model=URL)` with a URL of this file.

It sends the bytes of a picture under any Content-Type or none, or JSON with base64 where it has parameters,
and reads a bare list, best first.
"""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from handful.api.bodies import checked, images_of_text, parsed_json
from handful.api.deps import Reader, ServiceDep
from handful.api.problems import responses
from handful.api.schemas.answers import PIXEL
from handful.errors import RequestError, TooLargeError
from handful.service.answers import Asked
from handful.service.service import Service

router = APIRouter(prefix="/v1", tags=["Hugging Face"])

_TOP_K = 5  # as InferenceClient has it
_JSON_STARTS = b"{"
_Picture = Annotated[str, Field(description="base64, or a data URI")]


class HfScore(BaseModel):
    """A class and its probability."""

    label: str
    score: float


class HfParameters(BaseModel):
    """What a request may say of its answer; members that other tasks have are let pass."""

    model_config = ConfigDict(extra="ignore")

    top_k: Annotated[int, Field(ge=1, le=1000)] = _TOP_K
    function_to_apply: Annotated[
        str | None,
        Field(pattern="^softmax$", description="probabilities are calibrated; softmax is let pass"),
    ] = None


class HfClassifyIn(BaseModel):
    """A picture to classify."""

    model_config = ConfigDict(json_schema_extra={"example": {"inputs": PIXEL, "parameters": {}}})

    inputs: _Picture
    parameters: HfParameters = HfParameters()


class HfLabels(BaseModel):
    """What to tell apart."""

    model_config = ConfigDict(extra="ignore")

    candidate_labels: Annotated[
        list[str] | str, Field(description="names of classes; as one text, between commas")
    ]
    hypothesis_template: Annotated[
        str | None, Field(max_length=1000, description="a prompt with one {} for the name")
    ] = None


class HfZeroShotIn(BaseModel):
    """A picture to classify by words alone."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"inputs": PIXEL, "parameters": {"candidate_labels": ["cat", "dog"]}}}
    )

    inputs: _Picture
    parameters: HfLabels


_CLASSIFY: dict[str, Any] = {  # Any: OpenAPI
    "requestBody": {
        "required": True,
        "content": {
            "*/*": {"schema": {"type": "string", "format": "binary"}},
            "application/json": {"schema": {"$ref": "#/components/schemas/HfClassifyIn"}},
        },
    }
}


@router.post(
    "/classifiers/{id}/hf",
    response_model=list[HfScore],
    responses=responses(400, 404, 409, 413),
    openapi_extra=_CLASSIFY,
)
async def hf_image_classification(
    request: Request, id: str, caller: Reader, service: ServiceDep
) -> list[HfScore]:
    """What `InferenceClient.image_classification` asks: one picture, at most 20 MB, in; a bare list out."""
    data = await request.body()
    parameters = HfParameters()
    pointer = "/"
    if data.lstrip()[:1] == _JSON_STARTS:
        body = checked(HfClassifyIn, parsed_json(data))
        data, parameters, pointer = await _picture(body.inputs, service), body.parameters, "/inputs"
    _check(data, pointer, service)
    answer = await service.answers.classify(
        caller.tenant, id, Asked(images=[data], pointers=[pointer]), top_k=parameters.top_k
    )
    return [HfScore(label=str(one.label), score=one.probability) for one in answer.predictions[0].classes]


@router.post(
    "/zero-shot/hf",
    response_model=list[HfScore],
    responses=responses(400, 413),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/HfZeroShotIn"}}},
        }
    },
)
async def hf_zero_shot_image_classification(
    request: Request, caller: Reader, service: ServiceDep
) -> list[HfScore]:
    """What `InferenceClient.zero_shot_image_classification` asks; at most 1,000 labels are answered."""
    body = checked(HfZeroShotIn, parsed_json(await request.body()))
    given = body.parameters.candidate_labels
    labels = [part.strip() for part in given.split(",")] if isinstance(given, str) else given
    template = body.parameters.hypothesis_template
    data = await _picture(body.inputs, service)
    answer = await service.answers.zero_shot(
        caller.tenant,
        labels,
        Asked(images=[data], pointers=["/inputs"]),
        templates="photo" if template is None else [template],
        top_k=1000,
    )
    return [HfScore(label=str(one.label), score=one.probability) for one in answer.predictions[0].classes]


async def _picture(text: str, service: Service) -> bytes:
    try:
        (data,) = await asyncio.to_thread(images_of_text, [text], service.settings)
    except RequestError as exc:
        raise RequestError(str(exc), pointer="/inputs") from exc
    return data


def _check(data: bytes, pointer: str, service: Service) -> None:
    if not data:
        raise RequestError("there is no byte of a picture in this request; send one", pointer=pointer)
    if len(data) > service.settings.image_max_bytes:
        raise TooLargeError(
            f"this picture has {len(data):,} bytes; send at most {int(service.settings.image_max_bytes):,}",
            pointer=pointer,
        )
