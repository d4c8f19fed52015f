"""Job: what a classifier would answer for its own shots, had it not been taught them."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from handful.adapters.ensemble_scorer import Ensemble
from handful.background import JoinedBackground, said_of
from handful.encoders import Encoder
from handful.encoders.cost import Cost, cost_of
from handful.errors import ConflictError, RequestError, SupportError
from handful.evaluation import HeldOut
from handful.evaluation.curve import Teach
from handful.evaluation.held_out import hold_out
from handful.evaluation.parts import parts_found, parts_held_out
from handful.rows import IntArray, Rows, apart
from handful.service.changes import not_found
from handful.service.encoding import Encoding
from handful.service.heads import STAND_IN, TRAINED, Heads, fit, usable
from handful.service.jobs.compare_views import Comparison, Teaching, check_policies, part_of
from handful.service.jobs.shot_views import ShotViews
from handful.service.jobs.train import options_of
from handful.service.jobs.work import Work
from handful.service.support import SupportRows
from handful.storage.blobs import Blobs
from handful.storage.records import ClassRecord, JobRecord
from handful.storage.store import Store

_MOST_SUSPECTS = 100
_MOST_CONFUSED = 100  # classes; of more no table is given
_OF_REPORT = 0.2  # of the progress, where policies of views are compared after it


class Evaluate:
    """{method?, views?} → estimates with intervals, each class's share of right answers, confusions,
    suspects; of an ensemble, what each part is worth; of policies of views that are named, what they are.
    """

    name = "evaluate"

    def checked(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Raises RequestError for a method there is none of, and for anything else that is asked."""
        for name in request:
            if name not in ("method", "views"):
                raise RequestError(f"an evaluation has no option {name!r}", pointer=f"/{name}")
        if request.get("method") is not None:
            options_of(str(request["method"]), {})
        if request.get("views") is not None:
            check_policies(request["views"])
        return {name: value for name, value in request.items() if value is not None}

    def __init__(self, encoding: Encoding, heads: Heads, store: Store, blobs: Blobs) -> None:
        self._encoding = encoding
        self._heads = heads
        self._store = store
        self._views = Comparison(ShotViews(store, blobs, encoding))

    async def run(self, work: Work) -> Mapping[str, Any]:
        tenant, id = work.job.tenant, str(work.job.classifier)
        record = await self._store.classifier(tenant, id)
        if record is None:
            raise not_found(id)
        encoder = await self._heads.encoder_of(record)
        rows = await self._heads.support(record)
        classes, text = await usable(self._encoding, encoder, rows)
        asked, views = work.job.request.get("method"), work.job.request.get("views")
        own = rows.classifier.method
        method = str(asked or (STAND_IN if own in TRAINED else own))
        cost = None
        if isinstance(encoder.background, JoinedBackground):
            async with self._encoding.encoders.used(encoder):
                cost = await asyncio.to_thread(cost_of, encoder)
        share = 1.0 if views is None else _OF_REPORT
        report = await asyncio.to_thread(
            _report, rows, classes, text, method, encoder, cost, part_of(work.noting(), 0.0, share)
        )
        if views is None:
            return report
        teaching = Teaching(support=rows, classes=classes, text=text, method=str(asked or own))
        compared = await self._views.made(work, teaching, encoder, views, begin=share)
        return {**report, "views": compared.as_dict()}

    async def over(self, job: JobRecord) -> None:
        """Nothing was kept for it but its result."""


def _report(
    rows: SupportRows,
    classes: tuple[ClassRecord, ...],
    text: Rows | None,
    method: str,
    encoder: Encoder,
    cost: Cost | None,
    tell: Callable[[float], None],
) -> Mapping[str, Any]:
    # One row for each shot: the plain picture. Views of shots that are not asked are taught all the same.
    teaching = Teaching(support=rows, classes=classes, text=text, method=method)
    first, y, background = teaching.first, teaching.y, encoder.background
    teach = teaching.teacher(rows.X, teaching.first_of_row, background)
    try:
        held_out = hold_out(
            rows.X[first],
            y,
            teach,
            class_count=len(classes),
            groups=teaching.groups,
            from_words=teaching.spoken,
            progress=lambda done, rounds: tell(done / rounds),
        )
    except SupportError as exc:
        raise ConflictError(f"classifier {rows.classifier.id} cannot be evaluated: {exc}") from exc
    parts = None
    if isinstance(background, JoinedBackground):
        parts = _parts(teaching, held_out, encoder, background, cost)
    names = [one.name for one in classes]
    return {
        "method": method,
        "background": said_of(encoder.background),
        "support_version": rows.classifier.support_version,
        "shots": len(first),
        "judged": int(held_out.judged.sum()),
        **{
            name: {"value": estimate.value, "low": estimate.low, "high": estimate.high}
            for name, estimate in held_out.estimates.items()
        },
        "classes": _per_class(held_out, names),
        "confusion": {"labels": names, "counts": held_out.confusion.tolist()}
        if len(names) <= _MOST_CONFUSED
        else None,
        "parts": parts,
        "mistakes": _shots(held_out, held_out.mistakes, names, rows, first),
        "suspects": _shots(held_out, held_out.suspects, names, rows, first),
    }


def _parts(
    teaching: Teaching, held_out: HeldOut, encoder: Encoder, background: JoinedBackground, cost: Cost | None
) -> Mapping[str, Any] | None:
    """What each part of an ensemble is worth; None for a method that sees all columns as one."""
    rows, text = teaching.support, teaching.text
    whole = fit(rows, teaching.classes, text, teaching.method, encoder)
    if not isinstance(whole.scorer, Ensemble):
        return None
    X = apart(rows.X, background.widths)
    texts = [None] * len(X) if text is None else apart(text, background.widths)

    def teach(at: int) -> Teach:
        part = replace(teaching, text=texts[at])
        return part.teacher(X[at], teaching.first_of_row, background.parts[at])

    right, of_parts = parts_held_out(
        rows.X[teaching.first],
        teaching.y,
        held_out,
        teach,
        background,
        groups=teaching.groups,
        from_words=teaching.spoken,
    )
    return parts_found(whole, right, of_parts, encoder=encoder, cost=cost).as_dict()


def _per_class(held_out: HeldOut, names: list[str]) -> list[dict[str, Any]]:
    right = held_out.confusion.diagonal()
    asked = held_out.confusion.sum(axis=1)
    return [
        {"label": name, "judged": int(all_), "accuracy": float(good / all_) if all_ else None}
        for name, good, all_ in zip(names, right, asked, strict=True)
    ]


def _shots(
    held_out: HeldOut, places: IntArray, names: list[str], rows: SupportRows, first: IntArray
) -> list[dict[str, Any]]:
    return [
        {
            "shot": rows.ids[first[at]],
            "label": names[held_out.y[at]],
            "answer": names[held_out.answers[at]],
            "probability": float(held_out.probabilities[at, held_out.answers[at]]),
        }
        for at in places[:_MOST_SUSPECTS].tolist()
    ]
