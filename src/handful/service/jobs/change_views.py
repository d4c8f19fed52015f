"""Job: another policy of views for a classifier, also for the shots that it has."""

import asyncio
from collections.abc import Mapping
from typing import Any

import numpy as np

from handful.augment import AUTO, POLICIES, policy_named, stored_policy
from handful.evaluation import ViewsFound
from handful.evaluation.classifier import first_rows
from handful.rows import Rows
from handful.service.changes import Changes, next_revision, not_found
from handful.service.encoding import Encoding, Timings
from handful.service.heads import Heads, usable
from handful.service.jobs.compare_views import Comparison, Teaching
from handful.service.jobs.shot_views import ShotViews, checked_policy
from handful.service.jobs.work import Work
from handful.service.support import SupportRows, packed_rows
from handful.storage.blobs import Blobs
from handful.storage.records import ClassifierRecord, JobRecord
from handful.storage.store import Change, Store

CHOOSE = "choose"  # by the shots themselves
_COMPARED = 0.5  # of the progress, where policies are compared first
_TRIES = 3  # while shots come in; what comes later than the last has the policy of then


class ChangeViews:
    """{views} → {views, shots, changed, without_picture, encoded, support_version, compared}."""

    name = "views"

    def checked(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Raises RequestError for a policy there is none of."""
        return {"views": checked_policy(request.get("views"), (AUTO, CHOOSE, *POLICIES))}

    def __init__(
        self, store: Store, blobs: Blobs, changes: Changes, encoding: Encoding, heads: Heads
    ) -> None:
        self._store = store
        self._changes = changes
        self._encoding = encoding
        self._heads = heads
        self._views = ShotViews(store, blobs, encoding)

    async def run(self, work: Work) -> Mapping[str, Any]:
        tenant, id = work.job.tenant, str(work.job.classifier)
        record = await self._store.classifier(tenant, id)
        if record is None:
            raise not_found(id)
        views, found, begin = str(work.job.request["views"]), None, 0.0
        if views == CHOOSE:
            found, begin = await self._compared(work, record), _COMPARED
            # Where the method's own is best it is named so, and stays the method's own.
            views = AUTO if found.chosen == found.default else found.chosen
        for left in reversed(range(_TRIES)):
            result = await self._changed(work, record, views, begin, last=not left)
            if result is not None:
                break
            record = await self._store.classifier(tenant, id)
            if record is None:
                raise not_found(id)
        return {**(result or {}), "compared": None if found is None else found.as_dict()}

    async def over(self, job: JobRecord) -> None:
        """Nothing was kept for it but its result."""

    async def _compared(self, work: Work, record: ClassifierRecord) -> ViewsFound:
        encoder = await self._heads.encoder_of(record)
        rows = await self._heads.support(record)
        classes, text = await usable(self._encoding, encoder, rows)
        teaching = Teaching(support=rows, classes=classes, text=text, method=record.method)
        return await Comparison(self._views).made(work, teaching, encoder, "all", end=_COMPARED)

    async def _changed(
        self, work: Work, record: ClassifierRecord, views: str, begin: float, *, last: bool
    ) -> Mapping[str, Any] | None:
        """Every shot of now; None where there are others by the end, and this is not the last try."""
        encoder = await self._heads.encoder_of(record)
        rows = await self._heads.support(record)
        policy, timings = stored_policy(views), Timings()

        async def note(part: float) -> None:
            await work.note(begin + (1 - begin) * part)

        X, of_row = await self._views.rows(work, rows, encoder, policy, note, timings=timings)
        packed = await asyncio.to_thread(_packed, rows, X, of_row)
        fresh = {shot: data for shot, (data, is_new) in packed.items() if is_new}
        each, (firsts, counts) = policy_named(policy).count, np.unique(of_row, return_counts=True)
        bare = sum(rows.ids[at] not in rows.pictured for at in firsts[counts != each])
        keys = sorted({int(rows.keys[at]) for at in firsts if rows.ids[at] in fresh})

        async def decide(now: ClassifierRecord) -> tuple[Change, Mapping[str, Any] | None]:
            work.check()
            if now.support_version != rows.classifier.support_version and not last:
                return Change(before=now, after=now), None
            changed = bool(fresh) or now.views != views
            after = next_revision(now, support=True, views=views) if changed else now
            # Written as they are, so that they tell their revision: their heads' rows are others now.
            classes = await self._store.classes_keyed(now.tenant, now.id, keys)
            return Change(before=now, after=after, row_shots=fresh, put_classes=list(classes.values())), {
                "views": views,
                "policy": policy,
                "shots": len(packed),
                "changed": len(fresh),
                "without_picture": bare,
                "encoded": timings.encoded,
                "support_version": after.support_version,
            }

        return await self._changes.to(record.tenant, record.id, decide)


def _packed(support: SupportRows, X: Rows, of_row: np.ndarray) -> dict[str, tuple[bytes, bool]]:
    """The rows of each shot by its id, as they are kept, and whether they are others than those it has."""
    first = first_rows(support.ids)
    ends = np.append(first[1:], len(support.ids))
    starts = np.searchsorted(of_row, first)
    stops = np.searchsorted(of_row, first, side="right")
    found = {}
    for at, end, start, stop in zip(first, ends, starts, stops, strict=True):
        same = stop - start == end - at and np.array_equal(X[start:stop], support.X[at:end])
        found[support.ids[at]] = packed_rows(X[start:stop]), not same
    return found
