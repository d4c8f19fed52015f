"""Sets of classes that hold the truth as often as asked."""

from dataclasses import dataclass
from math import ceil
from typing import Self

import numpy as np
from numpy.typing import NDArray

from handful.errors import SupportError
from handful.rows import FloatArray

_KEPT = 512  # nonconformities that a compact head keeps


@dataclass(frozen=True, eq=False)
class ConformalSets:
    """How improbable the true class of left-out shots looked: 1 − probability, (N,) sorted.

    A class is in a picture's set where its own 1 − probability is no larger than the ⌈(N + 1)·coverage⌉-th of
    them. Source: Sadinle, Lei & Wasserman, JASA 2019 (LAC), with left-out shots as the calibration set
    (jackknife); coverage holds on average over supports.
    """

    nonconformity: FloatArray
    count: int

    @classmethod
    def fit(cls, probabilities_of_truth: FloatArray) -> Self:
        """From the probability (N,) that each left-out shot's own class got."""
        return cls(np.sort(1 - probabilities_of_truth), len(probabilities_of_truth))

    def sets(self, probabilities: FloatArray, coverage: float) -> NDArray[np.bool_]:
        """(B, C) membership. Raises SupportError where the shots are too few for the coverage."""
        if not 0 < coverage < 1:
            raise SupportError(f"coverage is {coverage}; give a share between 0 and 1, such as 0.9")
        rank = ceil((self.count + 1) * coverage - 1e-9)
        if rank > self.count:
            needed = ceil(coverage / (1 - coverage) - 1e-9)
            raise SupportError(
                f"a coverage of {coverage:g} needs {needed} shots of classes with two or more, and there are "
                f"{self.count}; add shots, or ask for at most {self.count / (self.count + 1):.3g}"
            )
        position = (rank - 1) * (len(self.nonconformity) - 1) / max(self.count - 1, 1)
        limit = self.nonconformity[ceil(position - 1e-9)]
        return np.asarray(1 - probabilities <= limit + 1e-9)

    def compact(self) -> Self:
        """The same sets from a few quantiles that float16 holds, rounded so that no set gets smaller."""
        kept = self.nonconformity
        if len(kept) > _KEPT:
            kept = np.quantile(kept, np.linspace(0, 1, _KEPT), method="higher")
        rounded = kept.astype(np.float16)
        rounded = np.where(rounded < kept, np.nextafter(rounded, np.float16(2)), rounded)
        return type(self)(rounded.astype(np.float64), self.count)
