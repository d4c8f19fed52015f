"""/v1/classifiers/{id}/shots: its labelled pictures."""

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request, Response

from handful.api.answering import json_of, nothing, once_of, sent, server_timing
from handful.api.bodies import (
    FIELD_EACH,
    check_rows,
    checked,
    form_body,
    is_archive,
    is_form,
    json_body,
    media_type,
    pictures_of_text,
    rows_of,
    unsupported,
)
from handful.api.deps import Cursor, IdempotencyKey, Limit, Reader, ServiceDep, WriterOf, content_digest
from handful.api.problems import responses
from handful.api.routes.jobs import accepted
from handful.api.schemas.classifiers import In
from handful.api.schemas.shots import NewShotsOut, ShotIn, ShotOut, ShotPatchIn, ShotsOut
from handful.api.schemas.work import JobOut
from handful.errors import RequestError
from handful.service.encoding import Timings
from handful.service.new_shots import NewShot
from handful.service.once import Rendered
from handful.service.shots import ShotView

router = APIRouter(prefix="/v1/classifiers/{id}/shots", tags=["shots"])

_OPTIONAL = ("group", "source_id", "metadata")  # of each shot of a form
_BODIES: dict[str, Any] = {  # Any: OpenAPI
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["files", "label"],
                    "properties": {
                        "files": {"type": "array", "items": {"type": "string", "format": "binary"}},
                        "label": {
                            "type": "array",
                            "items": {"type": "string"},
                            "example": ["cat"],
                            "description": "one for all files, or one for each, in order",
                        },
                        "group": {"type": "array", "items": {"type": "string"}, "default": []},
                        "source_id": {"type": "array", "items": {"type": "string"}, "default": []},
                        "metadata": {
                            "type": "array",
                            "items": {"type": "string"},
                            "default": [],
                            "description": "JSON objects",
                        },
                    },
                },
                "encoding": dict.fromkeys(("label", "group", "source_id", "metadata"), FIELD_EACH),
            },
            "application/json": {
                "schema": {
                    "anyOf": [
                        {"type": "array", "items": {"$ref": "#/components/schemas/ShotIn"}},
                        {"$ref": "#/components/schemas/ShotsIn"},
                    ]
                }
            },
            "application/zip": {"schema": {"type": "string", "format": "binary"}},
            "application/x-tar": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


class ShotsIn(In):
    """Shots to add; a bare list of them does as well."""

    shots: list[ShotIn]


def rendered(id: str, views: tuple[ShotView, ...]) -> Rendered:
    """New shots as an answer."""
    return json_of(NewShotsOut(shots=[ShotOut.of(id, view) for view in views]), 201)


@router.post(
    "",
    status_code=201,
    response_model=NewShotsOut,
    responses={
        202: {"model": JobOut, "description": "an archive was taken; a job adds its pictures"},
        **responses(400, 404, 409, 413, 415, 507),
    },
    openapi_extra=_BODIES,
)
async def add_shots(
    request: Request, id: str, caller: WriterOf, service: ServiceDep, key: IdempotencyKey = None
) -> Response:
    """Add labelled pictures or embeddings; the next answer counts them. All are stored, or none.

    At most 256 pictures or 10,000 embeddings, and 64 MB, unless the service is set up otherwise. A zip or
    tar of class folders, up to 2 GB, is taken as a job.
    """
    if is_archive(request):
        once = once_of(request, caller, "", accepted)
        job = await service.transfer.start_archive(caller.tenant, id, request.stream(), once)
        return sent(accepted(job))
    timings = Timings()
    if is_form(request):
        new, digest = await _of_form(request)
    elif media_type(request) == "application/json":
        new, digest = await _of_json(request, caller.tenant, id, service)
    else:
        raise unsupported(
            request, "multipart/form-data", "application/json", "application/zip", "application/x-tar"
        )
    once = once_of(request, caller, digest, lambda views: rendered(id, views))
    views = await service.shots.add(caller.tenant, id, new, once, timings=timings)
    return sent(rendered(id, views), server_timing(timings))


