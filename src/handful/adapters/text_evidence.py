"""How much a text prior may say: as much as it foretold the shots."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from handful.adapters.calibration import log_loss
from handful.adapters.support import Support
from handful.adapters.whitened import Whitened
from handful.rows import FloatArray, IntArray, unit

_USUAL = 8.0  # weight of a text's cosine in logits where the text is as good as texts are
_STEPS = _USUAL * np.array([0, 0.1, 0.2, 0.35, 0.5, 0.75, 1, 1.4, 2])
_NOTHING = 0.9  # probability that the texts say nothing of the classes, before any shot was seen
_PRIOR = np.array([_NOTHING] + [(1 - _NOTHING) / (len(_STEPS) - 1)] * (len(_STEPS) - 1))  # of the steps


@dataclass(frozen=True, eq=False)
class TextEvidence:
    """directions : (C, D) unit directions of the classes' texts from their mean, in whitened space.

    Zero where a class has no text.
    """

    directions: FloatArray

    @classmethod
    def of(cls, support: Support, space: Whitened) -> Self:
        """Texts and pictures lie apart; what texts differ in among themselves, they share with pictures."""
        directions = np.zeros((support.class_count, support.dimension))
        if support.text is not None:
            has = support.has_text
            rows = support.text[has].astype(np.float64)
            common = rows.mean(axis=0) if len(rows) > 1 else space.mean
            directions[has] = unit(space.directions(rows - common))
        return cls(directions)

    def cosines(self, seen: FloatArray) -> FloatArray:
        """(N, C) between rows as seen from the centre of the classes and the texts' directions."""
        if not self.directions.any():
            return np.zeros((len(seen), len(self.directions)))
        return np.asarray(unit(seen) @ self.directions.T)

    def weight(self, logits: FloatArray, cosines: FloatArray, y: IntArray, weights: FloatArray) -> float:
        """Posterior mean of the factor λ ≥ 0 on the texts' cosines (N, C), given shots of classes y.

        logits : what left-out shots score without text, so that λ is what the text adds; rows of zeros where
        that cannot be said, at one shot: there the text is judged by itself, the shots being new to it.
        """
        if not self.directions.any():
            return 0.0
        losses = np.array([weights @ log_loss(logits + step * cosines, y) for step in _STEPS])
        odds = _PRIOR * np.exp(losses.min() - losses)
        return float(_STEPS @ odds / odds.sum())
