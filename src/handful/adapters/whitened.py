"""The space in which pictures of anything vary alike in all directions."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from handful.adapters.support import Support
from handful.background import Background
from handful.rows import FloatArray

_PRIOR_RESIDUALS = 50.0  # that the background's guess of the within-class variance counts as
_WITHIN_SHARE = 0.5  # of the background's variance that lies within classes, as guessed


@dataclass(frozen=True, eq=False)
class Whitened:
    """u = A(x − mean): the background's whitening; the plain space where there is no background.

    spread : mean ‖u − mean u‖² of pictures of anything; without a background, of the support itself.
    """

    A: FloatArray | None
    mean: FloatArray
    spread: float
    background: Background | None

    @classmethod
    def of(cls, support: Support) -> Self:
        """The space of the support's background."""
        background = support.background
        if background is None:
            X = support.X.astype(np.float64)
            spread = float(((X - X.mean(axis=0)) ** 2).sum(axis=1).mean()) if len(X) > 1 else 0.0
            return cls(None, np.zeros(support.dimension), spread or 1.0, None)
        return cls(background.whitening, background.mean, background.whitened_spread, background)

    def within_variance(self, scatter: float, freedom: float) -> float:
        """The variance within classes along each axis, from a scatter's trace and the background's guess.

        freedom : residual degrees of freedom of the scatter.
        """
        guess = _PRIOR_RESIDUALS * _WITHIN_SHARE * self.spread
        return (scatter + guess) / (freedom + _PRIOR_RESIDUALS) / len(self.mean)

    def rows(self, X: FloatArray) -> FloatArray:
        """(N, D) embeddings in this space."""
        return self.directions(X - self.mean)

    def directions(self, X: FloatArray) -> FloatArray:
        """(N, D) differences of embeddings in this space."""
        return X if self.A is None else X @ self.A

    def functionals(self, W: FloatArray) -> FloatArray:
        """(C, D) rows that give on x what the rows W give on u: A is symmetric."""
        return W if self.A is None else W @ self.A
