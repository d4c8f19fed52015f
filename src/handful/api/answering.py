"""Answers of routes, kept under an Idempotency-Key where one was sent."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import Request, Response
from pydantic import BaseModel

from handful.api.deps import Caller, content_digest, service_of
from handful.errors import RequestError
from handful.service.encoding import Timings
from handful.service.once import Once, Rendered

_JSON = "application/json"
_LONGEST_KEY = 200
Render = Callable[[Any], Rendered]  # Any: each use case has its own result


def json_of(model: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None) -> Rendered:
    """A model as an answer."""
    return Rendered(
        status=status,
        body=model.model_dump_json(exclude_none=False).encode(),
        headers={"Content-Type": _JSON, **(headers or {})},
    )


def nothing() -> Rendered:
    """204."""
    return Rendered(status=204)


def sent(answer: Rendered, headers: Mapping[str, str] | None = None) -> Response:
    """The answer on its way.    headers : of this time, not of what was asked."""
    return Response(answer.body, answer.status, headers={**answer.headers, **(headers or {})})


def once_of(request: Request, caller: Caller, body: bytes | str, render: Render) -> Once | None:
    """What the request's Idempotency-Key asks for; None where it has none.

    body : what is asked, by content.
    """
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not 1 <= len(key) <= _LONGEST_KEY:
        raise RequestError(
            f"the Idempotency-Key has {len(key)} characters; give 1 to {_LONGEST_KEY}",
            pointer="/idempotency-key",
        )
    hours = service_of(request).settings.reply_hours
    return Once(
        tenant=caller.tenant,
        key=key,
        request=content_digest(
            request.method, request.url.path, request.url.query, request.headers.get("if-match", ""), body
        ),
        expires=datetime.now(UTC) + timedelta(hours=hours),
        render=render,
    )


def server_timing(timings: Timings) -> dict[str, str]:
    """The header that says where the time went, in milliseconds, and how many pictures were encoded."""
    parts = {
        "decode": timings.decode,
        "queue": timings.queue,
        "encode": timings.encode,
        "score": timings.score,
    }
    told = [f"{name};dur={1000 * spent:.2f}" for name, spent in parts.items()]
    told[2] += f';desc="{timings.encoded} encoded"'
    return {"Server-Timing": ", ".join(told)}
