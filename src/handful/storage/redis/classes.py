"""Classes are read by key, by name, and page by page."""

from collections.abc import Collection, Sequence

from handful.storage.records import ClassRecord
from handful.storage.redis.connection import Connection
from handful.storage.redis.layout import (
    INLINE_PAGES,
    PAGE_CLASSES,
    RECORD,
    classifier_key,
    names_key,
    pages_key,
)
from handful.storage.redis.pages import classes_of, named_in, page_field
from handful.storage.redis.pool import Command
from handful.storage.redis.support import record_of

_SPARSE_PAGES = 256  # read at once where those before were nearly empty


class Classes:
    """Nothing is found for a classifier that is not there."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def listed(self, tenant: str, id: str, *, limit: int, after: int | None) -> list[ClassRecord]:
        """By key, those behind `after`. One trip, and more where many were dropped."""
        first = 0 if after is None else after + 1
        page, end = first // PAGE_CLASSES, None
        pages = -(-limit // PAGE_CLASSES) + 1
        found: list[ClassRecord] = []
        while len(found) < limit and (end is None or page < end):
            numbers = range(page, page + pages)
            key = classifier_key(tenant, id)
            value, read = await self._read(key, numbers)
            if value is None:
                return []
            end = -(-record_of(tenant, id, value).next_class // PAGE_CLASSES)
            for number in numbers:
                found += [one for one in classes_of(number, read.get(number)) if one.key >= first]
            page, pages = numbers.stop, _SPARSE_PAGES
        return found[:limit]

    async def named(self, tenant: str, id: str, names: Sequence[str]) -> dict[str, ClassRecord]:
        """One trip; a second for names of classes beyond the first thousand."""
        if not names:
            return {}
        key = classifier_key(tenant, id)
        wanted = [name.encode() for name in dict.fromkeys(names)]
        pages, later = await self._connection.pipe(
            ("HMGET", key, *map(page_field, range(INLINE_PAGES))), ("HMGET", names_key(key), *wanted)
        )
        found = [one for number, page in enumerate(pages) for one in named_in(number, page, wanted)]
        numbers = {int(told) // PAGE_CLASSES for told in later if told is not None}
        if numbers:
            _, read = await self._read(key, numbers)
            found += [one for number, page in read.items() for one in named_in(number, page, wanted)]
        return {one.name: one for one in found}

    async def keyed(self, tenant: str, id: str, keys: Collection[int]) -> dict[int, ClassRecord]:
        """One trip."""
        wanted = frozenset(keys)
        if not wanted:
            return {}
        _, read = await self._read(classifier_key(tenant, id), {key // PAGE_CLASSES for key in wanted})
        found = (one for number, page in read.items() for one in classes_of(number, page))
        return {one.key: one for one in found if one.key in wanted}

    async def _read(self, key: str, numbers: Collection[int]) -> tuple[bytes | None, dict[int, bytes]]:
        """The field RECORD, and those of the pages that there are."""
        near = [number for number in numbers if number < INLINE_PAGES]
        far = [number for number in numbers if number >= INLINE_PAGES]
        commands: list[Command] = [("HMGET", key, RECORD, *map(page_field, near))]
        if far:
            commands.append(("HMGET", pages_key(key), *map(page_field, far)))
        (value, *first), *others = await self._connection.pipe(*commands)
        pages = [*first, *(page for some in others for page in some)]
        return value, {
            number: page for number, page in zip((*near, *far), pages, strict=True) if page is not None
        }
