"""Linear heads: a row and an offset for each class."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from handful.adapters.quantised import QuantisedRows
from handful.adapters.scorer import Settings
from handful.background import Background
from handful.rows import FloatArray, IntArray, Rows
from handful.tensors import Arrays


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassRows:
    """scores = (Q − centre)·rowsᵀ + offsets.

    rows : (C, D).    offsets : (C,).    centre : (D,), the point from which pictures are seen.
    background : in whose whitened space lengths are measured, or None for the plain one.

    Typicality is the largest score, before offsets, of the direction from the centre: a picture near the
    centre of everything is not less typical for being near it.
    """

    rows: NDArray[np.float32]
    offsets: FloatArray
    centre: FloatArray
    background: Background | None = None
    quantised: QuantisedRows | None = None

    kind: ClassVar[str] = "class-rows"

    @property
    def dimension(self) -> int:
        return int(self.rows.shape[1])

    @property
    def class_count(self) -> int:
        return int(self.rows.shape[0])

    @property
    def needs_background(self) -> bool:
        return self.background is not None

    @cached_property
    def _shift(self) -> FloatArray:
        return np.asarray(self.offsets - self.rows.astype(np.float64) @ self.centre)

    def scores(self, Q: Rows) -> FloatArray:
        return np.asarray((Q @ self.rows.T).astype(np.float64) + self._shift)

    def typicality(self, Q: Rows, scores: FloatArray) -> FloatArray:
        lengths = np.linalg.norm(self._seen(Q), axis=1)
        return np.asarray((scores - self.offsets).max(axis=1) / np.maximum(lengths, 1e-9))

    def affinity(self, q: Rows, X: Rows, rows: IntArray) -> FloatArray:
        """Cosine as seen from the centre, in the metric; shots that point away say nothing."""
        seen = self._seen(X[rows])
        query = self._seen(q)[0]
        lengths = np.linalg.norm(seen, axis=1) * np.linalg.norm(query)
        return np.asarray(np.maximum(seen @ query / np.maximum(lengths, 1e-9), 0))

    def _seen(self, X: Rows) -> FloatArray:
        centred = X - self.centre
        return centred if self.background is None else centred @ self.background.whitening

    def compact(self) -> Self:
        quantised = QuantisedRows.of(self.rows)
        return replace(
            self,
            rows=quantised.restored(),
            offsets=self.offsets.astype(np.float32).astype(np.float64),
            centre=self.centre.astype(np.float32).astype(np.float64),
            quantised=quantised,
        )

    def arrays(self) -> Arrays:
        if self.quantised is None:
            return {"rows": self.rows, "offsets": self.offsets, "centre": self.centre}
        return {
            "rows": self.quantised.values,
            "scales": self.quantised.scales,
            "offsets": self.offsets.astype(np.float32),
            "centre": self.centre.astype(np.float32),
        }

    def settings(self) -> Settings:
        return {}

    @classmethod
    def restore(cls, arrays: Arrays, settings: Mapping[str, float], background: Background | None) -> Self:
        values, offsets, centre = arrays["rows"], arrays["offsets"], arrays["centre"]
        if values.ndim != 2 or offsets.shape != values.shape[:1] or centre.shape != values.shape[1:]:
            raise ValueError(
                f"rows {values.shape}, offsets {offsets.shape} and centre {centre.shape} do not fit"
            )
        quantised = None
        if "scales" in arrays:
            quantised = QuantisedRows(values.astype(np.int8), arrays["scales"].astype(np.float32))
            if quantised.scales.shape != offsets.shape:
                raise ValueError(f"scales {quantised.scales.shape} do not fit rows {values.shape}")
        return cls(
            rows=values.astype(np.float32) if quantised is None else quantised.restored(),
            offsets=offsets.astype(np.float64),
            centre=centre.astype(np.float64),
            background=background,
            quantised=quantised,
        )
