"""What routes depend on: the service, the caller, and the request's identity."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Any, cast

from fastapi import Depends, Header, Query, Request, Security
from fastapi.security import HTTPBearer
from starlette.requests import HTTPConnection

from handful.service.keys import TENANT, check_scope
from handful.service.service import Service
from handful.storage.records import KeyRecord, Scope

bearer = HTTPBearer(auto_error=False, description="an API key; none is needed where no keys were made")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks."""

    tenant: str


def service_of(connection: HTTPConnection) -> Service:
    """The service that this application runs on."""
    return cast(Service, connection.state.service)


def caller_with(scope: Scope) -> Callable[[Request, Any], Awaitable[Caller]]:
    """A dependency: the caller, who may do what needs this scope. Raises AccessError."""

    async def caller(
        request: Request, _: Annotated[Any, Security(bearer)] = None
    ) -> Caller:  # Any: for OpenAPI
        return admitted(request, scope)

    return caller


def admitted(request: Request, scope: Scope) -> Caller:
    """Who asks, if the key that was shown may do what needs this scope. Raises AccessError."""
    key = cast(KeyRecord | None, request.state.key)  # of `Admission`
    if key is None:
        return Caller(TENANT)
    check_scope(key, scope)
    return Caller(key.tenant)


async def _service(request: Request) -> Service:
    """As `service_of`; FastAPI would call a function that is not async in a thread."""
    return service_of(request)


ServiceDep = Annotated[Service, Depends(_service)]
Reader = Annotated[Caller, Depends(caller_with("read"))]
WriterOf = Annotated[Caller, Depends(caller_with("write"))]
Admin = Annotated[Caller, Depends(caller_with("admin"))]
Limit = Annotated[int, Query(ge=1, le=100, description="items of a page")]
Cursor = Annotated[str | None, Query(max_length=200, description="`next_cursor` of the page before")]
IfMatch = Annotated[str | None, Header(max_length=1000, description="ETag that it must have")]
DryRun = Annotated[bool, Query(description="change nothing, and answer 200 with what would go")]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        description="any text of yours; a request that is sent again under it is not done again, and gets "
        "the same answer",
    ),
]


def content_digest(*parts: bytes | str) -> str:
    """SHA-256 of what is asked."""
    digest = sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()
