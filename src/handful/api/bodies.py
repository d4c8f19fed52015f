"""Bodies: every way to send pictures, embeddings and labels becomes one."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, TypeVar

import numpy as np
import orjson
from fastapi import Request
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData, UploadFile

from handful.api.deps import service_of
from handful.api.fetching import fetch
from handful.api.problems import BadJsonError, pointer, worded
from handful.containers import format_of
from handful.errors import ImageError, RequestError, TooLargeError, UnsupportedTypeError
from handful.images import Limits, from_text
from handful.service.transfer.base64_rows import numbers_of
from handful.settings import Settings

M = TypeVar("M", bound=BaseModel)

_JSON, _FORM, _BYTES = "application/json", "multipart/form-data", "application/octet-stream"
_ARCHIVES = (
    "application/zip",
    "application/x-zip-compressed",
    "application/x-tar",
    "application/gzip",
    "application/x-gtar",
)
_CURLS = "application/x-www-form-urlencoded"
_FILES = "files"  # the name of picture fields
_NUMBERS = {int, float}  # and no bool
FIELD_EACH = {"style": "form", "explode": True}  # OpenAPI: of a list in a form, each is a field
_FIELD_BYTES = 64 * 2**10  # of a form's fields that are no files


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What a request brought.

    images : bytes of pictures.    pointers : to each in the request.    numbers : of embeddings, in a row.
    fields : values of a form's other fields, in order; members of a JSON body.
    digest : of a form, by content.
    """

    images: list[bytes] = field(default_factory=list)
    pointers: list[str] = field(default_factory=list)
    numbers: NDArray[np.float32] | None = None
    fields: dict[str, list[str]] = field(default_factory=dict)
    digest: str = ""


def media_type(request: Request) -> str:
    """The type of the body, without its parameters."""
    return request.headers.get("content-type", "").split(";")[0].strip().lower()


def is_archive(request: Request) -> bool:
    """Whether the body says that it is a zip or a tar."""
    return media_type(request) in _ARCHIVES


def is_form(request: Request) -> bool:
    """Whether the body is a multipart form."""
    return media_type(request) == _FORM


def unsupported(request: Request, *accepted: str) -> UnsupportedTypeError:
    """The error for a body of a type that is not read here."""
    found = media_type(request)
    said = f"the body is {found}" if found else "the body has no Content-Type"
    hint = " (curl says this unless a header says otherwise)" if found == _CURLS else ""
    return UnsupportedTypeError(f"{said}{hint}; send {', '.join(accepted)}")


async def json_body(request: Request) -> Any:  # Any: JSON
    """The body as JSON. Raises BadJsonError, UnsupportedTypeError."""
    kind = media_type(request)
    if kind != _JSON and not kind.endswith("+json"):
        raise unsupported(request, _JSON)
    return parsed_json(await request.body())


