"""No body is read beyond what its route may take."""

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from handful.api.bodies import is_archive
from handful.api.problems import problem_response

_STREAMED = ("/v1/import", "/v1/classifiers/import")


class BodyLimit:
    """Refuses by Content-Length before anything is read, and stops reading where that lied.

    most : bytes of a body.    most_streamed : of one that goes to the disk as it comes.
    """

    def __init__(self, app: ASGIApp, *, most: int, most_streamed: int) -> None:
        self._app = app
        self._most = most
        self._most_streamed = most_streamed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        most = self._most_streamed if _is_streamed(request) else self._most
        said = Headers(scope=scope).get("content-length", "")
        if said.isdecimal() and int(said) > most:
            problem = problem_response(request, 413, "too-large", "Too large", _too_large(most))
            await problem(scope, receive, send)
            return
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > most:
                raise HTTPException(413, _too_large(most))  # FastAPI passes no other kind on
            return message

        await self._app(scope, counted, send)


def _is_streamed(request: Request) -> bool:
    path = request.scope["path"]
    return path in _STREAMED or (path.endswith("/shots") and is_archive(request))


def _too_large(most: int) -> str:
    return f"this body has more than {most:,} bytes; send it in parts"
