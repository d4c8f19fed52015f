"""Each request gets an id, a line in the log and a place in the counts."""

import re
import secrets
import time
from functools import lru_cache

import structlog
from prometheus_client import Counter, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from handful.api.problems import unexpected

_SECONDS = Histogram(
    "handful_http_request_seconds",
    "Time of a request",
    ["method", "route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60),
)
_REQUESTS = Counter("handful_http_requests", "Requests", ["method", "route", "status"])
_ID = re.compile(r"[A-Za-z0-9._\-]{1,100}")
QUIET = {"/healthz", "/livez", "/readyz", "/health", "/ping", "/metrics"}  # asked every few seconds
_GONE = 499  # whoever asked did not wait; as nginx has it
_METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"}

_log = structlog.get_logger("handful.access")


@lru_cache(maxsize=4096)  # looking them up takes longer than counting
def _counted(method: str, route: str, status: int) -> tuple[Histogram, Counter]:
    return _SECONDS.labels(method, route), _REQUESTS.labels(method, route, status)


class Exchange:
    """Outermost: sees what all others did."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _ID.fullmatch(given) else secrets.token_hex(8)
        structlog.contextvars.bind_contextvars(request_id=request_id)
        started = time.perf_counter()
        status = 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                if _stopping(scope):
                    headers["Connection"] = "close"  # or the next request meets a closed one
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except ClientDisconnect:
            status = status or _GONE
        except Exception as exc:  # the one place that answers for what nobody expected
            answer = unexpected(Request(scope), exc)
            if not status:
                await answer(scope, receive, noting)
            else:  # half an answer is on its way, and must not look like a whole one
                status = 500
                raise
        finally:
            self._note(scope, status, time.perf_counter() - started)
            structlog.contextvars.unbind_contextvars("request_id")

    def _note(self, scope: Scope, status: int, took: float) -> None:
        method = scope["method"] if scope["method"] in _METHODS else "other"
        route = getattr(scope.get("route"), "path", "none")
        seconds, requests = _counted(method, route, status)
        seconds.observe(took)
        requests.inc()
        tell = _log.debug if scope["path"] in QUIET and status < 500 else _log.info
        tell("request", method=method, path=scope["path"], status=status, ms=round(1000 * took, 2))


def _stopping(scope: Scope) -> bool:
    asked = scope.get("state", {}).get("stopping")
    return asked is not None and asked.is_set()