def parsed_json(data: bytes) -> Any:  # Any: JSON
    """Raises BadJsonError."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as exc:
        raise BadJsonError(f"the body is no JSON: {exc}; correct it") from None


def checked(model: type[M], body: object, at: str = "") -> M:
    """A body as its model.    at : pointer to it. Raises RequestError for the first thing that is wrong."""
    try:
        return model.model_validate(body)
    except ValidationError as exc:
        first = exc.errors()[0]
        place = at + (pointer(first["loc"]) if first["loc"] else "")
        raise RequestError(f"{place or '/'}: {worded(first)}", pointer=place or "/") from None


async def form_body(request: Request) -> Sent:
    """Files and fields of a multipart form. Raises RequestError, TooLargeError."""
    settings = service_of(request).settings
    async with request.form(
        max_files=settings.request_max_images + 1,
        max_fields=20 * settings.request_max_images,
        max_part_size=_FIELD_BYTES,
    ) as form:
        images, pointers = [], []
        for at, upload in enumerate(_uploads(form)):
            images.append(await _bytes_of(upload, settings, f"/{_FILES}/{at}"))
            pointers.append(f"/{_FILES}/{at}")
        fields: dict[str, list[str]] = {}
        for name, value in form.multi_items():
            if isinstance(value, str):
                fields.setdefault(name, []).append(value)
    _check_count(len(images), settings)
    said = [[name, *values] for name, values in sorted(fields.items())]
    content = [said, [sha256(data).hexdigest() for data in images]]
    return Sent(
        images=images,
        pointers=pointers,
        fields=fields,
        digest=sha256(orjson.dumps(content)).hexdigest(),
    )


async def pictures(request: Request) -> Sent:
    """Pictures or embeddings of a multipart form, or as the raw body."""
    kind = media_type(request)
    if kind == _FORM:
        return await form_body(request)
    settings = service_of(request).settings
    if kind.startswith("image/"):
        data = await request.body()
        _check_bytes(len(data), settings, "/")
        return Sent(images=[data], pointers=["/"])
    if kind == _BYTES:
        data = await request.body()
        if len(data) % 4:
            raise RequestError(
                f"{len(data)} bytes are no float32 numbers; send rows of 4 bytes each{_or_picture(data)}",
                pointer="/",
            )
        return Sent(numbers=np.frombuffer(data, "<f4"))
    raise unsupported(request, _JSON, _FORM, "image/*", _BYTES)


def images_of_text(
    texts: Sequence[str], settings: Settings, at: str = "/images", pointers: Sequence[str] | None = None
) -> list[bytes]:
    """Pictures that came as base64 or data URIs; no file is ever opened, and no address.

    at : pointer to the list.    pointers : to each, where they are in no list. Raises RequestError.
    """
    _check_count(len(texts), settings)
    limits = Limits(max_bytes=settings.image_max_bytes)
    found = []
    for number, text in enumerate(texts):
        try:
            found.append(from_text(text, limits=limits))
        except ImageError as exc:
            where = f"{at}/{number}" if pointers is None else pointers[number]
            raise RequestError(str(exc), pointer=where) from exc
    return found


async def pictures_of_text(
    texts: Sequence[str], settings: Settings, at: str = "/images", pointers: Sequence[str] | None = None
) -> list[bytes]:
    """As `images_of_text`; addresses are fetched from the hosts that the settings allow, from no others."""
    places = [f"{at}/{number}" for number in range(len(texts))] if pointers is None else pointers
    addresses = [number for number, text in enumerate(texts) if _is_address(text)]
    if not addresses:
        return await asyncio.to_thread(images_of_text, texts, settings, pointers=places)
    _check_count(len(texts), settings)
    found: dict[int, bytes] = {}
    for number in addresses:  # one after the other: a request takes no more than its share
        found[number] = await fetch(
            texts[number],
            hosts=settings.fetch_hosts,
            most=settings.image_max_bytes,
            pointer=places[number],
        )
    given = [number for number in range(len(texts)) if number not in found]
    read = await asyncio.to_thread(
        images_of_text, [texts[n] for n in given], settings, pointers=[places[n] for n in given]
    )
    found |= zip(given, read, strict=True)
    return [found[number] for number in range(len(texts))]


def _is_address(text: str) -> bool:
    return text[:8].lower().startswith(("http://", "https://"))


def rows_of(
    given: object, dimension: int, settings: Settings, at: str = "/embeddings"
) -> NDArray[np.float32]:
    """(N, D) of lists of numbers, of one base64 text of all rows, or of one for each. Raises RequestError."""
    if isinstance(given, str):
        return rows_of_flat(numbers_of(given, pointer=at), dimension, settings, at)
    if isinstance(given, list) and given and all(isinstance(row, str) for row in given):
        parts = [numbers_of(row, pointer=f"{at}/{number}") for number, row in enumerate(given)]
        for number, part in enumerate(parts):
            _check_width(part.size, dimension, f"{at}/{number}")
        rows = np.stack(parts)
    elif isinstance(given, list) and given:
        for number, row in enumerate(given):
            if not isinstance(row, list) or not set(map(type, row)) <= _NUMBERS:
                raise RequestError("an embedding is a list of numbers, or base64", pointer=f"{at}/{number}")
            _check_width(len(row), dimension, f"{at}/{number}")
        with np.errstate(over="ignore"):  # not finite then, which is said where rows are checked
            rows = np.array(given, np.float64).astype(np.float32)
    else:
        raise RequestError("give at least one embedding: a list of numbers, or base64", pointer=at)
    check_rows(len(rows), settings, at)
    return rows


def rows_of_flat(
    numbers: NDArray[np.float32], dimension: int, settings: Settings, at: str = "/"
) -> NDArray[np.float32]:
    """(N, D) of numbers in a row. Raises RequestError where they are no whole rows."""
    if not numbers.size or numbers.size % dimension:
        hint = _or_picture(numbers[:5].tobytes())
        raise RequestError(
            f"{numbers.size} numbers are no rows of {dimension}; send {dimension} for each{hint}", pointer=at
        )
    check_rows(numbers.size // dimension, settings, at)
    return numbers.reshape(-1, dimension)


def _or_picture(data: bytes) -> str:
    """What to do about a picture that was sent as numbers."""
    name = format_of(data[:18])
    return f", or this {name} as image/*" if name else ""


def check_rows(count: int, settings: Settings, at: str) -> None:
    """Raises TooLargeError for too many embeddings in a request."""
    if count > settings.request_max_rows:
        raise TooLargeError(
            f"there are {count:,} embeddings in this request; send at most {settings.request_max_rows:,}",
            pointer=at,
        )


def _check_width(found: int, dimension: int, at: str) -> None:
    if found != dimension:
        raise RequestError(
            f"this embedding has {found} numbers, not {dimension}; use those of the classifier's encoder",
            pointer=at,
        )


def _uploads(form: FormData) -> list[UploadFile]:
    return [value for name, value in form.multi_items() if isinstance(value, UploadFile)]


async def _bytes_of(upload: UploadFile, settings: Settings, at: str) -> bytes:
    if upload.size is not None:
        _check_bytes(upload.size, settings, at)
    return await upload.read()


def _check_bytes(size: int, settings: Settings, at: str) -> None:
    if size > settings.image_max_bytes:
        raise TooLargeError(
            f"this picture has {size:,} bytes; send at most {int(settings.image_max_bytes):,}", pointer=at
        )


def _check_count(count: int, settings: Settings) -> None:
    if count > settings.request_max_images:
        raise TooLargeError(
            f"there are more than {settings.request_max_images} pictures in this request; send them in parts"
        )
