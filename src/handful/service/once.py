"""Idempotency: a request that is sent twice is done once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from handful.errors import RequestError
from handful.storage.records import Reply
from handful.storage.store import AnsweredError, Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """An answer as it is sent."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Once:
    """A request under an Idempotency-Key.

    request : digest of what is asked, by content.    expires : when its answer is forgotten.
    render : the result of the use case → the answer that is stored together with the change.
    """

    tenant: str
    key: str
    request: str
    expires: datetime
    render: Callable[[Any], Rendered]  # Any: each use case has its own result


async def check_once(store: Store, once: Once | None) -> None:
    """Go on with a request that is new.

    Raises AnsweredError with the answer it was given before, and RequestError where its key was used for
    another request.
    """
    if once is None:
        return
    given = await store.reply(once.tenant, once.key)
    if given is None:
        return
    raise AnsweredError(same_request(once, given))


def same_request(once: Once, given: Reply) -> Reply:
    """The answer that was given to this very request. Raises RequestError where it was another one."""
    if given.request != once.request:
        raise RequestError(
            f"the Idempotency-Key {once.key!r} was used for another request; give each request its own"
        )
    return given


def rendered(once: Once | None, result: object) -> Reply | None:
    """The answer to store with a change."""
    if once is None:
        return None
    answer = once.render(result)
    return Reply(
        tenant=once.tenant,
        key=once.key,
        request=once.request,
        status=answer.status,
        headers=answer.headers,
        body=answer.body,
        expires=once.expires,
    )


def of_content(once: Once | None, digest: str) -> Once | None:
    """The request with the digest of a body that was not known before it had been read."""
    return None if once is None else replace(once, request=f"{once.request} {digest}")
