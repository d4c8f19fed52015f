"""/v1/classifiers/{id}/versions: its heads."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from handful.api.answering import json_of, once_of, sent
from handful.api.deps import IdempotencyKey, Reader, ServiceDep, WriterOf
from handful.api.problems import responses
from handful.api.schemas.work import VersionOut, VersionsOut

router = APIRouter(prefix="/v1/classifiers/{id}/versions", tags=["versions"])


@router.get("", response_model=VersionsOut, responses=responses(404))
async def list_versions(id: str, caller: Reader, service: ServiceDep) -> Response:
    """Trained heads, ones once activated by hand, and the last five in closed form, newest first."""
    found = await service.versions.list(caller.tenant, id)
    return sent(json_of(VersionsOut(items=[VersionOut.of(view) for view in found])))


@router.post("/{version}/activate", response_model=VersionOut, responses=responses(404, 409, 507))
async def activate_version(
    request: Request,
    id: str,
    version: Annotated[int, Path(ge=0, le=2**53)],
    caller: WriterOf,
    service: ServiceDep,
    key: IdempotencyKey = None,
) -> Response:
    """Let a head answer until another is activated or the classifier's method is set again.

    It is stale from the next write on. The newest in closed form follows the shots again.
    """
    once = once_of(request, caller, "", lambda view: json_of(VersionOut.of(view)))
    return sent(json_of(VersionOut.of(await service.versions.activate(caller.tenant, id, version, once))))
