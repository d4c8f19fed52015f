"""Augmentation of embeddings, where there are no pictures: their channels as if they were colours."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from handful.errors import SupportError
from handful.rows import FloatArray, Rows, unit

JITTERS = ("none", "brightness", "contrast", "posterise")
_DEEPEST = 8  # bits of posterise at strength 0
_FLAT = 1e-9  # range of a channel below which it says nothing


@dataclass(frozen=True, kw_only=True, eq=False)
class FeatureJitter:
    """Random changes of rows, in a scale on which each channel goes from 0 to 1 in a support.

    low, high : (D,) the ends of that.    strength : 0 changes nothing; at 1 little is left.

    brightness: x + u, u drawn in ±strength for each channel of each row.
    contrast: x̄ + c·(x − x̄), x̄ the row's mean, ln c drawn in ±strength·ln 10 for each row.
    posterise: x in 2^b steps, b = 8 − 7·u, u drawn in 0..strength for each row.
    What leaves 0..1 is brought back to its end.

    Source: Bär, Houlsby, Dehghani & Kumar, Frozen Feature Augmentation, CVPR 2024, §3; there of the many
    tokens of a picture, here of its one row.
    """

    kind: str
    strength: float
    low: FloatArray
    high: FloatArray

    @classmethod
    def of(cls, X: Rows, *, kind: str, strength: float) -> Self:
        """By the rows X (N, D) of a support."""
        if not len(X):
            return cls(kind="none", strength=0.0, low=np.zeros(X.shape[1]), high=np.zeros(X.shape[1]))
        low, high = X.min(axis=0).astype(np.float64), X.max(axis=0).astype(np.float64)
        return cls(kind=kind, strength=strength, low=low, high=high)

    def __call__(self, X: Rows, random: np.random.Generator) -> Rows:
        """(N, D) unit rows, each changed by itself."""
        if self.kind == "none":
            return X
        span = self.high - self.low
        told = span > _FLAT
        x = (X[:, told] - self.low[told]) / span[told]
        drawn = random.random(x.shape if self.kind == "brightness" else (len(x), 1))
        if self.kind == "brightness":
            x = x + self.strength * (2 * drawn - 1)
        elif self.kind == "contrast":
            mean = x.mean(axis=1, keepdims=True)
            x = mean + 10 ** (self.strength * (2 * drawn - 1)) * (x - mean)
        else:
            steps = np.round(2 ** (_DEEPEST - (_DEEPEST - 1) * self.strength * drawn)) - 1
            x = np.round(x * steps) / steps
        changed = X.astype(np.float64)
        changed[:, told] = self.low[told] + span[told] * np.clip(x, 0, 1)
        return np.asarray(unit(changed), np.float32)


def check_jitter(kind: str, strength: float) -> None:
    """Raises SupportError for a jitter there is none of."""
    if kind not in JITTERS:
        raise SupportError(f"jitter is {kind!r}; choose one of {', '.join(JITTERS)}")
    if not 0 <= strength <= 1:
        raise SupportError(f"jitter_strength is {strength}; give a share between 0 and 1")
