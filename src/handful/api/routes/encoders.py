"""/v1/encoders: what sees."""

import asyncio

from fastapi import APIRouter, Response

from handful.api.answering import json_of, sent
from handful.api.deps import Reader, ServiceDep
from handful.api.problems import responses
from handful.api.schemas.work import EncoderOut, EncodersOut
from handful.encoders.catalogue import CATALOGUE
from handful.service.service import Service

router = APIRouter(prefix="/v1", tags=["encoders"])


@router.get("/encoders", response_model=EncodersOut, responses=responses())
async def list_encoders(caller: Reader, service: ServiceDep) -> Response:
    """The encoders that a classifier may name."""
    return sent(json_of(EncodersOut(items=await asyncio.to_thread(_listed, service))))


def _listed(service: Service) -> list[EncoderOut]:
    """Loads those that are not in memory yet."""
    default = service.encoding.encoder()
    items = []
    for name in dict.fromkeys([default.name, *CATALOGUE]):
        encoder = service.encoding.encoder(name)
        if encoder is default and name != default.name:  # another stands in its place
            continue
        entry = CATALOGUE.get(name)
        items.append(
            EncoderOut(
                name=name,
                dimension=encoder.dimension,
                fingerprint=encoder.fingerprint,
                default=name == default.name,
                description="" if entry is None else f"{entry.title}. {entry.note}",
            )
        )
    return items
