"""Leaving shots out: what a support's rows would score had they not been shown."""

import numpy as np
from numpy.typing import NDArray

from handful.adapters.support import Support
from handful.rows import FloatArray


def level_lone_rows(scores: FloatArray, support: Support, judged: NDArray[np.bool_] | None = None) -> None:
    """Set a row's score for its own class to that of its best rival, where leaving out empties the class.

    In place, on (N, C) scores.    judged : (N,) the rows to leave alone; default those with company.
    The others say nothing about their own class, and must not count as errors.
    """
    lone = np.flatnonzero(~(support.company if judged is None else judged))
    if not lone.size:
        return
    own = support.y[lone]
    scores[lone, own] = -np.inf
    best = scores[lone].max(axis=1)
    scores[lone, own] = np.where(np.isfinite(best), best, 0.0)
