"""Policies of views compared by a classifier's own shots, of kept pictures."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from handful.adapters.head import fit_head
from handful.augment import AUTO, policy_of
from handful.background import Background
from handful.encoders import Encoder
from handful.errors import ConflictError, RequestError, SupportError
from handful.evaluation import ViewsFound, compare_views
from handful.evaluation.classifier import first_rows
from handful.evaluation.curve import Taught, Teach
from handful.evaluation.episodes import Episode
from handful.evaluation.views import CANDIDATES, PLAIN
from handful.rows import IntArray, Rows
from handful.service.encoding import Timings
from handful.service.jobs.shot_views import ShotViews, checked_policy
from handful.service.jobs.work import Work
from handful.service.support import SupportRows
from handful.storage.records import ClassRecord

_ALL = "all"  # policies that are worth a comparison
_SEEN = 0.5  # of the progress, when all views are encoded


@dataclass(frozen=True, kw_only=True)
class Teaching:
    """Shots, and how they are taught.    classes : (C,) by key, those that can be answered with."""

    support: SupportRows
    classes: tuple[ClassRecord, ...]
    text: Rows | None
    method: str

    @cached_property
    def first(self) -> IntArray:
        """(S,) the plain picture of each shot, in the support."""
        return first_rows(self.support.ids)

    @property
    def first_of_row(self) -> IntArray:
        """(N,) of each row of the support, the first of its shot."""
        place = np.searchsorted(self.first, np.arange(len(self.support.ids)), side="right") - 1
        return np.asarray(self.first[place])

    @cached_property
    def y(self) -> IntArray:
        """(S,) places of the shots' classes."""
        return np.asarray(self.support.places(self.classes)[self.first])

    @property
    def groups(self) -> list[str]:
        """(S,) names."""
        return [self.support.groups[at] for at in self.first]

    @property
    def spoken(self) -> bool:
        """Whether words alone would make a classifier."""
        return self.text is not None and bool(self.text.any(axis=1).all())

    def teacher(self, X: Rows, of_row: IntArray, background: Background | None) -> Teach:
        """Teaches places in `first`, with all their rows.

        X : (R, D), the shots as they are seen.    of_row : (R,) of each, the first row of its shot.
        """
        y = self.support.places(self.classes)

        def teach(episode: Episode) -> Taught:
            taught = np.flatnonzero(np.isin(of_row, self.first[episode.support]))
            own = of_row[taught]
            return fit_head(
                self.method,
                X[taught],
                y[own],
                class_count=len(self.classes),
                text=self.text,
                groups=[self.support.groups[at] for at in own] if len(own) else None,
                background=background,
                shot_ids=[self.support.ids[at] for at in own],
            )

        return teach


class Comparison:
    """Encodes what is needed of it, and compares."""

    def __init__(self, views: ShotViews) -> None:
        self._views = views

    async def made(
        self,
        work: Work,
        teaching: Teaching,
        encoder: Encoder,
        policies: object,
        *,
        begin: float = 0.0,
        end: float = 1.0,
    ) -> ViewsFound:
        """policies : as `check_policies` takes them.    begin, end : how far the job is before and after.

        Raises ConflictError where no shot can be left out.
        """
        seen = begin + (end - begin) * _SEEN
        default = policy_of(AUTO, teaching.method)
        named = list(dict.fromkeys([PLAIN, default, *check_policies(policies)]))
        timings, spent = Timings(), 0.0
        teachers: dict[str, Teach] = {}
        for number, policy in enumerate(named):

            async def note(part: float, number: int = number) -> None:
                await work.note(begin + (seen - begin) * (number + part) / len(named))

            started = time.perf_counter()
            X, of_row = await self._views.rows(work, teaching.support, encoder, policy, note, timings=timings)
            spent += time.perf_counter() - started
            teachers[policy] = teaching.teacher(X, of_row, encoder.background)
        seconds = spent / timings.encoded if timings.encoded else None
        tell = part_of(work.noting(), seen, end)
        return await asyncio.to_thread(_compare, teaching, teachers, default, seconds, tell)


def _compare(
    teaching: Teaching,
    teachers: Mapping[str, Teach],
    default: str,
    seconds: float | None,
    tell: Callable[[float], None],
) -> ViewsFound:
    try:
        return compare_views(
            teaching.support.X[teaching.first],
            teaching.y,
            teachers,
            default=default,
            class_count=len(teaching.classes),
            groups=teaching.groups,
            from_words=teaching.spoken,
            seconds=seconds,
            progress=lambda done, rounds: tell(done / rounds),
        )
    except SupportError as exc:
        id = teaching.support.classifier.id
        raise ConflictError(f"views of classifier {id} cannot be compared: {exc}") from exc


def check_policies(views: Any) -> Sequence[str]:  # Any: JSON
    """Policies that are named, or "all" that are worth a comparison. Raises RequestError for others."""
    named = list(CANDIDATES) if views == _ALL else views
    if not isinstance(named, list) or not named:
        raise RequestError(f"give policies of views as a list, or {_ALL!r}", pointer="/views")
    return [checked_policy(name) for name in named]


def part_of(tell: Callable[[float], None], begin: float, end: float) -> Callable[[float], None]:
    """Tells 0 to 1 as from `begin` to `end`."""
    return lambda part: tell(begin + (end - begin) * part)
