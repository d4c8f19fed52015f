"""`prototype`: the nearest class mean."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from handful.adapters.class_rows import ClassRows
from handful.adapters.frozen import FrozenPrototype
from handful.adapters.held_out import level_lone_rows
from handful.adapters.known_prior import typicality_without_shots
from handful.adapters.leave_out import sampled
from handful.adapters.scorer import Fitted, HeldOut
from handful.adapters.support import Support
from handful.rows import FloatArray, unit

_MOST_LEFT_OUT = 100_000_000  # entries of the N×C matrix of left-out scores; beyond, a sample of rows


@dataclass(frozen=True, slots=True, kw_only=True)
class PrototypeOptions:
    """`prototype` has nothing to choose."""


def fit(support: Support, options: PrototypeOptions) -> Fitted:
    """scores = cos(q, mean of the class's shots); a class without a shot is its text.

    Source: Snell et al., NeurIPS 2017, eq. 1, with cosine for distance.
    """
    sums = support.class_sums(support.X.astype(np.float64))
    scorer = ClassRows(
        rows=_rows(sums, support).astype(np.float32),
        offsets=np.zeros(support.class_count),
        centre=np.zeros(support.dimension),
    )
    return Fitted(
        scorer=scorer,
        held_out=_held_out(sums, support) if len(support.X) else None,
        known_prior=typicality_without_shots(scorer, support),
        freeze=partial(FrozenPrototype, origin=np.zeros(support.dimension, np.float32)),
    )


def _rows(sums: FloatArray, support: Support) -> FloatArray:
    if support.text is not None:
        sums = np.where((support.counts == 0)[:, None], support.text, sums)
    return np.asarray(unit(sums))


def _held_out(sums: FloatArray, support: Support) -> HeldOut:
    """Each row against all means, those that its group has a part in without that part."""
    X = support.X.astype(np.float64)
    pair, classes, rows, pairs = support.leavings
    parts = np.zeros((len(classes), support.dimension))
    np.add.at(parts, pair, X)
    chosen = sampled(support, max(_MOST_LEFT_OUT // support.class_count, 1))
    whole = len(chosen) == len(support.y)
    part = support if whole else support.part(chosen)
    if not whole:
        place = np.full(len(X), -1)
        place[chosen] = np.arange(len(chosen))
        own = place[rows] >= 0
        X, rows, pairs = X[chosen], place[rows][own], pairs[own]
    scores = X @ _rows(sums, support).T
    rests = sums[classes[pairs]] - parts[pairs]
    scores[rows, classes[pairs]] = (X[rows] * unit(rests)).sum(axis=1)
    level_lone_rows(scores, part)
    return HeldOut(scores=scores, typicality=scores.max(axis=1), judged=part.company, rows=chosen)
