"""Use cases about the heads of a classifier: which there are, and which one answers."""

from dataclasses import dataclass, replace
from datetime import datetime

from handful.errors import NotFoundError
from handful.service.changes import Changes, next_revision, not_found
from handful.service.heads import STAND_IN, TRAINED, Heads
from handful.service.once import Once
from handful.storage.records import ClassifierRecord, HeadRecord, Pinned
from handful.storage.store import Change, Store


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionView:
    """A head.    active : it answers.    stale : it does not count the newest writes."""

    version: int
    method: str
    created: datetime
    active: bool
    stale: bool


class Versions:
    """List heads, and let another one answer."""

    def __init__(self, store: Store, changes: Changes, heads: Heads) -> None:
        self._store = store
        self._changes = changes
        self._heads = heads

    async def list(self, tenant: str, id: str) -> tuple[VersionView, ...]:
        """Newest first: trained ones, ones once activated by hand, and the last five in closed form."""
        await self._heads.settled(tenant, id)
        record = await self._store.classifier(tenant, id)
        if record is None:
            raise not_found(id)
        kept = {head.version: head for head in await self._store.heads(tenant, id)}
        views = [_view(record, head) for head in kept.values()]
        if record.support_version not in kept:  # in closed form: there as soon as somebody asks
            views.append(_current(record))
        return tuple(sorted(views, key=lambda view: -view.version))

    async def activate(self, tenant: str, id: str, version: int, once: Once | None = None) -> VersionView:
        """Let a head answer until told otherwise; the newest in closed form goes with the support again.

        It stays until its classifier goes. Raises NotFoundError, and ConflictError where it cannot answer.
        """
        await self._heads.settled(tenant, id)

        async def decide(record: ClassifierRecord) -> tuple[Change, VersionView]:
            newest = version == record.support_version
            found = await self._store.head(tenant, id, version)
            if found is None and newest:
                await self._heads.ready(replace(record, pinned=None))
                await self._heads.settled(tenant, id)
                found = await self._store.head(tenant, id, version)
            if found is None:
                raise NotFoundError(f"classifier {id} has no version {version}; list its versions")
            held = replace(found[0], held=True)
            since = held.support_version if held.trained else record.support_version
            pinned = None if newest else Pinned(version=version, since=since)
            after = record
            if pinned != record.pinned:
                after = next_revision(record, support=False, pinned=pinned)
            put = [] if held == found[0] else [(held, found[1])]
            return Change(before=record, after=after, put_heads=put), _view(after, held)

        return await self._changes.to(tenant, id, decide, once)


def _view(record: ClassifierRecord, head: HeadRecord) -> VersionView:
    active = head.version == record.head_version
    return VersionView(
        version=head.version,
        method=head.method,
        created=head.created,
        active=active,
        stale=record.stale if active else head.support_version < record.support_version,
    )


def _current(record: ClassifierRecord) -> VersionView:
    return VersionView(
        version=record.support_version,
        method=STAND_IN if record.method in TRAINED else record.method,
        created=record.updated,
        active=record.pinned is None,
        stale=False,
    )
