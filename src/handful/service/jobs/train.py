"""Job: train a head on a classifier's shots, and let it answer."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from handful.adapters.head import Head, fit_head
from handful.adapters.methods import METHODS, Options
from handful.adapters.training import watched
from handful.augment import AUTO, POLICIES, policy_of
from handful.encoders import Encoder
from handful.errors import ConflictError, RequestError, SupportError
from handful.rows import Rows
from handful.service.changes import Changes, next_revision, not_found
from handful.service.encoding import Encoding
from handful.service.frozen import good_for
from handful.service.heads import Heads, usable
from handful.service.jobs.shot_views import ShotViews, checked_policy
from handful.service.jobs.work import Work
from handful.service.support import SupportRows
from handful.storage.blobs import Blobs
from handful.storage.records import ClassifierRecord, ClassRecord, HeadRecord, JobRecord, Pinned
from handful.storage.store import Change, Store, changed_meanwhile

_ENCODING = 0.5  # of the progress, where views are made


class Train:
    """{method, options?, views?} → {version, method, views, rows, seconds, found}.

    Where the classifier goes by the method already and has so many classes that its statistics are frozen,
    they are estimated anew from all shots, and writes go on from there; otherwise the head is one that stays.
    """

    name = "train"

    def checked(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Raises RequestError for a method, options or views there are none of."""
        return checked_training(request)

    def __init__(
        self, store: Store, blobs: Blobs, changes: Changes, encoding: Encoding, heads: Heads
    ) -> None:
        self._store = store
        self._views = ShotViews(store, blobs, encoding)
        self._changes = changes
        self._encoding = encoding
        self._heads = heads

    async def run(self, work: Work) -> Mapping[str, Any]:
        started = time.perf_counter()
        tenant, id = work.job.tenant, str(work.job.classifier)
        record = await self._store.classifier(tenant, id)
        if record is None:
            raise not_found(id)
        done = await self._done_before(work, record)
        if done is not None:
            return done
        method, views = str(work.job.request["method"]), work.job.request.get("views")
        policy = policy_of(record.views if views is None else str(views), method)
        options = options_of(method, work.job.request.get("options") or {})
        encoder = await self._heads.encoder_of(record)
        rows = await self._heads.support(record)
        classes, text = await usable(self._encoding, encoder, rows)
        renews = (
            method == record.method
            and views is None
            and not work.job.request.get("options")
            and self._heads.frozen(method, len(classes))
        )
        if renews:
            policy = "none"  # rows of views are kept with the shots
        X, of_row = await self._views.rows(
            work, rows, encoder, policy, lambda part: work.note(_ENCODING * part)
        )
        head = await asyncio.to_thread(
            _fit, work, rows, X, of_row, classes, text, method, options, encoder, policy != "none"
        )
        if renews:
            version = await self._renew(work, rows.classifier, head, classes, encoder)
        else:
            version = await self._keep(work, rows.classifier, head, classes, method)
        seconds = round(time.perf_counter() - started, 3)
        told = {"version": version, "method": method, "views": policy, "seconds": seconds}
        return {**told, "rows": len(X), "found": dict(head.found)}

    async def over(self, job: JobRecord) -> None:
        """Nothing was kept for it but its result."""

    async def _keep(
        self,
        work: Work,
        trained_on: ClassifierRecord,
        head: Head,
        classes: tuple[ClassRecord, ...],
        method: str,
    ) -> int:
        data = await asyncio.to_thread(lambda: head.compact().to_bytes())

        async def decide(record: ClassifierRecord) -> tuple[Change, int]:
            work.check()
            version = record.revision + 1
            since = trained_on.support_version
            kept = HeadRecord(
                version=version,
                support_version=since,
                method=method,
                trained=True,
                held=True,
                created=datetime.now(UTC),
                classes=tuple((one.key, one.name) for one in classes),
            )
            after = next_revision(record, support=False, pinned=Pinned(version=version, since=since))
            job = noted({"version": version})
            return Change(before=record, after=after, put_heads=[(kept, data)], job=job), version

        async with work.together() as noted:
            return await self._changes.to(trained_on.tenant, trained_on.id, decide)

    async def _renew(
        self,
        work: Work,
        fitted_on: ClassifierRecord,
        head: Head,
        classes: tuple[ClassRecord, ...],
        encoder: Encoder,
    ) -> int:
        """In closed form, and so made to count what was written meanwhile."""
        compact = await asyncio.to_thread(lambda: head.compact(frozen=True))
        frozen = "" if compact.frozen is None else good_for(fitted_on)
        base = HeadRecord.in_closed_form(fitted_on, head.method, classes, frozen=frozen)
        data = await asyncio.to_thread(compact.to_bytes)

        async def decide(record: ClassifierRecord) -> tuple[Change, int]:
            work.check()
            kept, now = base, data
            if record.support_version != base.support_version:
                made = None
                if compact.frozen is not None:
                    made = await self._heads.brought_up_to_date(record, encoder, base, compact)
                if made is None:
                    raise ConflictError(
                        f"classifier {record.id} became another while it was trained; try again"
                    )
                kept, _, now = made
                if kept.support_version != record.support_version:
                    raise changed_meanwhile(record.id)
            after = next_revision(record, support=True, pinned=None)
            kept = replace(kept, version=after.revision, support_version=after.revision)
            job = noted({"version": after.revision})
            return Change(before=record, after=after, put_heads=[(kept, now)], job=job), after.revision

        async with work.together() as noted:
            return await self._changes.to(fitted_on.tenant, fitted_on.id, decide)

    async def _done_before(self, work: Work, record: ClassifierRecord) -> Mapping[str, Any] | None:
        """The result, where the worker died between storing the head and saying so."""
        version = work.job.cursor.get("version")
        if version is None or await self._store.head(record.tenant, record.id, int(version)) is None:
            return None
        told = {"version": version, "method": work.job.request["method"], "views": None, "seconds": None}
        return {**told, "rows": None, "found": {}}


