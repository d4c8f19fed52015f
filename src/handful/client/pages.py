"""Long lists, page by page."""

from collections.abc import Mapping
from typing import Any, TypeVar

from handful.client.answers import read
from handful.client.exchange import asked
from handful.client.steps import Give, Items, Request

T = TypeVar("T")
_PAGE = 100  # the most that the service gives at once


def paged(
    kind: type[T],
    path: str,
    query: Mapping[str, Any] | None = None,  # Any: as in Request
) -> Items[T]:
    """All items of a list; a page is asked for when the one before is used up."""
    cursor: str | None = None
    while True:
        asking = {**(query or {}), "limit": _PAGE, "cursor": cursor}
        page = yield from asked(Request(method="GET", path=path, query=asking))
        for item in page["items"]:
            yield Give(read(kind, item))
        cursor = page["next_cursor"]
        if cursor is None:
            return
