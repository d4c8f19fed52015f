"""/v1/classifiers: classifiers as a whole."""

from typing import Annotated

from fastapi import APIRouter, Body, Request, Response
from fastapi.responses import StreamingResponse

from handful.api.answering import json_of, nothing, once_of, sent
from handful.api.bodies import media_type, unsupported
from handful.api.deps import Cursor, DryRun, IdempotencyKey, IfMatch, Limit, Reader, ServiceDep, WriterOf
from handful.api.problems import responses
from handful.api.schemas.classifiers import (
    ClassifierIn,
    ClassifierOut,
    ClassifierPatchIn,
    ClassifiersOut,
    RemovalOut,
)
from handful.service.classifiers import ClassifierView, etag
from handful.service.once import Rendered

router = APIRouter(prefix="/v1/classifiers", tags=["classifiers"])


def rendered(view: ClassifierView, status: int = 200) -> Rendered:
    """A classifier as an answer."""
    headers = {"ETag": etag(view.record)}
    if status == 201:
        headers["Location"] = f"/v1/classifiers/{view.record.id}"
    return json_of(ClassifierOut.of(view), status, headers)


@router.post("", status_code=201, response_model=ClassifierOut, responses=responses(400, 413, 415, 507))
async def create_classifier(
    request: Request, body: ClassifierIn, caller: WriterOf, service: ServiceDep, key: IdempotencyKey = None
) -> Response:
    """Make a classifier. It answers by the names and descriptions of its classes at once.

    At most 100,000 classes in a request.
    """
    once = once_of(request, caller, body.model_dump_json(), lambda view: rendered(view, 201))
    return sent(rendered(await service.classifiers.create(caller.tenant, body.domain_object(), once), 201))


@router.get("", response_model=ClassifiersOut, responses=responses())
async def list_classifiers(
    caller: Reader, service: ServiceDep, limit: Limit = 100, cursor: Cursor = None
) -> Response:
    """By time of creation, 1 to 100 at a time."""
    found = await service.classifiers.list(caller.tenant, limit=limit, cursor=cursor)
    items = [ClassifierOut.of(view) for view in found.items]
    return sent(json_of(ClassifiersOut(items=items, next_cursor=found.next_cursor)))


@router.post(
    "/import",
    status_code=201,
    response_model=ClassifierOut,
    responses=responses(409, 413, 415, 507),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def import_classifier(
    request: Request, caller: WriterOf, service: ServiceDep, key: IdempotencyKey = None
) -> Response:
    """A classifier from the file that an export made, which answers as that did: all of it, or nothing."""
    if media_type(request) not in ("application/zip", "application/octet-stream"):
        raise unsupported(request, "application/zip")
    once = once_of(request, caller, "", lambda view: rendered(view, 201))
    view = await service.transfer.import_classifier(caller.tenant, request.stream(), once)
    return sent(rendered(view, 201))


@router.get("/{id}", response_model=ClassifierOut, responses=responses(404))
async def get_classifier(id: str, caller: Reader, service: ServiceDep) -> Response:
    """A classifier with the first 1,000 of its classes; its ETag is for `If-Match`."""
    return sent(rendered(await service.classifiers.get(caller.tenant, id)))


@router.patch("/{id}", response_model=ClassifierOut, responses=responses(400, 404, 409, 412, 413, 415, 507))
async def patch_classifier(
    request: Request,
    id: str,
    body: Annotated[ClassifierPatchIn, Body()],
    caller: WriterOf,
    service: ServiceDep,
    if_match: IfMatch = None,
    key: IdempotencyKey = None,
) -> Response:
    """Change settings. Setting `method` lets the closed-form head answer again."""
    once = once_of(request, caller, body.model_dump_json(exclude_unset=True), rendered)
    view = await service.classifiers.patch(
        caller.tenant, id, body.domain_object(), if_match=if_match, once=once
    )
    return sent(rendered(view))


@router.delete(
    "/{id}",
    status_code=204,
    responses={200: {"model": RemovalOut, "description": "a dry run"}, **responses(404, 409, 412, 507)},
)
async def delete_classifier(
    request: Request,
    id: str,
    caller: WriterOf,
    service: ServiceDep,
    if_match: IfMatch = None,
    dry_run: DryRun = False,
    key: IdempotencyKey = None,
) -> Response:
    """With its shots, heads and pictures."""
    if dry_run:
        removal = await service.removals.of_classifier(caller.tenant, id, if_match=if_match)
        return sent(json_of(RemovalOut.of(removal)))
    once = once_of(request, caller, "", lambda _: nothing())
    await service.classifiers.delete(caller.tenant, id, if_match=if_match, once=once)
    return sent(nothing())


@router.get(
    "/{id}/export",
    response_class=StreamingResponse,
    responses={
        200: {
            "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}},
            "description": "the package",
        },
        **responses(404),
    },
)
async def export_classifier(id: str, caller: Reader, service: ServiceDep) -> Response:
    """The classifier as one file: JSON, safetensors and pictures."""
    chunks = await service.transfer.export(caller.tenant, id)
    return StreamingResponse(
        chunks,
        media_type="application/zip",
        headers={"Content-Disposition": f'attachment; filename="{id}.zip"'},
    )
