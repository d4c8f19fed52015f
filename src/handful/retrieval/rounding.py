"""How rows are kept: a byte for each number, and what that leaves out where it matters most."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handful.adapters.quantised import QuantisedRows

Matrix = NDArray[np.float32]
Bytes = NDArray[np.int8]


@dataclass(frozen=True, eq=False)
class Rounding:
    """mean : (D,) of rows.    fine : (D, m) orthonormal, the directions that queries have most of.

    A row is mean + v₀·s₀ + fine·(v₁·s₁): v₀ its D numbers in a byte each, v₁ in m bytes what v₀ leaves out in
    the fine directions, which makes up most of the error of an inner product. Among ten million rows the best
    two are often nearer than that error.
    """

    mean: Matrix
    fine: Matrix

    @property
    def width(self) -> int:
        """Bytes of a row, D + m."""
        return sum(self.fine.shape)

    def of(self, rows: Matrix) -> tuple[Bytes, Matrix]:
        """Values (n, D + m) and scales (n, 2) of rows (n, D)."""
        deviations = rows - self.mean
        coarse = QuantisedRows.of(deviations)
        if not self.fine.shape[1]:
            return coarse.values, np.stack([coarse.scales, np.zeros_like(coarse.scales)], axis=1)
        rest = QuantisedRows.of((deviations - coarse.restored()) @ self.fine)
        values = np.concatenate([coarse.values, rest.values], axis=1)
        return values, np.stack([coarse.scales, rest.scales], axis=1)

    def deviations(self, values: Bytes, scales: Matrix) -> Matrix:
        """(n, D) how rows lie from the mean."""
        coarse, rest = np.split(values.astype(np.float32), [len(self.mean)], axis=1)
        return np.asarray(coarse * scales[:, :1] + (rest * scales[:, 1:]) @ self.fine.T, np.float32)

    def asked(self, Q: Matrix) -> Matrix:
        """(B, D + m) of queries (B, D), for `products`."""
        return np.concatenate([Q, Q @ self.fine], axis=1)

    def products(self, asked: Matrix, values: Bytes, scales: Matrix) -> Matrix:
        """(B, n) inner products of queries with the rows' deviations."""
        coarse, rest = np.split(values.astype(np.float32), [len(self.mean)], axis=1)
        own, fine = np.split(asked, [len(self.mean)], axis=1)
        return (own @ coarse.T) * scales[:, 0] + (fine @ rest.T) * scales[:, 1]

    def above(self, Q: Matrix) -> Matrix:
        """(B, 1) inner products with the mean: what `products` leaves out."""
        return (Q @ self.mean)[:, None]
