"""Long lists in pages."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from handful.errors import RequestError

T = TypeVar("T")
MOST = 100  # items of a page


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some items, and where to go on."""

    items: tuple[T, ...]
    next_cursor: str | None


def page(found: Sequence[T], limit: int, names: Sequence[str]) -> Page[T]:
    """Of `limit` + 1 items that were looked for, the first `limit`; names : what each is gone on behind."""
    more = len(found) > limit
    return Page(tuple(found[:limit]), cursor_of(names[limit - 1]) if more else None)


def cursor_of(name: str) -> str:
    """An opaque cursor behind that item."""
    return base64.urlsafe_b64encode(name.encode()).decode().rstrip("=")


def behind(cursor: str | None) -> str | None:
    """What the cursor is behind. Raises RequestError for a text that is no cursor."""
    if cursor is None:
        return None
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        name = base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii")
    except ValueError:  # no ASCII, no base64, or no text
        name = ""
    if not (name.isalnum() and len(name) <= _LONGEST) or cursor_of(name) != cursor:
        raise RequestError(
            f"{cursor!r} is no cursor; use `next_cursor` of the page before", pointer="/cursor"
        )
    return name


def checked_limit(limit: int) -> int:
    """Raises RequestError for a page of no size, or too large."""
    if not 1 <= limit <= MOST:
        raise RequestError(f"limit is {limit}; give 1 to {MOST}", pointer="/limit")
    return limit


_LONGEST = 64  # characters of an id or a number
