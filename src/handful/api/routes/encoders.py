"""/v1/encoders: what sees."""

from fastapi import APIRouter, Response

from handful.api.answering import json_of, sent
from handful.api.deps import Reader, ServiceDep
from handful.api.problems import responses
from handful.api.schemas.work import EncoderOut, EncodersOut
from handful.encoders.catalogue import CATALOGUE

router = APIRouter(prefix="/v1", tags=["encoders"])


@router.get("/encoders", response_model=EncodersOut, responses=responses())
async def list_encoders(caller: Reader, service: ServiceDep) -> Response:
    """The encoders that a classifier may name."""
    default = service.encoding.encoder()
    names = list(dict.fromkeys([default.name, *CATALOGUE]))
    items = []
    for name in names:
        encoder = service.encoding.encoder(name)
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
    return sent(json_of(EncodersOut(items=items)))
