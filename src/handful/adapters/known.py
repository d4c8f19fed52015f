"""Does a picture belong to any of the classes? A p-value from the shots that were left out."""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from handful.rows import FloatArray

_PRIOR_SHOTS = 20  # with N shots, fewer than these, the support's own null weighs N/(N + 20)
_QUANTILES = 64  # what a compact head keeps of its null


@dataclass(frozen=True, eq=False)
class KnownTest:
    """The null distribution of typicality: how typical a picture of the classes looks.

    null : (N,) sorted typicalities of left-out shots.    count : N as it was before compaction.
    prior_mean, prior_deviation : the normal null that stands in while shots are few.

    From 20 shots on the p-value is conformal (Vovk, Gammerman & Shafer 2005, ch. 2): valid as far as
    left-out shots and new pictures are exchangeable. Between two shots it is interpolated within the bounds
    that conformal prediction leaves open, so that pictures keep their order.
    """

    null: FloatArray
    count: int
    prior_mean: float
    prior_deviation: float

    @classmethod
    def fit(cls, typicality: FloatArray, *, prior_mean: float, prior_deviation: float) -> Self:
        """From the typicality (N,) of left-out shots."""
        return cls(np.sort(typicality), len(typicality), float(prior_mean), float(prior_deviation))

    def p_values(self, typicality: FloatArray) -> FloatArray:
        """(B,) p-values; small means that no class looks like the picture's."""
        prior = _normal_cdf((typicality - self.prior_mean) / self.prior_deviation)
        if self.count == 0:
            return prior
        weight = 1.0 if self.count >= _PRIOR_SHOTS else self.count / (self.count + _PRIOR_SHOTS)
        return weight * self._conformal(typicality) + (1 - weight) * prior

    def compact(self) -> Self:
        """The same test with its null as a few quantiles, that float32 holds."""
        kept = self.null
        if len(kept) > _QUANTILES:
            kept = np.quantile(kept, np.linspace(0, 1, _QUANTILES))
        kept = kept.astype(np.float32).astype(np.float64)
        return type(self)(kept, self.count, self.prior_mean, self.prior_deviation)

    @cached_property
    def _ranks(self) -> FloatArray:
        """p-values at each of the null."""
        low = 1 / (self.count + 1)
        return np.linspace(low, 1 - low, len(self.null))

    def _conformal(self, typicality: FloatArray) -> FloatArray:
        """(#{null < s} + u)/(N + 1), u in [0, 1] by where s lies between its two neighbours."""
        low = 1 / (self.count + 1)
        # Clipped, since the slope between two shots that differ by next to nothing overflows.
        inside = np.clip(np.interp(typicality, self.null, self._ranks), low, 1 - low)
        spread = max(float(self.null[-1] - self.null[0]) / 4, 1e-9)
        under = np.minimum(typicality - self.null[0], 0.0) / spread
        over = np.minimum(self.null[-1] - typicality, 0.0) / spread
        return np.asarray(inside - low * (1 - np.exp(under)) / 2 + low * (1 - np.exp(over)))


def _normal_cdf(z: FloatArray) -> FloatArray:
    """Φ(z) by the logistic approximation of Bowling et al. (2009), error below 2e-4."""
    clipped = np.clip(z, -12, 12)
    return np.asarray(1 / (1 + np.exp(-(0.07056 * clipped**3 + 1.5976 * clipped))))
