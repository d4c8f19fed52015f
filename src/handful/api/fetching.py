"""Pictures fetched for a caller: from hosts of the allow-list alone, and from public addresses.

An address is looked up once and connected to as it was checked, so that a name cannot mean another one in
between. Redirects are checked like the first address. An allow-list entry that is itself a numeric address is
taken as it is meant, private or not.
"""

import ipaddress
import socket
from collections.abc import Sequence

import anyio
import httpx2

from handful.errors import RequestError, TooLargeError

_SECONDS = 10.0  # for all of it
_MOST_REDIRECTS = 3
_PORTS = {"http": 80, "https": 443}
_REDIRECTS = (301, 302, 303, 307, 308)


async def fetch(url: str, *, hosts: Sequence[str], most: int, pointer: str) -> bytes:
    """The bytes at an http(s) address.

    hosts : allowed, as `example.org` (ports 80 and 443) or `example.org:8080`.    most : bytes.
    pointer : to the address in the request, for errors.
    Raises RequestError for an address that is not allowed, cannot be reached or does not answer in time, and
    TooLargeError.
    """
    try:
        with anyio.fail_after(_SECONDS):
            async with httpx2.AsyncClient(
                trust_env=False, follow_redirects=False, timeout=_SECONDS
            ) as client:
                for _ in range(_MOST_REDIRECTS + 1):
                    found = await _once(client, url, hosts, most, pointer)
                    if isinstance(found, bytes):
                        return found
                    url = found
    except TimeoutError:
        raise RequestError(f"the picture was not fetched within {_SECONDS:g} s", pointer=pointer) from None
    except httpx2.HTTPError as exc:
        raise RequestError(
            f"the picture cannot be fetched ({type(exc).__name__}); send it as a data URI", pointer=pointer
        ) from exc
    raise RequestError(f"the picture's address redirects more than {_MOST_REDIRECTS} times", pointer=pointer)


async def _once(
    client: httpx2.AsyncClient, text: str, hosts: Sequence[str], most: int, pointer: str
) -> bytes | str:
    """The bytes there, or where it redirects to."""
    url = _checked(text, hosts, pointer)
    port = url.port or _PORTS[url.scheme]
    address = await _address(url.host, port, hosts, pointer)
    there = url.copy_with(host=address)
    request = client.build_request(
        "GET", there, headers={"Host": url.netloc.decode()}, extensions={"sni_hostname": url.host}
    )
    response = await client.send(request, stream=True)
    try:
        if response.status_code in _REDIRECTS and "location" in response.headers:
            return str(url.join(response.headers["location"]))
        if not response.is_success:
            raise RequestError(
                f"the picture's host answered {response.status_code}; check the address", pointer=pointer
            )
        data = bytearray()
        async for part in response.aiter_bytes():
            data += part
            if len(data) > most:
                raise TooLargeError(f"the picture has over {most:,} bytes, the limit", pointer=pointer)
        return bytes(data)
    finally:
        await response.aclose()


def _checked(text: str, hosts: Sequence[str], pointer: str) -> httpx2.URL:
    try:
        url = httpx2.URL(text)
    except (httpx2.InvalidURL, ValueError):
        raise RequestError("the picture's address is none", pointer=pointer) from None
    if url.scheme not in _PORTS or not url.host:
        raise RequestError("a picture is a data URI, or an http(s) address", pointer=pointer)
    port = url.port or _PORTS[url.scheme]
    named = {url.host, f"{url.host}:{port}"} if port in _PORTS.values() else {f"{url.host}:{port}"}
    if named.isdisjoint(host.lower() for host in hosts):
        raise RequestError(
            "pictures are not fetched from this host; send a data URI, or have HANDFUL_FETCH_HOSTS name it",
            pointer=pointer,
        )
    if url.userinfo:
        raise RequestError("the picture's address holds a password; leave it out", pointer=pointer)
    return url


async def _address(host: str, port: int, hosts: Sequence[str], pointer: str) -> str:
    """The address to connect to."""
    if _is_number(host):  # on the allow-list in just this form
        return host
    try:
        found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        raise RequestError("the picture's host is not known", pointer=pointer) from None
    addresses = [str(entry[4][0]) for entry in found]
    if not addresses or not all(ipaddress.ip_address(one.split("%")[0]).is_global for one in addresses):
        raise RequestError(
            "the picture's host is at a private address; have HANDFUL_FETCH_HOSTS name the address itself",
            pointer=pointer,
        )
    return addresses[0]


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
