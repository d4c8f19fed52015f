"""Leaving shots out: what a support's rows would score had they not been shown."""

import numpy as np

from handful.adapters.support import Support
from handful.rows import FloatArray


def level_lone_rows(scores: FloatArray, support: Support) -> None:
    """Set a row's score for its own class to that of its best rival, where leaving out empties the class.

    In place, on (N, C) scores. Such a row says nothing about its own class, and must not count as an error.
    """
    lone = np.flatnonzero(~support.company)
    if not lone.size:
        return
    own = support.y[lone]
    scores[lone, own] = -np.inf
    best = scores[lone].max(axis=1)
    scores[lone, own] = np.where(np.isfinite(best), best, 0.0)
