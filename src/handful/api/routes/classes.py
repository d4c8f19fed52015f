"""/v1/classifiers/{id}/classes: its classes."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from handful.api.answering import json_of, nothing, once_of, sent
from handful.api.deps import Cursor, DryRun, IdempotencyKey, Limit, Reader, ServiceDep, WriterOf
from handful.api.problems import responses
from handful.api.schemas.classifiers import ClassBodyIn, ClassesIn, ClassesOut, ClassOut, RemovalOut, RenameIn
from handful.service.classes import NewClass

router = APIRouter(prefix="/v1/classifiers/{id}/classes", tags=["classes"])

ClassName = Annotated[str, Path(max_length=400, description="URL-encoded")]


@router.get("", response_model=ClassesOut, responses=responses(404))
async def list_classes(
    id: str, caller: Reader, service: ServiceDep, limit: Limit = 100, cursor: Cursor = None
) -> Response:
    """By time of creation, 1 to 100 at a time."""
    found = await service.classes.list(caller.tenant, id, limit=limit, cursor=cursor)
    items = [ClassOut.of(one) for one in found.items]
    return sent(json_of(ClassesOut(items=items, next_cursor=found.next_cursor)))


@router.post(
    "", status_code=201, response_model=ClassesOut, responses=responses(400, 404, 409, 413, 415, 507)
)
async def put_classes(
    request: Request,
    id: str,
    body: ClassesIn,
    caller: WriterOf,
    service: ServiceDep,
    key: IdempotencyKey = None,
) -> Response:
    """Make classes in bulk, or give those that are there other words. At most 100,000 at a time."""
    once = once_of(
        request,
        caller,
        body.model_dump_json(),
        lambda made: json_of(ClassesOut(items=[ClassOut.of(one) for one in made], next_cursor=None), 201),
    )
    new = [one.domain(f"/classes/{at}/name") for at, one in enumerate(body.classes)]
    made = await service.classes.put(caller.tenant, id, new, once)
    return sent(json_of(ClassesOut(items=[ClassOut.of(one) for one in made], next_cursor=None), 201))


@router.put("/{name}", response_model=ClassOut, responses=responses(400, 404, 409, 413, 415, 507))
async def put_class(
    request: Request,
    id: str,
    name: ClassName,
    body: ClassBodyIn,
    caller: WriterOf,
    service: ServiceDep,
    key: IdempotencyKey = None,
) -> Response:
    """Make a class, or give it other words."""
    once = once_of(request, caller, body.model_dump_json(), lambda made: json_of(ClassOut.of(made[0])))
    new = NewClass(name=name, description=body.description, prompts=body.prompts)
    (made,) = await service.classes.put(caller.tenant, id, [new], once)
    return sent(json_of(ClassOut.of(made)))


@router.patch("/{name}", response_model=ClassOut, responses=responses(400, 404, 409, 413, 415, 507))
async def rename_class(
    request: Request,
    id: str,
    name: ClassName,
    body: RenameIn,
    caller: WriterOf,
    service: ServiceDep,
    key: IdempotencyKey = None,
) -> Response:
    """Rename a class; its shots come along."""
    once = once_of(request, caller, body.model_dump_json(), lambda made: json_of(ClassOut.of(made)))
    return sent(json_of(ClassOut.of(await service.classes.rename(caller.tenant, id, name, body.name, once))))


@router.delete(
    "/{name}",
    status_code=204,
    responses={200: {"model": RemovalOut, "description": "a dry run"}, **responses(404, 409, 507)},
)
async def delete_class(
    request: Request,
    id: str,
    name: ClassName,
    caller: WriterOf,
    service: ServiceDep,
    dry_run: DryRun = False,
    key: IdempotencyKey = None,
) -> Response:
    """Delete a class with its shots."""
    if dry_run:
        return sent(json_of(RemovalOut.of(await service.removals.of_class(caller.tenant, id, name))))
    once = once_of(request, caller, "", lambda _: nothing())
    await service.classes.delete(caller.tenant, id, name, once)
    return sent(nothing())