def checked_training(request: Mapping[str, Any]) -> dict[str, Any]:
    """A request to train, as the job reads it. Raises RequestError for what it cannot do."""
    method, views = request.get("method", "tip-f"), request.get("views")
    options_of(str(method), request.get("options") or {})
    if views is not None:
        checked_policy(views, (AUTO, *POLICIES))
    return {"method": method, "options": dict(request.get("options") or {}), "views": views}


def options_of(method: str, given: Mapping[str, Any]) -> Options:
    """The method's options. Raises RequestError for a method or options there are none of."""
    if method not in METHODS:
        raise RequestError(
            f"there is no method {method!r}; choose one of {', '.join(sorted(METHODS))}", pointer="/method"
        )
    kind = METHODS[method].options
    known = {field.name: type(field.default) for field in fields(kind)}
    for name, value in given.items():
        if name not in known:
            raise RequestError(
                f"method {method!r} has no option {name!r}; it has {', '.join(known) or 'none'}",
                pointer=f"/options/{name}",
            )
        if isinstance(value, bool | str) and not isinstance(value, known[name]):
            raise RequestError(f"option {name!r} is {value!r}; give a number", pointer=f"/options/{name}")
    try:
        return kind(**given)
    except (SupportError, TypeError, ValueError) as exc:
        raise RequestError(str(exc), pointer="/options") from exc


def _fit(
    work: Work,
    rows: SupportRows,
    X: Rows,
    of_row: np.ndarray,
    classes: tuple[ClassRecord, ...],
    text: Rows | None,
    method: str,
    options: Options,
    encoder: Encoder,
    encoded: bool,
) -> Head:
    tell = work.noting()
    y = rows.places(classes)
    try:
        with watched(lambda part: tell(_ENCODING + (1 - _ENCODING) * part if encoded else part)):
            return fit_head(
                method,
                X,
                y[of_row],
                class_count=len(classes),
                text=text,
                groups=[rows.groups[at] for at in of_row] if len(of_row) else None,
                background=encoder.background,
                shot_ids=[rows.ids[at] for at in of_row],
                options=options,
            )
    except SupportError as exc:
        raise ConflictError(
            f"classifier {rows.classifier.id} cannot be trained by {method!r}: {exc}"
        ) from exc
