"""Learning curves: how good answers are, by the number of shots."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from math import inf, isnan, nan
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import ArrayLike

from handful.adapters import fit_head
from handful.background import Background
from handful.errors import MissingExtraError
from handful.evaluation.episodes import Episode, Shots, episodes
from handful.evaluation.metrics import (
    Estimate,
    accuracy,
    auroc,
    expected_calibration_error,
    fpr95,
    macro_f1,
    negative_log_likelihood,
    over_seeds,
    paired_difference,
)
from handful.rows import FloatArray, Rows

if TYPE_CHECKING:
    from pandas import DataFrame

REJECTED_BELOW = 0.05  # the p-value of `known` under which a picture counts as unknown


class Taught(Protocol):
    """What is judged: a Head, or anything else that answers embeddings (B, D)."""

    def probabilities(self, Q: Rows) -> FloatArray:
        """(B, C), rows sum to 1."""
        ...

    def known(self, Q: Rows) -> FloatArray:
        """(B,) higher for pictures of the classes."""
        ...


Teach = Callable[[Episode], Taught]
Progress = Callable[[int, int], None]  # told how many of how many draws are done


def teacher(
    method: str,
    X: Rows,
    *,
    text: Rows | None = None,
    background: Background | None = None,
    views: Rows | None = None,
    options: object | None = None,
) -> Teach:
    """Teach a Handful method the support of an episode.

    X : (N, D) embeddings of all pictures.    text : (C, D), a row for each class of all.
    views : (N, V, D) embeddings of further views of the pictures; a shot is taught with its views, and left
    out with them.
    """

    def teach(episode: Episode) -> Taught:
        rows, labels, shots = X[episode.support], episode.support_labels, episode.support
        if views is not None:
            count = views.shape[1]
            rows = np.concatenate([rows[:, None], views[shots]], axis=1).reshape(-1, X.shape[1])
            labels, shots = np.repeat(labels, count + 1), np.repeat(shots, count + 1)
        return fit_head(
            method,
            rows,
            labels,
            class_count=len(episode.classes),
            text=None if text is None else text[episode.classes],
            groups=shots,
            background=background,
            shot_ids=[int(shot) for shot in shots],
            options=options,
        )

    return teach


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """The figures of one taught classifier, as shares, nats and areas; NaN where there is nothing to measure.

    auroc, fpr95, foreign_rejected : with half of the classes taught and the others as foreign pictures.
    known_rejected : pictures of taught classes with a p-value under 0.05.
    """

    accuracy: float = nan
    macro_f1: float = nan
    ece: float = nan
    nll: float = nan
    auroc: float = nan
    fpr95: float = nan
    known_rejected: float = nan
    foreign_rejected: float = nan


MEASURES = tuple(field.name for field in fields(Measures))


@dataclass(frozen=True, kw_only=True)
class LearningCurve:
    """Measures of each contender at each number of shots, for each seed.

    measured : (contender, shots, seed) → Measures.
    """

    contenders: tuple[str, ...]
    shots: tuple[Shots, ...]
    seeds: tuple[int, ...]
    measured: Mapping[tuple[str, Shots, int], Measures]

    def values(self, contender: str, shots: Shots, measure: str = "accuracy") -> FloatArray:
        """(S,) one for each seed; NaN where the contender could not be taught."""
        found = [self.measured.get((contender, shots, seed), Measures()) for seed in self.seeds]
        return np.array([getattr(measures, measure) for measures in found])

    def estimate(self, contender: str, shots: Shots, measure: str = "accuracy") -> Estimate:
        """Mean over seeds, with its interval, which ends where the measure does."""
        found = over_seeds(self.values(contender, shots, measure))
        highest = inf if measure == "nll" else 1.0
        return Estimate(found.value, max(found.low, 0.0), min(found.high, highest))

    def difference(self, ours: str, theirs: str, shots: Shots, measure: str = "accuracy") -> Estimate:
        """Of two contenders on the same draws, with its interval."""
        return paired_difference(self.values(ours, shots, measure), self.values(theirs, shots, measure))

    @cached_property
    def estimates(self) -> list[tuple[str, Shots, str, Estimate]]:
        """Everything that could be measured, as (contender, shots, measure, estimate)."""
        found = [
            (contender, shots, measure, self.estimate(contender, shots, measure))
            for contender in self.contenders
            for shots in self.shots
            for measure in MEASURES
        ]
        return [row for row in found if not isnan(row[3].value)]

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            "seeds": list(self.seeds),
            "points": [
                {"contender": contender, "shots": shots, "measure": measure, **estimate.as_dict()}
                for contender, shots, measure, estimate in self.estimates
            ],
        }

    def to_frame(self) -> "DataFrame":
        """A pandas DataFrame, a row for each contender, number of shots and measure."""
        return frame(self.estimates)


def learning_curve(
    X: Rows,
    y: ArrayLike,
    contenders: Mapping[str, Teach],
    *,
    shots: Sequence[Shots],
    seeds: int | Sequence[int] = 20,
    groups: Sequence[object] | None = None,
    from_words: Iterable[str] = (),
    unknown: bool = True,
    progress: Progress | None = None,
) -> LearningCurve:
    """Teach each contender the same draws of shots, and ask it the pictures that were not shown.

    X : (N, D) unit rows.    y : (N,) classes.    shots : numbers of shots; 0 is words alone, for the
    contenders in `from_words`.    seeds : the seeds, or how many.    groups : as for `episodes`.
    unknown : also teach half of the classes and ask the others' pictures, where there are three classes or
    more.

    Numbers of shots that no class has pictures for are left out.
    """
    labels = np.asarray(y, np.int64)
    chosen = tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)
    reached = _reached(labels, shots, chosen[0], groups)
    able = set(from_words)
    class_count = len(np.unique(labels))
    half = (class_count + 1) // 2 if unknown and class_count >= 3 else None
    draws = list(episodes(labels, shots=reached, seeds=chosen, groups=groups))
    halves: Iterable[Episode | None] = [None] * len(draws)
    if half is not None:
        halves = episodes(labels, shots=reached, seeds=chosen, ways=half, groups=groups)
    measured = {}
    for done, (draw, part) in enumerate(zip(draws, halves, strict=True)):
        for name, teach in contenders.items():
            if draw.shots != 0 or name in able:
                measured[name, draw.shots, draw.seed] = _measure(X, teach, draw, part)
        if progress is not None:
            progress(done + 1, len(draws))
    return LearningCurve(contenders=tuple(contenders), shots=reached, seeds=chosen, measured=measured)


def frame(rows: Iterable[tuple[str, Shots | None, str, Estimate]]) -> "DataFrame":
    """A DataFrame of (contender, shots, measure, estimate) rows. Raises MissingExtraError without pandas."""
    try:
        import pandas as pd
    except ModuleNotFoundError as exc:
        if exc.name != "pandas":
            raise
        raise MissingExtraError("to_frame()", "eval") from None
    return pd.DataFrame(
        [
            (contender, shots, measure, estimate.value, estimate.low, estimate.high)
            for contender, shots, measure, estimate in rows
        ],
        columns=["contender", "shots", "measure", "value", "low", "high"],
    )


def _reached(
    labels: np.ndarray, shots: Sequence[Shots], seed: int, groups: Sequence[object] | None
) -> tuple[Shots, ...]:
    """`shots` without numbers that show no more pictures than a smaller one."""
    ordered = sorted(set(shots), key=lambda k: k if isinstance(k, int) else k[1])
    kept: list[Shots] = []
    before = -1
    for episode in episodes(labels, shots=ordered, seeds=[seed], groups=groups):
        if len(episode.support) > before or not isinstance(episode.shots, int):
            kept.append(episode.shots)
        before = max(before, len(episode.support))
    return tuple(kept)


def _measure(X: Rows, teach: Teach, draw: Episode, part: Episode | None) -> Measures:
    taught = teach(draw)
    asked = X[draw.queries]
    probabilities = taught.probabilities(asked)
    answers = probabilities.argmax(axis=1)
    y = draw.query_labels
    unknown: dict[str, float] = {}
    if part is not None:
        judge = teach(part)
        known, foreign = judge.known(X[part.queries]), judge.known(X[part.foreign])
        unknown = {
            "auroc": auroc(known, foreign),
            "fpr95": fpr95(known, foreign),
            "foreign_rejected": float(np.mean(foreign < REJECTED_BELOW)),
        }
    return Measures(
        accuracy=accuracy(y, answers),
        macro_f1=macro_f1(y, answers),
        ece=expected_calibration_error(y, probabilities),
        nll=negative_log_likelihood(y, probabilities),
        known_rejected=float(np.mean(taught.known(asked) < REJECTED_BELOW)),
        **unknown,
    )
