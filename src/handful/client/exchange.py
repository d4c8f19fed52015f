"""Asking until there is an answer: retries, and errors as Handful's."""

import json
import math
import random
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from uuid import uuid4

import httpx2

from handful.client.steps import Pause, Request, Send, Steps
from handful.errors import ClientError, UnreachableError

_BUSY = frozenset({429, 503})  # and what proxies say while the service starts anew
_GATEWAY = frozenset({502, 504})
_TRIES = 6
_FIRST_PAUSE = 0.25  # seconds; doubled each time
_LONGEST_PAUSE = 8.0
_LONGEST_WAIT = 60.0  # seconds that a server may ask for; of more, the caller is told


def exchanged(request: Request, *, streamed: bool = False) -> Steps[httpx2.Response]:
    """The answer to a request, which is sent again while the service is busy or cannot be reached.

    A write carries an Idempotency-Key, so that it is done once however often it is sent.
    Raises ClientError for an answer that says no, and UnreachableError for none.
    """
    if request.write:
        request = request.with_headers({"Idempotency-Key": str(uuid4())})
    tried = 0
    while True:
        tried += 1
        came: httpx2.Response | httpx2.TransportError = yield Send(request, streamed)
        if isinstance(came, httpx2.Response) and came.is_success:
            return came
        pause = _pause(came, tried)
        if pause is None:
            raise _error(came, request)
        yield Pause(pause)


def asked(request: Request) -> Steps[Any]:  # Any: JSON
    """The JSON that answers a request, None for an answer without any."""
    response = yield from exchanged(request)
    if not response.content:
        return None
    try:
        return response.json()
    except ValueError:
        raise ClientError(
            f"{request.method} {response.url} answered something else than JSON; is this Handful's address?",
            status=response.status_code,
        ) from None


def back_off(tried: int) -> float:
    """Seconds to wait after so many tries, jittered so that clients do not come back together."""
    return min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** (tried - 1)) * random.uniform(0.5, 1.0)


def _pause(came: httpx2.Response | httpx2.TransportError, tried: int) -> float | None:
    """Seconds before the next try; None where another one is of no use."""
    if tried >= _TRIES:
        return None
    if isinstance(came, httpx2.TransportError):
        return None if isinstance(came, httpx2.UnsupportedProtocol) else back_off(tried)
    if came.status_code in _GATEWAY:
        return back_off(tried)
    if came.status_code not in _BUSY:
        return None
    wanted = retry_after(came.headers)
    if wanted is None:
        return back_off(tried)
    return None if wanted > _LONGEST_WAIT else wanted


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that `Retry-After` asks for, in either of its forms; None for none."""
    said = headers.get("Retry-After")
    if said is None:
        return None
    try:
        seconds = float(said)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(said) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _error(came: httpx2.Response | httpx2.TransportError, request: Request) -> ClientError:
    if isinstance(came, httpx2.TransportError):
        reason = str(came) or type(came).__name__
        return UnreachableError(
            f"{request.method} {_server(came)}/{request.path} got no answer ({reason}); check the address, "
            "and that `handful serve` runs there"
        )
    return ClientError.of_problem(came.status_code, _problem(came))


def _server(exc: httpx2.TransportError) -> str:
    """Scheme, host and port that were asked, as far as they are known; never a password."""
    try:
        url = exc.request.url
    except RuntimeError:
        return ""
    return f"{url.scheme}://{url.netloc.decode()}"


def _problem(response: httpx2.Response) -> dict[str, Any]:  # Any: a problem's extension members
    """The problem of an answer that says no; one of its own for an answer that is none of Handful's."""
    try:
        said = json.loads(response.content)
    except ValueError:
        said = None
    if isinstance(said, dict) and "title" in said:
        return said
    return {
        "type": "about:blank",
        "title": response.reason_phrase or "No answer of Handful's",
        "status": response.status_code,
        "detail": f"{response.url} answered {response.status_code}; is this Handful's address?",
    }
