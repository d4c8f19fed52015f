"""Job: what a classifier would answer for its own shots, had it not been taught them."""

import asyncio
from collections.abc import Mapping
from typing import Any

import numpy as np

from handful.adapters.head import fit_head
from handful.background import said_of
from handful.encoders import Encoder
from handful.errors import ConflictError, RequestError, SupportError
from handful.evaluation import HeldOut
from handful.evaluation.classifier import first_rows
from handful.evaluation.curve import Taught
from handful.evaluation.episodes import Episode
from handful.evaluation.held_out import hold_out
from handful.rows import IntArray, Rows
from handful.service.changes import not_found
from handful.service.encoding import Encoding
from handful.service.heads import STAND_IN, TRAINED, Heads, usable
from handful.service.jobs.train import options_of
from handful.service.jobs.work import Work
from handful.service.support import SupportRows
from handful.storage.records import ClassRecord, JobRecord
from handful.storage.store import Store

_MOST_SUSPECTS = 100
_MOST_CONFUSED = 100  # classes; of more no table is given


class Evaluate:
    """{method?} → estimates with intervals, each class's share of right answers, confusions, suspects."""

    name = "evaluate"

    def checked(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Raises RequestError for a method there is none of, and for anything else that is asked."""
        for name in request:
            if name != "method":
                raise RequestError(f"an evaluation has no option {name!r}", pointer=f"/{name}")
        if request.get("method") is None:
            return {}
        options_of(str(request["method"]), {})
        return {"method": request["method"]}

    def __init__(self, encoding: Encoding, heads: Heads, store: Store) -> None:
        self._encoding = encoding
        self._heads = heads
        self._store = store

    async def run(self, work: Work) -> Mapping[str, Any]:
        tenant, id = work.job.tenant, str(work.job.classifier)
        record = await self._store.classifier(tenant, id)
        if record is None:
            raise not_found(id)
        encoder = await self._heads.encoder_of(record)
        rows = await self._heads.support(record)
        classes, text = await usable(self._encoding, encoder, rows)
        own = rows.classifier.method
        method = str(work.job.request.get("method") or (STAND_IN if own in TRAINED else own))
        return await asyncio.to_thread(_report, work, rows, classes, text, method, encoder)

    async def over(self, job: JobRecord) -> None:
        """Nothing was kept for it but its result."""


def _report(
    work: Work,
    rows: SupportRows,
    classes: tuple[ClassRecord, ...],
    text: Rows | None,
    method: str,
    encoder: Encoder,
) -> Mapping[str, Any]:
    tell = work.noting()
    # One row for each shot: the plain picture. Views of shots that are not asked are taught all the same.
    first = first_rows(rows.ids)
    shot_of_row = np.searchsorted(first, np.arange(len(rows.ids)), side="right") - 1
    y = rows.places(classes)

    def teach(episode: Episode) -> Taught:
        taught = np.flatnonzero(np.isin(shot_of_row, episode.support))
        return fit_head(
            method,
            rows.X[taught],
            y[taught],
            class_count=len(classes),
            text=text,
            groups=[rows.groups[at] for at in taught] if len(taught) else None,
            background=encoder.background,
            shot_ids=[rows.ids[at] for at in taught],
        )

    try:
        held_out = hold_out(
            rows.X[first],
            y[first],
            teach,
            class_count=len(classes),
            groups=[rows.groups[at] for at in first],
            from_words=text is not None and bool(text.any(axis=1).all()),
            progress=lambda done, rounds: tell(done / rounds),
        )
    except SupportError as exc:
        raise ConflictError(f"classifier {rows.classifier.id} cannot be evaluated: {exc}") from exc
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
        "mistakes": _shots(held_out, held_out.mistakes, names, rows, first),
        "suspects": _shots(held_out, held_out.suspects, names, rows, first),
    }


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