@router.get("", response_model=ShotsOut, responses=responses(404))
async def list_shots(
    id: str,
    caller: Reader,
    service: ServiceDep,
    label: Annotated[str | None, Query(max_length=200, description="of one class")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """By arrival, 1 to 100 at a time."""
    found = await service.shots.list(caller.tenant, id, label=label, limit=limit, cursor=cursor)
    items = [ShotOut.of(id, view) for view in found.items]
    return sent(json_of(ShotsOut(items=items, next_cursor=found.next_cursor)))


@router.get("/{shot}", response_model=ShotOut, responses=responses(404))
async def get_shot(id: str, shot: str, caller: Reader, service: ServiceDep) -> Response:
    """One shot."""
    return sent(json_of(ShotOut.of(id, await service.shots.get(caller.tenant, id, shot))))


@router.patch("/{shot}", response_model=ShotOut, responses=responses(400, 404, 409, 413, 415, 507))
async def relabel_shot(
    request: Request,
    id: str,
    shot: str,
    body: ShotPatchIn,
    caller: WriterOf,
    service: ServiceDep,
    key: IdempotencyKey = None,
) -> Response:
    """Give a shot another label; a new one makes its class."""
    once = once_of(request, caller, body.model_dump_json(), lambda view: json_of(ShotOut.of(id, view)))
    view = await service.shots.relabel(caller.tenant, id, shot, body.label, once)
    return sent(json_of(ShotOut.of(id, view)))


@router.delete("/{shot}", status_code=204, responses=responses(404, 409, 507))
async def delete_shot(
    request: Request,
    id: str,
    shot: str,
    caller: WriterOf,
    service: ServiceDep,
    key: IdempotencyKey = None,
) -> Response:
    """Delete a shot; its class stays."""
    once = once_of(request, caller, "", lambda _: nothing())
    await service.shots.delete(caller.tenant, id, shot, once)
    return sent(nothing())


@router.get(
    "/{shot}/image",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}}, "description": "the kept picture"}, **responses(404)},
)
async def get_shot_image(
    id: str,
    shot: str,
    caller: Reader,
    service: ServiceDep,
    size: Annotated[
        int | None, Query(ge=16, le=4096, description="longer side in pixels, at most; unset: as it is kept")
    ] = None,
) -> Response:
    """The kept picture as JPEG, without metadata."""
    data = await service.shots.image(caller.tenant, id, shot, size)
    return Response(
        data, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=31536000, immutable"}
    )


async def _of_form(request: Request) -> tuple[list[NewShot], str]:
    body = await form_body(request)
    count = len(body.images)
    if not count:
        raise RequestError("this form has no file; send pictures in fields named `files`", pointer="/files")
    labels = _one_each(body.fields.get("label", []), count, "label")
    others = {
        name: _one_each(body.fields[name], count, name) if name in body.fields else [None] * count
        for name in _OPTIONAL
    }
    new = [
        NewShot(
            label=labels[at],
            image=image,
            group=others["group"][at] or None,  # a form cannot leave one of several out
            source_id=others["source_id"][at] or None,
            metadata=_metadata(others["metadata"][at], at),
            pointer=f"/files/{at}",
        )
        for at, image in enumerate(body.images)
    ]
    return new, body.digest


async def _of_json(request: Request, tenant: str, id: str, service: ServiceDep) -> tuple[list[NewShot], str]:
    body = await json_body(request)
    given, at = (body.get("shots"), "/shots") if isinstance(body, dict) else (body, "")
    if not isinstance(given, list) or (isinstance(body, dict) and body.keys() != {"shots"}):
        raise RequestError("the body is no list of shots; send [{label, image}] or {shots: […]}", pointer="/")
    check_rows(len(given), service.settings, at or "/")
    shots = [checked(ShotIn, one, f"{at}/{number}") for number, one in enumerate(given)]
    pictured = {f"{at}/{n}/image": shot.image for n, shot in enumerate(shots) if shot.image is not None}
    images = iter(await pictures_of_text(list(pictured.values()), service.settings, pointers=list(pictured)))
    dimension = 0
    if any(shot.embedding is not None for shot in shots):
        view = await service.classifiers.get(tenant, id)
        dimension = (await service.encoding.encoders.found(view.record.encoder)).dimension
    new = []
    for number, shot in enumerate(shots):
        pointer = f"{at}/{number}"
        if (shot.image is None) == (shot.embedding is None):
            raise RequestError("a shot is an image or an embedding; give one of them", pointer=pointer)
        row = None
        if shot.embedding is not None:
            row = rows_of([shot.embedding], dimension, service.settings, pointer)[0]
        new.append(
            NewShot(
                label=shot.label,
                image=next(images) if shot.image is not None else None,
                row=row,
                group=shot.group,
                source_id=shot.source_id,
                metadata=shot.metadata,
                pointer=pointer,
            )
        )
    return new, content_digest(orjson.dumps(body, option=orjson.OPT_SORT_KEYS))


def _one_each(values: list[str], count: int, name: str) -> list[str]:
    if len(values) == 1:
        return values * count
    if len(values) != count:
        raise RequestError(
            f"there are {count} files and {len(values)} values of `{name}`; give one for all, or one each",
            pointer=f"/{name}",
        )
    return values


def _metadata(text: str | None, at: int) -> dict[str, Any] | None:  # Any: the sender's JSON
    if text is None or not text.strip():
        return None
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise RequestError("metadata is a JSON object, as text", pointer=f"/metadata/{at}")
    return found
