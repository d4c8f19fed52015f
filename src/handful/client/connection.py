"""What both clients keep of a service: its address, the key, and how requests are put."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar, get_args, get_origin

import httpx2

from handful import __version__
from handful.client.steps import Give, Request
from handful.errors import ClientError
from handful.settings import ClientSettings

_ADDRESS = "http://127.0.0.1:8000"  # where `handful serve` listens unless told otherwise
_SILENCE = 120.0  # seconds without a byte; encoding many pictures takes a while
_CONNECT = 5.0  # seconds
LARGEST_EVENT = 2**26  # bytes; a job comes with its whole result

F = TypeVar("F", bound=Callable[..., Any])  # Any: any method


def options(url: str | None, api_key: str | None, timeout: float | None) -> dict[str, Any]:  # Any: httpx2's
    """Options of an httpx2 client. Raises ClientError for an address that is none."""
    settings = ClientSettings()
    address = url or settings.url or _ADDRESS
    if httpx2.URL(address).scheme not in ("http", "https") or not httpx2.URL(address).host:
        raise ClientError(f"{address!r} is no address of a service; give one such as {_ADDRESS}")
    headers = {"User-Agent": f"handful/{__version__}", "Accept": "application/json, */*;q=0.5"}
    key = api_key or (settings.api_key.get_secret_value() if settings.api_key is not None else None)
    if key:
        headers["Authorization"] = f"Bearer {key}"
    return {
        "base_url": address,
        "headers": headers,
        "timeout": httpx2.Timeout(timeout or _SILENCE, connect=_CONNECT),
    }


def put(request: Request) -> dict[str, Any]:  # Any: arguments of httpx2's build_request
    """A request as httpx2's `build_request` takes it, without a body that is streamed from disk."""
    said: dict[str, Any] = {
        "method": request.method,
        "url": request.path,
        "params": {name: value for name, value in request.query.items() if value is not None},
        "headers": dict(request.headers),
    }
    if request.json is not None:
        said["json"] = request.json
    if request.files:
        said["files"], said["data"] = list(request.files), dict(request.form)
    if request.content is not None:
        said["content"] = request.content
    return said


def as_method(method: F, items: Any = None) -> F:  # Any: a generic type
    """Lets `help` and editors show a wrapped operation as what it is in a client.

    items : Iterator or AsyncIterator, of an operation that gives items.
    """
    shown = inspect.signature(method)
    steps, _, answer = get_args(shown.return_annotation)
    if items is not None:
        (given,) = (step for step in get_args(steps) if get_origin(step) is Give)
        answer = items[get_args(given)[0]]
    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    method.__signature__ = shown.replace(  # type: ignore[attr-defined] # inspect reads it of any function
        parameters=[own, *shown.parameters.values()], return_annotation=answer
    )
    return method
