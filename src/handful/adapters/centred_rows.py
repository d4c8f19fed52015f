"""Rows in one byte for each number, as they lie from their mean."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from handful.adapters.quantised import QuantisedRows
from handful.tensors import Arrays


@dataclass(frozen=True, eq=False)
class CentredRows:
    """centre : (D,) float32, the mean in multiples of `step`.    deviations : of the rows from it, in int8.

    Embeddings of one encoder share a few large columns, which would set the scale of every row; without
    them the rounding errors of CLIP's embeddings are four to six times smaller.
    step : 0 where the centre is not rounded, as in files of the first format.
    """

    centre: NDArray[np.float32]
    deviations: QuantisedRows
    step: float = 0.0

    @classmethod
    def of(cls, rows: NDArray[np.floating]) -> Self:
        """Round rows (N, D), each by itself, and their mean; the deviations make up for what that loses."""
        mean = QuantisedRows.of(_mean(rows)[None])
        centre = mean.restored()[0]
        return cls(centre, QuantisedRows.of(rows - centre), float(mean.scales[0]))

    def restored(self) -> NDArray[np.float32]:
        """(N, D) float32."""
        return self.centre + self.deviations.restored()

    def arrays(self, name: str) -> Arrays:
        """What `restored_rows` reads. The scale of a rounded centre stands behind those of the rows."""
        arrays: Arrays = {name: self.deviations.values, f"{name}_scales": self.deviations.scales}
        if not self.centre.any():
            return arrays
        if not self.step:
            return arrays | {f"{name}_centre": self.centre}
        scales = np.append(self.deviations.scales, np.float32(self.step))
        centre = np.rint(self.centre / np.float32(self.step)).astype(np.int8)
        return arrays | {f"{name}_scales": scales, f"{name}_centre": centre}


def restored_rows(arrays: Arrays, name: str) -> tuple[NDArray[np.float32], CentredRows | None]:
    """A saved matrix, and its bytes where it was saved in int8. ValueError where shapes do not fit."""
    values = arrays[name]
    if values.ndim != 2:
        raise ValueError(f"{name} has shape {values.shape}, not that of a matrix")
    if f"{name}_scales" not in arrays:
        return values.astype(np.float32), None
    scales, centre = arrays[f"{name}_scales"].astype(np.float32), arrays.get(f"{name}_centre")
    step = 0.0
    if centre is None:
        centre = np.zeros(values.shape[1:], np.float32)
    elif scales.ndim == 1 and len(scales) == len(values) + 1:
        scales, step = scales[:-1], float(scales[-1])
        centre = centre.astype(np.float32) * np.float32(step)
    if scales.shape != values.shape[:1] or centre.shape != values.shape[1:]:
        raise ValueError(f"scales {scales.shape} and centre {centre.shape} do not fit {name} {values.shape}")
    deviations = QuantisedRows(values.astype(np.int8), scales)
    rows = CentredRows(centre.astype(np.float32), deviations, step)
    return rows.restored(), rows


def _mean(rows: NDArray[np.floating]) -> NDArray[np.float32]:
    if not len(rows):
        return np.zeros(rows.shape[1], np.float32)
    return np.asarray(rows.mean(axis=0, dtype=np.float64), np.float32)
