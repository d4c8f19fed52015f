"""Idempotency: a request that is sent twice is done once."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from handful.errors import RequestError
from handful.storage.records import Reply
from handful.storage.store import AnsweredError, Store


@dataclass(frozen=True, slots=True)
class Once:
    """A request under an Idempotency-Key.

    request : digest of what is asked, by content.
    render : the result of the use case → the answer that is stored together with the change.
    """

    tenant: str
    key: str
    request: str
    render: Callable[[Any], Reply]  # Any: each use case has its own result


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
    return None if once is None else once.render(result)
