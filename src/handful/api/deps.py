"""What routes depend on: the service, the caller, and the request's identity."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Any, cast

from fastapi import Depends, Header, Query, Request, Security
from fastapi.security import HTTPBearer
from starlette.requests import HTTPConnection

from handful.api.rates import Rates
from handful.errors import AccessError
from handful.service.keys import TENANT, check_scope
from handful.service.service import Service
from handful.storage.records import Scope

bearer = HTTPBearer(auto_error=False, description="an API key; none is needed where no keys were made")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks."""

    tenant: str


def service_of(connection: HTTPConnection) -> Service:
    """The service that this application runs on."""
    return cast(Service, connection.state.service)


def caller_with(scope: Scope) -> Callable[[Request, Any], Awaitable[Caller]]:
    """A dependency: the caller, who may do what needs this scope. Raises AccessError, QuotaError."""

    async def caller(
        request: Request, _: Annotated[Any, Security(bearer)] = None
    ) -> Caller:  # Any: for OpenAPI
        return await admitted(request, scope, lambda: bearer_secret(request))

    return caller


async def admitted(request: Request, scope: Scope, secret: Callable[[], str]) -> Caller:
    """Who shows this secret, and may do what needs this scope. Raises AccessError, QuotaError."""
    service = service_of(request)
    tenant = TENANT
    if await service.keys.exist():
        key = await service.keys.check(secret())
        check_scope(key, scope)
        tenant = key.tenant
    cast(Rates, request.state.rates).spend(tenant)
    return Caller(tenant)


def bearer_secret(request: Request) -> str:
    """The API key that a request shows. Raises AccessError for none."""
    header = request.headers.get("authorization", "")
    kind, _, secret = header.partition(" ")
    if kind.lower() != "bearer" or not secret.strip():
        raise AccessError("an API key is needed; send it as `Authorization: Bearer KEY`")
    return secret.strip()


ServiceDep = Annotated[Service, Depends(service_of)]
Reader = Annotated[Caller, Depends(caller_with("read"))]
WriterOf = Annotated[Caller, Depends(caller_with("write"))]
Admin = Annotated[Caller, Depends(caller_with("admin"))]
Limit = Annotated[int, Query(ge=1, le=100, description="items of a page")]
Cursor = Annotated[str | None, Query(max_length=200, description="`next_cursor` of the page before")]
IfMatch = Annotated[str | None, Header(max_length=1000, description="ETag that it must have")]
IdempotencyKey = Annotated[
    str | None,
    Header(
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
