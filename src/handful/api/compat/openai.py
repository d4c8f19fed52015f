"""OpenAI's client: embeddings and models. Texts, and with `modality: "image"` pictures as data URIs."""

import asyncio
import base64
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from handful.api.bodies import images_of_text
from handful.api.deps import Caller, Reader, ServiceDep
from handful.api.problems import responses
from handful.errors import NotFoundError, RequestError
from handful.rows import Rows
from handful.service.service import Service

router = APIRouter(prefix="/v1", tags=["OpenAI"])

_MOST_TEXTS = 2048  # as OpenAI has it


class EmbeddingsIn(BaseModel):
    """Texts or pictures to embed; members that Handful has no use for are let pass."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={"example": {"model": "builtin", "input": ["a photo of a dent"]}},
    )

    model: Annotated[str, Field(max_length=200, description="an encoder; see /v1/models")]
    input: Annotated[
        str | list[str],
        Field(description=f"one, or up to {_MOST_TEXTS} texts; with modality image up to 256 data URIs"),
    ]
    encoding_format: Annotated[
        Literal["float", "base64"], Field(description="base64 is of little-endian float32")
    ] = "float"
    modality: Literal["text", "image"] = "text"
    dimensions: Annotated[int | None, Field(description="the encoder's own, if given")] = None


class EmbeddingOut(BaseModel):
    """A row of unit length."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class UsageOut(BaseModel):
    """Words that were read, where OpenAI counts tokens."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsOut(BaseModel):
    """A row for each input, in order."""

    object: Literal["list"] = "list"
    data: list[EmbeddingOut]
    model: str
    usage: UsageOut


class ModelOut(BaseModel):
    """An encoder."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "handful"


class ModelsOut(BaseModel):
    """The encoders that callers may name."""

    object: Literal["list"] = "list"
    data: list[ModelOut]


@router.post("/embeddings", response_model=EmbeddingsOut, responses=responses(400, 404, 413, 415))
async def create_embeddings(body: EmbeddingsIn, caller: Reader, service: ServiceDep) -> EmbeddingsOut:
    """What `OpenAI().embeddings.create` asks. Texts and pictures come into one space, as unit rows."""
    name = _known(body.model, service)
    encoder = await service.encoding.encoders.named(name)
    inputs = [body.input] if isinstance(body.input, str) else body.input
    if not inputs:
        raise RequestError("input is empty; give at least one text or picture", pointer="/input")
    if body.dimensions not in (None, encoder.dimension):
        raise RequestError(
            f"dimensions is {body.dimensions}; {name} has {encoder.dimension}: leave it out",
            pointer="/dimensions",
        )
    rows = await (_of_images if body.modality == "image" else _of_texts)(inputs, name, caller, service)
    words = 0 if body.modality == "image" else sum(len(text.split()) for text in inputs)
    return EmbeddingsOut(
        data=[
            EmbeddingOut(index=at, embedding=_encoded(row, body.encoding_format))
            for at, row in enumerate(rows)
        ],
        model=name,
        usage=UsageOut(prompt_tokens=words, total_tokens=words),
    )


@router.get("/models", response_model=ModelsOut, responses=responses())
async def list_models(caller: Reader, service: ServiceDep) -> ModelsOut:
    """What `OpenAI().models.list` asks: the encoders."""
    return ModelsOut(data=[ModelOut(id=name) for name in _names(service)])


@router.get("/models/{model:path}", response_model=ModelOut, responses=responses(404))
async def get_model(model: str, caller: Reader, service: ServiceDep) -> ModelOut:
    """What `OpenAI().models.retrieve` asks."""
    return ModelOut(id=_known(model, service))


def _names(service: Service) -> list[str]:
    return service.encoding.encoders.names()


def _known(model: str, service: Service) -> str:
    names = _names(service)
    if not service.encoding.encoders.allowed(model):
        raise NotFoundError(f"there is no model {model[:200]!r}; choose one of {', '.join(names)}")
    return model


async def _of_texts(inputs: list[str], name: str, caller: Caller, service: Service) -> Rows:
    if len(inputs) > _MOST_TEXTS:
        raise RequestError(f"there are {len(inputs)} inputs; send at most {_MOST_TEXTS}", pointer="/input")
    for at, text in enumerate(inputs):
        if not text.strip():
            raise RequestError("this text is empty; leave it out", pointer=f"/input/{at}")
    return await service.answers.embed_texts(caller.tenant, name, inputs)


async def _of_images(inputs: list[str], name: str, caller: Caller, service: Service) -> Rows:
    images = await asyncio.to_thread(images_of_text, inputs, service.settings, "/input")
    pointers = [f"/input/{at}" for at in range(len(images))]
    return await service.answers.embed_images(caller.tenant, name, images, pointers)


def _encoded(row: Rows, form: str) -> list[float] | str:
    if form == "float":
        values: list[float] = row.tolist()
        return values
    return base64.b64encode(np.ascontiguousarray(row, "<f4").tobytes()).decode()
