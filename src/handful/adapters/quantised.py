"""Rows of numbers in one byte each, with a scale for each row."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

_LEVELS = 127
_LEAST = 1e-35  # a row below is zero: its scale would be none that float32 holds in full


@dataclass(frozen=True, eq=False)
class QuantisedRows:
    """values : (C, D) int8.    scales : (C,) float32; a row is values · scale, off by at most scale / 2."""

    values: NDArray[np.int8]
    scales: NDArray[np.float32]

    @classmethod
    def of(cls, rows: NDArray[np.floating]) -> Self:
        """Round each row to 255 levels between its largest absolute values.

        >>> QuantisedRows.of(np.array([[1.0, -0.5]])).values
        array([[127, -64]], dtype=int8)
        """
        largest = np.abs(rows).max(axis=1)
        scales = (np.where(largest > _LEAST, largest, 1) / _LEVELS).astype(np.float32)
        return cls(np.rint(rows / scales[:, None]).astype(np.int8), scales)

    def restored(self) -> NDArray[np.float32]:
        """(C, D) float32."""
        return np.asarray(self.values * self.scales[:, None], dtype=np.float32)
