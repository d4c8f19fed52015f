"""What is kept of many rows when none of them is: how many, their mean, how they vary."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from handful.background import Background
from handful.rows import FloatArray, Rows


@dataclass(frozen=True, kw_only=True, eq=False)
class Moments:
    """count : rows.    mean : (D,).    scatter : (D, D), Σ (x − mean)(x − mean)ᵀ; both float64."""

    count: int
    mean: FloatArray
    scatter: FloatArray

    @classmethod
    def of(cls, X: Rows) -> Self:
        """Of rows (N, D), N ≥ 1."""
        rows = X.astype(np.float64)
        mean = rows.mean(axis=0)
        return cls(count=len(rows), mean=mean, scatter=(rows - mean).T @ (rows - mean))

    def merged(self, other: "Moments") -> "Moments":
        """Of the rows of both. Source: Chan, Golub, LeVeque, 1979, eq. 2.1."""
        count = self.count + other.count
        step = other.mean - self.mean
        between = np.outer(step, step) * (self.count * other.count / count)
        return Moments(
            count=count,
            mean=self.mean + step * (other.count / count),
            scatter=self.scatter + other.scatter + between,
        )

    def background(self, known: Background | None) -> Background:
        """The background of the rows, N ≥ 2; what is the encoder's own is as in the one `known` of it."""
        covariance = self.scatter / (self.count - 1)
        if known is None:
            return Background(mean=self.mean, covariance=covariance, count=self.count)
        return Background(
            mean=self.mean,
            covariance=covariance,
            count=self.count,
            logit_scale=known.logit_scale,
            ridge=known.ridge,
            anchors=known.anchors,
        )
