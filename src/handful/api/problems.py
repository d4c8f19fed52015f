"""Failures as problem+json (RFC 9457): one shape for all of them."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.routing import Match

from handful.errors import (
    AccessError,
    BusyError,
    ConflictError,
    EncoderError,
    ImageError,
    NotFoundError,
    QuotaError,
    RequestError,
    ServiceError,
    StaleError,
    StorageError,
    StorageFullError,
    SupportError,
    TooLargeError,
    UnsupportedTypeError,
)
from handful.storage.store import AnsweredError

MEDIA_TYPE = "application/problem+json"
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_RETRY = "1"  # seconds, where nothing better is known

_log = structlog.get_logger("handful.api")


class ProblemItem(BaseModel):
    """One of several things that are wrong.    pointer : JSON pointer to it in the request."""

    detail: str
    pointer: str


class Problem(BaseModel):
    """Why a request failed, in the words of RFC 9457."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "type": "/problems/not-found",
                "title": "Not found",
                "status": 404,
                "detail": "there is no classifier 'dents'",
                "instance": "/v1/classifiers/dents",
            }
        }
    )

    type: str = Field(description="names the kind of problem; the same for all of a kind")
    title: str
    status: int
    detail: str = Field(description="what was found, what is allowed, what to do")
    instance: str = Field(description="path of the request")
    errors: list[ProblemItem] | None = None


class BadJsonError(RequestError):
    """The body is no JSON."""


# The first that fits.
_KINDS: tuple[tuple[type[Exception], int, str, str], ...] = (
    (StorageFullError, 507, "storage-full", "No room is left"),
    (StorageError, 503, "storage", "Storage cannot be used"),
    (TooLargeError, 413, "too-large", "Too large"),
    (UnsupportedTypeError, 415, "unsupported-type", "Type not supported"),
    (NotFoundError, 404, "not-found", "Not found"),
    (StaleError, 412, "stale", "Changed meanwhile"),
    (ConflictError, 409, "conflict", "Conflict"),
    (QuotaError, 429, "quota", "Over a limit"),
    (BusyError, 503, "busy", "Busy"),
    (BadJsonError, 400, "json", "Not JSON"),
    (RequestError, 422, "invalid", "Invalid request"),
    (ImageError, 422, "image", "Picture cannot be read"),
    (SupportError, 422, "invalid", "Invalid request"),
    (EncoderError, 422, "invalid", "Invalid request"),
)


