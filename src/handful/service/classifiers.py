"""Use cases about classifiers as a whole."""

import asyncio
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from handful.adapters.methods import METHODS
from handful.augment import POLICIES
from handful.errors import RequestError, StaleError, SupportError
from handful.prompts import TEMPLATES, class_prompts
from handful.service.changes import Changes, next_revision, not_found
from handful.service.classes import NewClass, merged_classes
from handful.service.encoding import Encoding
from handful.service.names import checked_name
from handful.service.once import Once, check_once, rendered
from handful.service.pages import Page, behind, checked_limit, page
from handful.storage.ids import new_id
from handful.storage.records import ClassifierRecord, ClassRecord, Usage
from handful.storage.store import Change, Store

SHOWN_CLASSES = 1000  # in a classifier; more are listed in pages
_LONGEST_TEXT = 1000  # characters of a domain or a template
_MOST_TEMPLATES = 100
_OF_SUPPORT = {"method", "views", "domain", "templates", "use_text"}  # what a closed-form head depends on


class _Unset(Enum):
    UNSET = "unset"


UNSET = _Unset.UNSET


@dataclass(frozen=True, slots=True, kw_only=True)
class NewClassifier:
    """A classifier to make. Members as of ClassifierRecord; encoder None: the default one."""

    name: str
    encoder: str | None = None
    method: str = "auto"
    views: str = "auto"
    domain: str | None = None
    templates: str | tuple[str, ...] = "photo"
    use_text: bool = True
    unknown_threshold: float = 0.05
    classes: tuple[NewClass, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifierPatch:
    """What to change; UNSET stays."""

    name: str | _Unset = UNSET
    method: str | _Unset = UNSET
    views: str | _Unset = UNSET
    domain: str | _Unset | None = UNSET
    templates: str | tuple[str, ...] | _Unset = UNSET
    use_text: bool | _Unset = UNSET
    unknown_threshold: float | _Unset = UNSET

    def given(self) -> dict[str, Any]:
        """Members that are set, by name.    (Any: each has its own type.)"""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not UNSET}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifierView:
    """A classifier with its classes, the first 1,000 of them."""

    record: ClassifierRecord
    classes: tuple[ClassRecord, ...]


class Classifiers:
    """Make, show, change and delete classifiers of a tenant."""

    def __init__(self, store: Store, changes: Changes, encoding: Encoding) -> None:
        self._store = store
        self._changes = changes
        self._encoding = encoding

    async def create(
        self, tenant: str, new: NewClassifier, once: Once | None = None, *, id: str | None = None
    ) -> ClassifierView:
        """id : of the new classifier, where it was decided elsewhere. Raises RequestError, QuotaError."""
        await check_once(self._store, once)
        view = await self.prepared(tenant, new, id or new_id())
        shown = replace(view, classes=view.classes[:SHOWN_CLASSES])
        change = Change(before=None, after=view.record, put_classes=view.classes, reply=rendered(once, shown))
        await self._changes.write(change, once)
        return shown

    async def prepared(self, tenant: str, new: NewClassifier, id: str) -> ClassifierView:
        """The classifier that `create` would write, with all its classes."""
        encoder = await self._encoding.encoders.named(new.encoder)
        settings = _checked({name: getattr(new, name) for name in _CHECKS})
        now = datetime.now(UTC)
        empty = ClassifierRecord(
            tenant=tenant,
            id=id,
            encoder=encoder.name,
            fingerprint=encoder.fingerprint,
            revision=1,
            support_version=1,
            pinned=None,
            next_class=0,
            class_count=0,
            shot_count=0,
            image_bytes=0,
            created=now,
            updated=now,
            **settings,
        )
        merged = merged_classes(new.classes, {}, empty.next_class)
        classes = tuple(replace(one, changed=empty.revision) for one in merged)
        record = replace(empty, class_count=len(classes), next_class=len(classes))
        return ClassifierView(record=record, classes=classes)

    async def get(self, tenant: str, id: str) -> ClassifierView:
        """Raises NotFoundError."""
        record = await self._store.classifier(tenant, id)
        if record is None:
            raise not_found(id)
        return await self._view(record)

    async def list(self, tenant: str, *, limit: int, cursor: str | None = None) -> Page[ClassifierView]:
        """By time of creation. Raises RequestError for a cursor that is none."""
        checked_limit(limit)
        found = await self._store.classifiers(tenant, limit=limit + 1, after=behind(cursor))
        records = page(found, limit, [record.id for record in found])
        views = await asyncio.gather(*(self._view(record) for record in records.items))
        return Page(tuple(views), records.next_cursor)

    async def patch(
        self,
        tenant: str,
        id: str,
        patch: ClassifierPatch,
        *,
        if_match: str | None = None,
        once: Once | None = None,
    ) -> ClassifierView:
        """if_match : the ETag that it must have, or "*". Raises StaleError where it has another."""
        given = _checked(patch.given())

        async def decide(record: ClassifierRecord) -> tuple[Change, ClassifierView]:
            check_match(record, if_match)
            changed = {name: value for name, value in given.items() if getattr(record, name) != value}
            unpinned = {"pinned": None} if "method" in given and record.pinned is not None else {}
            after = record
            if changed or unpinned:
                after = next_revision(
                    record, support=not _OF_SUPPORT.isdisjoint(changed), **changed, **unpinned
                )
            return Change(before=record, after=after), await self._view(after)

        return await self._changes.to(tenant, id, decide, once)

    async def delete(
        self, tenant: str, id: str, *, if_match: str | None = None, once: Once | None = None
    ) -> None:
        """With its shots, heads and pictures."""

        async def decide(record: ClassifierRecord) -> tuple[Change, None]:
            check_match(record, if_match)
            return Change(before=record, after=None), None

        await self._changes.to(tenant, id, decide, once)

    async def usage(self, tenant: str) -> Usage:
        """What a tenant holds."""
        return await self._store.usage(tenant)

    async def _view(self, record: ClassifierRecord) -> ClassifierView:
        classes = await self._store.classes(record.tenant, record.id, limit=SHOWN_CLASSES)
        return ClassifierView(record=record, classes=tuple(classes))


