"""Read, decide, write: the way of every change to a classifier."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from handful.errors import BusyError, NotFoundError
from handful.service.once import Once, check_once, rendered, same_request
from handful.settings import Settings
from handful.storage.records import ClassifierRecord, Usage
from handful.storage.store import AnsweredError, Change, ChangedMeanwhileError, Store

T = TypeVar("T")
Decide = Callable[[ClassifierRecord], Awaitable[tuple[Change, T]]]

_PATIENCE = 15.0  # seconds, against writers in other processes; in this one they take turns
_PAUSE = 0.01  # seconds before another try, on average


class Changes:
    """Applies changes. `decide` sees the classifier as it is, and is asked again should it have changed."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()
        self.limits = Usage(
            classifiers=settings.tenant_max_classifiers,
            classes=settings.tenant_max_classes,
            shots=settings.tenant_max_shots,
            image_bytes=settings.tenant_max_image_bytes,
        )

    async def to(
        self,
        tenant: str,
        id: str,
        decide: Decide[T],
        once: Once | None = None,
        *,
        read: ClassifierRecord | None = None,
    ) -> T:
        """Decide and write until it holds; what was decided last.

        decide : what it reads may be newer than the record; where the two do not fit together it raises
        ChangedMeanwhileError.
        read : the classifier as it was read a moment ago, beside `check_once`; it is read again only where
        somebody was faster.
        Raises NotFoundError for a classifier that is not the tenant's, AnsweredError or RequestError as
        `check_once` does, and what `decide` and `Store.apply` raise; BusyError where others keep being
        faster.
        """
        async with self._turn(tenant, id) as at_once:
            give_up = time.monotonic() + _PATIENCE
            record = read if at_once else None
            while True:
                if record is None:
                    await check_once(self._store, once)
                    record = await self._store.classifier(tenant, id)
                if record is None:
                    raise not_found(id)
                try:
                    change, result = await decide(record)
                    await self.write(replace(change, reply=rendered(once, result)), once)
                except ChangedMeanwhileError:
                    if time.monotonic() > give_up:
                        raise BusyError(
                            f"classifier {id} is being changed by many at once; try again"
                        ) from None
                    if record is not read:
                        await asyncio.sleep(_PAUSE * 2 * random.random())
                    record = None
                else:
                    return result

    async def write(self, change: Change, once: Once | None = None) -> None:
        """Write one change, within the tenant's limits."""
        try:
            await self._store.apply(replace(_stamped(change), limits=self.limits))
        except AnsweredError as exc:
            if once is not None:
                same_request(once, exc.reply)
            raise

    @asynccontextmanager
    async def _turn(self, tenant: str, id: str) -> AsyncIterator[bool]:
        """Whether nobody was before."""
        lock = self._locks.setdefault((tenant, id), asyncio.Lock())
        at_once = not lock.locked()
        async with lock:
            yield at_once


def _stamped(change: Change) -> Change:
    """Each class that it writes tells the revision."""
    if change.after is None or not change.put_classes:
        return change
    revision = change.after.revision
    return replace(change, put_classes=[replace(one, changed=revision) for one in change.put_classes])


def not_found(id: str) -> NotFoundError:
    """The same for what is not there and for what is another's."""
    return NotFoundError(f"there is no classifier {id!r}")


def next_revision(record: ClassifierRecord, *, support: bool, **fields: Any) -> ClassifierRecord:
    """The record after a write.    support : whether a closed-form head is another one afterwards.

    fields : of the record, as they are from now on.    (Any: each has its own type.)
    """
    revision = record.revision + 1
    return replace(
        record,
        revision=revision,
        support_version=revision if support else record.support_version,
        updated=datetime.now(UTC),
        **fields,
    )
