"""Use cases about the classes of a classifier."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from handful.errors import ConflictError, NotFoundError, RequestError
from handful.service.changes import Changes, next_revision, not_found
from handful.service.names import checked_name, normal_name
from handful.service.once import Once
from handful.service.pages import Page, behind, checked_limit, page
from handful.storage.records import ClassifierRecord, ClassRecord
from handful.storage.store import Change, Store

_LONGEST_TEXT = 2000  # characters of a description or a prompt
_MOST_PROMPTS = 200
_DIGITS = 18  # of a key, at most
_PAGE = 500  # classes or shots looked at together


@dataclass(frozen=True, slots=True, kw_only=True)
class NewClass:
    """A class to have. prompts : read as they are, in place of templates.    pointer : to it, for errors."""

    name: str
    description: str | None = None
    prompts: tuple[str, ...] = ()
    pointer: str = ""


class Classes:
    """List, make, rename and delete classes."""

    def __init__(self, store: Store, changes: Changes) -> None:
        self._store = store
        self._changes = changes

    async def list(self, tenant: str, id: str, *, limit: int, cursor: str | None = None) -> Page[ClassRecord]:
        """By time of creation. Raises NotFoundError, and RequestError for a cursor that is none."""
        checked_limit(limit)
        after = behind(cursor)
        if after is not None and (not after.isdecimal() or len(after) > _DIGITS):
            raise RequestError(f"{cursor!r} is no cursor of this list", pointer="/cursor")
        if await self._store.classifier(tenant, id) is None:
            raise not_found(id)
        found = await self._store.classes(
            tenant, id, limit=limit + 1, after=None if after is None else int(after)
        )
        return page(found, limit, [str(record.key) for record in found])

    async def put(
        self, tenant: str, id: str, new: Sequence[NewClass], once: Once | None = None
    ) -> tuple[ClassRecord, ...]:
        """Make classes, or give those that are there other descriptions and prompts."""

        async def decide(record: ClassifierRecord) -> tuple[Change, tuple[ClassRecord, ...]]:
            there = await self._named(tenant, id, [one.name for one in new])
            merged = merged_classes(new, there, record.next_class)
            fresh = [one for one in merged if one.key >= record.next_class]
            changed = [one for one in merged if there.get(one.name) != one]
            after = record
            if changed:
                after = next_revision(
                    record,
                    support=True,
                    class_count=record.class_count + len(fresh),
                    next_class=record.next_class + len(fresh),
                )
            return Change(before=record, after=after, put_classes=changed), merged

        return await self._changes.to(tenant, id, decide, once)

    async def rename(
        self, tenant: str, id: str, name: str, new_name: str, once: Once | None = None
    ) -> ClassRecord:
        """Its shots come along. Raises ConflictError where the new name is taken."""
        wanted = checked_name(new_name, what="class", pointer="/name")

        async def decide(record: ClassifierRecord) -> tuple[Change, ClassRecord]:
            there = await self._named(tenant, id, [name, wanted])
            found = _of_name(there, name, id)
            if there.get(wanted, found) != found:
                raise ConflictError(
                    f"classifier {id} has a class {wanted!r} already; relabel the shots of {name!r} instead"
                )
            renamed = replace(found, name=wanted)
            if renamed == found:
                return Change(before=record, after=record), found
            after = next_revision(record, support=True)
            return Change(before=record, after=after, put_classes=[renamed]), renamed

        return await self._changes.to(tenant, id, decide, once)

    async def delete(self, tenant: str, id: str, name: str, once: Once | None = None) -> None:
        """With its shots."""

        async def decide(record: ClassifierRecord) -> tuple[Change, None]:
            found = await class_of(self._store, record, name)
            after = next_revision(
                record,
                support=True,
                class_count=record.class_count - 1,
                shot_count=record.shot_count - found.shots,
                image_bytes=record.image_bytes - await image_bytes_of(self._store, record, found),
            )
            return Change(before=record, after=after, drop_classes=[found.key]), None

        await self._changes.to(tenant, id, decide, once)

    async def _named(self, tenant: str, id: str, names: Sequence[str]) -> dict[str, ClassRecord]:
        """Those that there are, by name; a page at a time, so that other requests get their turns."""
        wanted = [normal_name(name) for name in names]
        found: dict[str, ClassRecord] = {}
        for start in range(0, len(wanted), _PAGE):
            found |= await self._store.classes_named(tenant, id, wanted[start : start + _PAGE])
            await asyncio.sleep(0)
        return found


def merged_classes(
    new: Sequence[NewClass], there: Mapping[str, ClassRecord], next_key: int
) -> tuple[ClassRecord, ...]:
    """Records of new classes, and of those that are there as they will be, in the order given.

    Raises RequestError for a name or text that is not allowed, and a name given twice.
    """
    merged: dict[str, ClassRecord] = {}
    for one in new:
        name = checked_name(one.name, what="class", pointer=one.pointer or None)
        if name in merged:
            raise RequestError(f"the class {name!r} is given twice", pointer=one.pointer or None)
        texts = (*one.prompts, *(() if one.description is None else (one.description,)))
        if len(one.prompts) > _MOST_PROMPTS or any(len(text) > _LONGEST_TEXT for text in texts):
            raise RequestError(
                f"class {name!r} has too many words: at most {_MOST_PROMPTS} prompts, and "
                f"{_LONGEST_TEXT} characters each",
                pointer=one.pointer or None,
            )
        prompts = tuple(text for text in one.prompts if text.strip())
        description = one.description if one.description and one.description.strip() else None
        before = there.get(name)
        if before is None:
            merged[name] = ClassRecord(key=next_key, name=name, description=description, prompts=prompts)
            next_key += 1
        else:
            merged[name] = replace(before, description=description, prompts=prompts)
    return tuple(merged.values())


async def class_of(store: Store, record: ClassifierRecord, name: str) -> ClassRecord:
    """The class of that name. Raises NotFoundError."""
    there = await store.classes_named(record.tenant, record.id, [normal_name(name)])
    return _of_name(there, name, record.id)


async def image_bytes_of(store: Store, record: ClassifierRecord, of: ClassRecord) -> int:
    """Bytes of the kept pictures of a class."""
    total, after = 0, None
    while True:
        shots = await store.shots(record.tenant, record.id, limit=_PAGE, after=after, class_key=of.key)
        total += sum(shot.blob_bytes for shot in shots)
        if len(shots) < _PAGE:
            return total
        after = shots[-1].id
        await asyncio.sleep(0)


def _of_name(there: Mapping[str, ClassRecord], name: str, id: str) -> ClassRecord:
    try:
        return there[normal_name(name)]
    except KeyError:
        raise NotFoundError(f"classifier {id} has no class {name!r}") from None