def etag(record: ClassifierRecord) -> str:
    """What If-Match is compared with."""
    return f'"{record.id}-{record.revision}"'


def check_match(record: ClassifierRecord, if_match: str | None) -> None:
    """Raises StaleError where the classifier is not as the caller saw it."""
    if if_match is None or if_match.strip() == "*":
        return
    wanted = [part.strip().removeprefix("W/") for part in if_match.split(",")]
    if etag(record) not in wanted:
        raise StaleError(
            f"classifier {record.id} was changed: its ETag is {etag(record)}, and If-Match says {if_match}; "
            "read it again"
        )


# ---- checks


def _checked(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: _CHECKS[name](value) for name, value in settings.items()}


def _check_choice(name: str, choices: tuple[str, ...]) -> Any:
    def check(value: str) -> str:
        if value not in choices:
            raise RequestError(
                f"there is no {name} {value!r}; choose one of {', '.join(choices)}", pointer=f"/{name}"
            )
        return value

    return check


def _check_domain(domain: str | None) -> str | None:
    if domain is not None and len(domain) > _LONGEST_TEXT:
        raise RequestError(
            f"the domain has {len(domain)} characters, over {_LONGEST_TEXT}; say it shorter",
            pointer="/domain",
        )
    return domain.strip() or None if domain else None


def _check_templates(templates: str | tuple[str, ...]) -> str | tuple[str, ...]:
    if isinstance(templates, str) and templates in TEMPLATES:
        return templates
    given = (templates,) if isinstance(templates, str) else templates
    if len(given) > _MOST_TEMPLATES or any(len(template) > _LONGEST_TEXT for template in given):
        raise RequestError(
            f"give at most {_MOST_TEMPLATES} templates of {_LONGEST_TEXT} characters", pointer="/templates"
        )
    if isinstance(templates, str) and "{}" in templates:
        templates = (templates,)
    try:
        class_prompts(["a"], templates=templates)
    except SupportError as exc:
        raise RequestError(str(exc), pointer="/templates") from exc
    return templates


def _check_threshold(threshold: float) -> float:
    if not 0 <= threshold <= 1:
        raise RequestError(
            f"unknown_threshold is {threshold}; it is a p-value, 0 to 1", pointer="/unknown_threshold"
        )
    return float(threshold)


_CHECKS: dict[str, Any] = {
    "name": lambda name: checked_name(name, what="classifier", pointer="/name"),
    "method": _check_choice("method", tuple(METHODS)),
    "views": _check_choice("views", ("auto", *POLICIES)),
    "domain": _check_domain,
    "templates": _check_templates,
    "use_text": bool,
    "unknown_threshold": _check_threshold,
}