def problem_response(
    request: Request,
    status: int,
    kind: str,
    title: str,
    detail: str,
    *,
    errors: Sequence[Mapping[str, str]] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The answer to a request that failed."""
    said: dict[str, Any] = {
        "type": f"/problems/{kind}",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": request.scope["path"],
    }
    if errors:
        said["errors"] = list(errors)
    return Response(orjson.dumps(said), status, media_type=MEDIA_TYPE, headers=dict(headers or {}))


def install(app: FastAPI) -> None:
    """Answer every exception of the routes by a problem."""
    for kind in {known for known, *_ in _KINDS} | {ServiceError, AccessError}:
        app.add_exception_handler(kind, of_domain)
    app.add_exception_handler(AnsweredError, _answered_before)
    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_exception_handler(HTTPException, _of_http)


def of_domain(request: Request, exc: Exception) -> Response:
    """Of the use cases: each kind of error has its status."""
    if isinstance(exc, AccessError):
        status, kind, title = (
            (403, "forbidden", "Not allowed") if exc.known else (401, "key", "API key needed")
        )
        headers = {} if exc.known else {"WWW-Authenticate": 'Bearer realm="handful"'}
        return problem_response(request, status, kind, title, str(exc), headers=headers)
    status, kind, title = next((s, k, t) for known, s, k, t in _KINDS if isinstance(exc, known))
    pointer = getattr(exc, "pointer", None)
    errors = [{"detail": str(exc), "pointer": pointer}] if pointer is not None else []
    return problem_response(
        request, status, kind, title, str(exc), errors=errors, headers=_retry_after(exc, status)
    )


def _retry_after(exc: Exception, status: int) -> dict[str, str]:
    seconds = getattr(exc, "retry_after", None)
    if seconds is not None:
        return {"Retry-After": str(max(1, round(seconds)))}
    return {"Retry-After": _RETRY} if status == HTTPStatus.SERVICE_UNAVAILABLE else {}


def _answered_before(request: Request, exc: Exception) -> Response:
    """The answer that was given to this request before."""
    assert isinstance(exc, AnsweredError)
    reply = exc.reply
    headers = {**reply.headers, "Idempotency-Replayed": "true"}
    return Response(reply.body, reply.status, headers=headers)


def _of_validation(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, RequestValidationError)
    if isinstance(exc.body, bytes) and exc.body:  # FastAPI parses JSON alone
        found_type = request.headers.get("content-type", "of no Content-Type")[:100]
        return of_domain(request, UnsupportedTypeError(f"the body is {found_type}; send application/json"))
    found = exc.errors()
    if any(error["type"] == "missing" and error["loc"] == ("body",) for error in found):
        return of_domain(request, RequestError("the body is missing; send JSON", pointer="/"))
    if any(error["type"] == "json_invalid" for error in found):
        return bad_json(request, str(found[0].get("ctx", {}).get("error", "it cannot be parsed")))
    errors = [{"detail": worded(error), "pointer": pointer(error["loc"])} for error in found]
    first = errors[0]
    more = f" ({len(errors) - 1} more)" if len(errors) > 1 else ""
    detail = f"{first['pointer']}: {first['detail']}{more}"
    return problem_response(request, 422, "invalid", "Invalid request", detail, errors=errors)


def bad_json(request: Request, reason: str) -> Response:
    """The answer to a body that is no JSON."""
    return problem_response(request, 400, "json", "Not JSON", f"the body is no JSON: {reason}; correct it")


_WORDS = {  # of pydantic, for those who do not know it
    "missing": "it is missing",
    "extra_forbidden": "there is no such member here; see /docs for those there are",
    "model_attributes_type": "this is no object with members; see /docs for its shape",
    "model_type": "this is no object with members; see /docs for its shape",
    "too_short": "it is empty, and holds at least one",
}


def worded(error: Mapping[str, Any]) -> str:
    """What pydantic found wrong.    (Any: pydantic's own.)"""
    return _WORDS.get(str(error["type"]), str(error["msg"]))


def pointer(loc: Sequence[str | int]) -> str:
    """A JSON pointer of where pydantic saw something, less the part of the request that it was in."""
    parts = loc[1:] if loc and loc[0] in ("body", "query", "path", "header") else loc
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in parts) or "/"


def _of_http(request: Request, exc: Exception) -> Response:
    """Of the framework: no such route, no such method, a body that it could not parse."""
    assert isinstance(exc, HTTPException)
    kind = {404: "not-found", 405: "method", 413: "too-large", 400: "body"}.get(exc.status_code, "http")
    title = HTTPStatus(exc.status_code).phrase
    detail, headers = str(exc.detail), exc.headers
    if exc.status_code == HTTPStatus.NOT_FOUND:
        detail = f"there is nothing at {request.scope['path']}; see /docs"
    elif exc.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = _allowed(request)
        headers = {"Allow": ", ".join(allowed)}
        detail = f"{request.method} is not possible here; use {' or '.join(allowed)}; see /docs"
    return problem_response(request, exc.status_code, kind, title, detail, headers=headers)


def _allowed(request: Request) -> list[str]:
    """Methods of all routes with the request's path; the framework names those of the first alone."""
    return [
        method
        for method in _METHODS
        if any(
            route.matches({**request.scope, "method": method})[0] is Match.FULL
            for route in request.app.routes
        )
    ]


def unexpected(request: Request, exc: Exception) -> Response:
    """A fault of ours; the log has it, the answer does not."""
    _log.error("unexpected failure", path=request.scope["path"], exc_info=exc)
    detail = "something failed inside the service; its log has more, under the request's X-Request-ID"
    return problem_response(request, 500, "internal", "Internal error", detail)


_DESCRIPTIONS = {
    400: "The body cannot be parsed",
    401: "An API key is needed, or this one is not known",
    403: "The API key may not do this",
    404: "There is no such thing, or it is not the caller's",
    409: "It contradicts the state that things are in",
    412: "It was made for an older version",
    413: "It is larger than allowed",
    415: "Its body is of a type that is not read here",
    422: "It says something that is not allowed",
    429: "It is over a limit of the caller; see Retry-After where there is one",
    500: "A fault of the service",
    503: "The service is busy, or its storage is away; see Retry-After",
    507: "No room is left to store it",
}


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What a route may answer besides success, for OpenAPI; what every route may is always there."""
    return {
        status: {
            "model": Problem,
            "description": _DESCRIPTIONS[status],
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in sorted({401, 403, 422, 429, 500, 503, *statuses})
    }
