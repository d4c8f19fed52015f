"""What typicality to expect of pictures of the classes before any shot could be left out."""

import numpy as np

from handful.adapters.scorer import Scorer
from handful.adapters.support import Support
from handful.rows import Rows, unit

_DRAWS = 256  # pictures of anything, where no background gives some
_LIFT = 2.0  # standard deviations by which pictures of the classes stand above pictures of anything


def typicality_without_shots(scorer: Scorer, support: Support) -> tuple[float, float]:
    """Mean and deviation of the typicality of pictures of the classes.

    Pictures of anything, drawn from the background (or, without one, from all directions), have a known
    typicality; pictures of the classes are taken to lie `_LIFT` of its deviations higher.
    """
    anything = anything_for(support)
    typicality = scorer.typicality(anything, scorer.scores(anything))
    deviation = max(float(typicality.std()), 1e-6)
    return float(typicality.mean()) + _LIFT * deviation, deviation


def anything_for(support: Support) -> Rows:
    """(256, D) rows such as pictures of anything have, by the background; without one, of all directions."""
    if support.background is not None:
        return support.background.anything
    draws = np.random.default_rng(0).standard_normal((_DRAWS, support.dimension))
    return np.asarray(unit(draws), np.float32)
