"""What typicality to expect of pictures of the classes before any shot could be left out."""

import numpy as np

from handful.adapters.scorer import Scorer
from handful.adapters.support import Support
from handful.rows import unit

_DRAWS = 256  # pictures of anything, where no background gives some
_LIFT = 2.0  # standard deviations by which pictures of the classes stand above pictures of anything


def typicality_without_shots(scorer: Scorer, support: Support) -> tuple[float, float]:
    """Mean and deviation of the typicality of pictures of the classes.

    Pictures of anything, drawn from the background (or, without one, from all directions), have a known
    typicality; pictures of the classes are taken to lie `_LIFT` of its deviations higher.
    """
    if support.background is not None:
        anything = support.background.anything
    else:
        draws = np.random.default_rng(0).standard_normal((_DRAWS, support.dimension))
        anything = unit(draws).astype(np.float32)
    typicality = scorer.typicality(anything, scorer.scores(anything))
    deviation = max(float(typicality.std()), 1e-6)
    return float(typicality.mean()) + _LIFT * deviation, deviation
