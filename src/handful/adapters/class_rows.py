"""Linear heads: a row and an offset for each class."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from handful.adapters.centred_rows import CentredRows, restored_rows
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
    pull : how far Q are drawn towards the background's anchors before anything else.
    step : of a compact head, whose centre lies a whole number of steps from the background's mean.

    Typicality is the largest score, before offsets, of the direction from the centre: a picture near the
    centre of everything is not less typical for being near it.
    """

    rows: NDArray[np.float32]
    offsets: FloatArray
    centre: FloatArray
    background: Background | None = None
    pull: float = 0.0
    quantised: CentredRows | None = None
    step: float = 0.0

    kind: ClassVar[str] = "class-rows"

    @property
    def dimension(self) -> int:
        return int(self.rows.shape[1])

    @property
    def class_count(self) -> int:
        return int(self.rows.shape[0])

    @property
    def key_count(self) -> None:
        return None

    @property
    def needs_background(self) -> bool:
        return self.background is not None

    @cached_property
    def shift(self) -> FloatArray:
        """(C,) what scores are beyond drawn·rowsᵀ."""
        return np.asarray(self.offsets - self.rows.astype(np.float64) @ self.centre)

    def scores(self, Q: Rows) -> FloatArray:
        return self._scores(self.drawn(Q))

    def typicality(self, Q: Rows, scores: FloatArray) -> FloatArray:
        return self._typicality(self.drawn(Q), scores)

    def judged(self, Q: Rows) -> tuple[FloatArray, FloatArray]:
        drawn = self.drawn(Q)
        scores = self._scores(drawn)
        return scores, self._typicality(drawn, scores)

    def among(self, places: IntArray) -> Self:
        """Of these classes alone; their scores stay as they are."""
        return replace(self, rows=self.rows[places], offsets=self.offsets[places], quantised=None)

    def with_classes(
        self, origin: IntArray, rows: FloatArray, offsets: FloatArray, centre: NDArray[np.floating]
    ) -> Self:
        """A compact scorer of other classes, whose rows are rounded as those here.

        origin : (C',) places here, -1 for those given, in order.    rows, offsets : as seen from `centre`.
        """
        if self.quantised is None:
            raise ValueError("rows that are not rounded do not change one by one")
        fresh = origin < 0
        rounded = QuantisedRows.of(rows - self.quantised.centre)
        here = self.quantised.centre + rounded.restored()
        values, scales = self.quantised.deviations.values[origin], self.quantised.deviations.scales[origin]
        values[fresh], scales[fresh] = rounded.values, rounded.scales
        whole, beyond = self.rows[origin], self.offsets[origin]
        whole[fresh] = here
        beyond[fresh] = (offsets + here.astype(np.float64) @ (self.centre - centre)).astype(np.float32)
        quantised = replace(self.quantised, deviations=QuantisedRows(values, scales))
        return replace(self, rows=whole, offsets=beyond, quantised=quantised)

    def affinity(self, q: Rows, X: Rows, rows: IntArray) -> FloatArray:
        """Cosine as seen from the centre, in the metric; shots that point away say nothing."""
        seen = self._seen(self.drawn(X[rows]))
        query = self._seen(self.drawn(q))[0]
        lengths = np.linalg.norm(seen, axis=1) * np.linalg.norm(query)
        return np.asarray(np.maximum(seen @ query / np.maximum(lengths, 1e-9), 0), np.float64)

    def _scores(self, drawn: Rows) -> FloatArray:
        return np.asarray((drawn @ self.rows.T).astype(np.float64) + self.shift)

    def _typicality(self, drawn: Rows, scores: FloatArray) -> FloatArray:
        lengths = np.linalg.norm(self._seen(drawn), axis=1)
        return np.asarray((scores - self.offsets).max(axis=1) / np.maximum(lengths, 1e-9))

    def _seen(self, drawn: Rows) -> NDArray[np.floating]:
        """From the centre, in the metric; in single precision, since every answer waits for it."""
        if self.background is None:
            return np.asarray(drawn - self.centre)
        centred = (drawn - self.centre).astype(np.float32)
        return np.asarray(centred @ self.background.whitening_rows)

    def drawn(self, X: Rows) -> Rows:
        """(n, D) as they are compared with rows."""
        return X if self.background is None else self.background.drawn(X, self.pull)

    def compact(self) -> Self:
        quantised = CentredRows.of(self.rows)
        if 2 * np.sum(quantised.centre**2) < np.mean(np.sum(self.rows**2, axis=1)):  # bytes for nothing
            quantised = CentredRows(np.zeros(self.dimension, np.float32), QuantisedRows.of(self.rows))
        rows = quantised.restored()
        centre, step = self.centre, 0.0
        if centre.any():
            rounded = QuantisedRows.of((centre - _origin(self.background, self.dimension))[None])
            step = float(rounded.scales[0])
            centre = _centre(rounded.values[0], step, self.background)
        # The scores stay as they are, whatever the centre loses.
        offsets = self.offsets + rows.astype(np.float64) @ (centre - self.centre)
        return replace(
            self,
            rows=rows,
            offsets=offsets.astype(np.float32).astype(np.float64),
            centre=centre,
            quantised=quantised,
            step=step,
        )

    def arrays(self) -> Arrays:
        if self.quantised is None:
            return {"rows": self.rows, "offsets": self.offsets, "centre": self.centre}
        arrays: Arrays = {"offsets": self.offsets.astype(np.float32)} | self.quantised.arrays("rows")
        centre = self.centre.astype(np.float32)
        if self.step:
            steps = (self.centre - _origin(self.background, self.dimension)) / self.step
            centre = np.rint(steps).astype(np.int8)
        return arrays | ({"centre": centre} if centre.any() else {})

    def settings(self) -> Settings:
        told = {"pull": self.pull, "step": self.step}
        return {name: value for name, value in told.items() if value}

    @classmethod
    def restore(cls, arrays: Arrays, settings: Mapping[str, float], background: Background | None) -> Self:
        rows, quantised = restored_rows(arrays, "rows")
        offsets, centre = arrays["offsets"], arrays.get("centre", np.zeros(rows.shape[1:]))
        if offsets.shape != rows.shape[:1] or centre.shape != rows.shape[1:]:
            raise ValueError(
                f"rows {rows.shape}, offsets {offsets.shape} and centre {centre.shape} do not fit"
            )
        pull = settings.get("pull", 0.0)
        if not 0 <= pull <= 1:
            raise ValueError(f"a pull of {pull} is not between 0 and 1")
        if background is not None and background.dimension != len(centre):
            raise ValueError(f"rows {rows.shape} do not fit a background of {background.dimension} columns")
        step = settings.get("step", 0.0)  # the first format had none
        return cls(
            rows=rows,
            offsets=offsets.astype(np.float64),
            centre=_centre(centre, step, background) if step else centre.astype(np.float64),
            background=background,
            pull=pull,
            quantised=quantised,
            step=step,
        )


def _centre(steps: NDArray[np.generic], step: float, background: Background | None) -> FloatArray:
    return np.asarray(_origin(background, len(steps)) + steps.astype(np.float64) * step)


def _origin(background: Background | None, dimension: int) -> FloatArray:
    return np.zeros(dimension) if background is None else background.mean
