"""Use cases that only look: what a deletion would take with it."""

from dataclasses import dataclass

from handful.service.changes import not_found
from handful.service.classes import class_of, image_bytes_of
from handful.service.classifiers import check_match
from handful.storage.records import ClassifierRecord
from handful.storage.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """What would go.    image_bytes : of kept pictures.    versions : heads, as many as are listed."""

    classes: int
    shots: int
    image_bytes: int
    versions: int


class Removals:
    """Ask before deleting. Nothing is changed, so that no Idempotency-Key is needed."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def of_classifier(self, tenant: str, id: str, *, if_match: str | None = None) -> Removal:
        """Of the classifier as a whole. Raises NotFoundError, and StaleError as its deletion does."""
        record = await self._record(tenant, id)
        check_match(record, if_match)
        heads = {head.version for head in await self._store.heads(tenant, id)}
        return Removal(
            classes=record.class_count,
            shots=record.shot_count,
            image_bytes=record.image_bytes,
            versions=len(heads | {record.support_version}),
        )

    async def of_class(self, tenant: str, id: str, name: str) -> Removal:
        """Of one class. Heads stay. Raises NotFoundError."""
        record = await self._record(tenant, id)
        found = await class_of(self._store, record, name)
        return Removal(
            classes=1,
            shots=found.shots,
            image_bytes=await image_bytes_of(self._store, record, found),
            versions=0,
        )

    async def _record(self, tenant: str, id: str) -> ClassifierRecord:
        record = await self._store.classifier(tenant, id)
        if record is None:
            raise not_found(id)
        return record
