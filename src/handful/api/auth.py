"""Who asks, and whether they may: API keys, and what stands in for them on a machine of one's own."""

import base64
import binascii
from typing import cast
from urllib.parse import urlsplit

from starlette.requests import Request

from handful.api.rates import Rates
from handful.errors import AccessError
from handful.service.keys import TENANT
from handful.service.service import Service
from handful.settings import Settings
from handful.storage.records import KeyRecord

_LOCAL = ("localhost", "127.0.0.1", "::1")


def is_local(host: str) -> bool:
    """Whether only this machine reaches the address."""
    return host in _LOCAL or host.startswith("127.")


async def identified(request: Request) -> KeyRecord | None:
    """The key that a request shows; None where there are no keys, and none is needed.

    Raises AccessError, and QuotaError for a tenant that sends too many requests.
    """
    service = cast(Service, request.state.service)
    key = None
    if await service.keys.exist():
        key = await service.keys.check(_secret(request))
    else:
        _check_open(request, service.settings)
    cast(Rates, request.state.rates).spend(TENANT if key is None else key.tenant)
    return key


def _secret(request: Request) -> str:
    """Of `Authorization: Bearer KEY`, or of Basic, where the key is the password. Raises AccessError."""
    kind, _, shown = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "basic":
        try:
            shown = base64.b64decode(shown.strip(), validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeError):
            shown = ""
    elif kind.lower() != "bearer":
        shown = ""
    if not shown.strip():
        raise AccessError("an API key is needed; send it as `Authorization: Bearer KEY`")
    return shown.strip()


def _check_open(request: Request, settings: Settings) -> None:
    """Without keys, requests come from this machine, and from no web page of others that is open on it.

    Raises AccessError.
    """
    if settings.insecure:
        return
    if not is_local(settings.host):
        raise AccessError("there is no API key yet; make one with `handful keys create`")
    host = _host_of(f"//{request.headers.get('host', '')}")
    if not is_local(host) and not settings.trusted_proxies:
        raise AccessError(
            f"without API keys this service answers under the name localhost alone, not {host[:100]!r}; make "
            "a key with `handful keys create`",
            known=True,
        )
    origin = request.headers.get("origin")
    if origin is not None and origin not in settings.cors_origins and not is_local(_host_of(origin)):
        raise AccessError(
            f"web pages of {origin[:100]!r} may not call this service; name it in HANDFUL_CORS_ORIGINS, or "
            "make an API key",
            known=True,
        )


def _host_of(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""
