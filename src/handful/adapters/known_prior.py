"""What typicality to expect of pictures of the classes before any shot could be left out."""

import numpy as np

from handful.adapters.scorer import Scorer
from handful.adapters.support import Support

_LIFT = 2.0  # standard deviations by which pictures of the classes stand above pictures of anything


def typicality_without_shots(scorer: Scorer, support: Support) -> tuple[float, float]:
    """Mean and deviation of the typicality of pictures of the classes.

    Pictures of anything, drawn from the background (or, without one, from all directions), have a known
    typicality; pictures of the classes are taken to lie `_LIFT` of its deviations higher.
    """
    random = np.random.default_rng(0)
    draws = random.standard_normal((256, support.dimension))
    if support.background is not None:
        values, vectors = np.linalg.eigh(support.background.covariance)
        draws = support.background.mean + (draws * np.sqrt(np.maximum(values, 0))) @ vectors.T
    anything = (draws / np.linalg.norm(draws, axis=1, keepdims=True)).astype(np.float32)
    typicality = scorer.typicality(anything, scorer.scores(anything))
    deviation = max(float(typicality.std()), 1e-6)
    return float(typicality.mean()) + _LIFT * deviation, deviation
