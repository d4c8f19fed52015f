"""/v1/encoders: what sees."""

from fastapi import APIRouter, Response

from handful.api.answering import json_of, sent
from handful.api.deps import Reader, ServiceDep
from handful.api.problems import responses
from handful.api.schemas.work import EncoderOut, EncodersOut
from handful.encoders import Encoder
from handful.encoders.base import Unloadable, leaves
from handful.encoders.catalogue import CATALOGUE
from handful.service.encoding.encoders import Encoders

router = APIRouter(prefix="/v1", tags=["encoders"])


@router.get("/encoders", response_model=EncodersOut, responses=responses())
async def list_encoders(caller: Reader, service: ServiceDep) -> Response:
    """The encoders that a classifier may name, and the others of the catalogue. None is loaded for this."""
    return sent(json_of(EncodersOut(items=_listed(service.encoding.encoders))))


def _listed(encoders: Encoders) -> list[EncoderOut]:
    default, *others = dict.fromkeys([*encoders.names(), *CATALOGUE])
    given = encoders.known(default)
    items = [_out(default, given, usable=True, default=True)]
    for name in others:
        encoder = encoders.known(name)
        if encoder is None or encoder is not given:  # else another stands in its place
            items.append(_out(name, encoder, usable=encoders.allowed(name), default=False))
    return items


def _out(name: str, encoder: Encoder | None, *, usable: bool, default: bool) -> EncoderOut:
    entry = CATALOGUE.get(name)
    said = None if entry is None else entry.dimension
    loaded_bytes = 0 if encoder is None else _loaded_bytes(encoder)
    return EncoderOut(
        name=name,
        title=name if entry is None else entry.title,
        dimension=said if encoder is None else encoder.dimension,
        fingerprint=None if encoder is None else encoder.fingerprint,
        default=default,
        usable=usable,
        loaded=loaded_bytes is None or loaded_bytes > 0,
        loaded_bytes=loaded_bytes,
        parameters=None if entry is None else entry.parameters,
        imagenet_top1=None if entry is None else entry.imagenet_top1,
        licence=None if entry is None else entry.licence,
        warning=None if entry is None else entry.warning,
        description="" if entry is None else f"{entry.title}. {entry.note}",
    )


def _loaded_bytes(encoder: Encoder) -> int | None:
    """None for one that cannot tell, and stays."""
    parts = leaves(encoder)
    told = [part.loaded_bytes for part in parts if isinstance(part, Unloadable)]
    return sum(told) if len(told) == len(parts) else None
