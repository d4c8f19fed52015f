"""Who asks is known before anything of the body is read."""

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from handful.api.auth import identified
from handful.api.problems import of_domain
from handful.errors import HandfulError

_OPEN = {"/healthz", "/livez", "/readyz", "/health", "/ping", "/openapi.json", "/docs"}


class Admission:
    """Turns away who shows no key where one is needed, or asks too often; routes check what the key may."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http" or scope["path"] in _OPEN or scope["path"].startswith("/docs/"):
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        try:
            request.state.key = await identified(request)
        except HandfulError as exc:
            await of_domain(request, exc)(scope, receive, send)
            return
        await self._app(scope, receive, send)
