"""CLIP-Adapter's residual bottleneck as a scorer."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from handful.adapters.centred_rows import CentredRows, restored_rows
from handful.adapters.scorer import Settings
from handful.background import Background
from handful.rows import FloatArray, IntArray, Rows, unit
from handful.tensors import Arrays

_MATRICES = ("down", "up", "rows")


@dataclass(frozen=True, kw_only=True, eq=False)
class Bottleneck:
    """scores = cos(f, rows) with f = (1 − ratio)·q + ratio·up·max(down·q, 0).

    down : (H, D).    up : (D, H).    rows : (C, D) unit rows, the classes.

    Typicality is the largest score.
    """

    down: NDArray[np.float32]
    up: NDArray[np.float32]
    rows: NDArray[np.float32]
    ratio: float
    quantised: tuple[CentredRows, ...] = ()

    kind: ClassVar[str] = "bottleneck"

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
        return False

    def adapted(self, Q: Rows) -> Rows:
        """(B, D) unit rows f."""
        hidden = np.maximum(Q @ self.down.T, 0)
        ratio = np.float32(self.ratio)
        return np.asarray(unit((1 - ratio) * Q + ratio * (hidden @ self.up.T)), dtype=np.float32)

    def scores(self, Q: Rows) -> FloatArray:
        return np.asarray(self.adapted(Q) @ self.rows.T, np.float64)

    def typicality(self, Q: Rows, scores: FloatArray) -> FloatArray:
        return np.asarray(scores.max(axis=1))

    def judged(self, Q: Rows) -> tuple[FloatArray, FloatArray]:
        scores = self.scores(Q)
        return scores, self.typicality(Q, scores)

    def affinity(self, q: Rows, X: Rows, rows: IntArray) -> FloatArray:
        """Cosine of the adapted rows; shots that point away say nothing."""
        likeness = self.adapted(X[rows]) @ self.adapted(q)[0]
        return np.asarray(np.maximum(likeness, 0), np.float64)

    def compact(self) -> Self:
        down, up, rows = (CentredRows.of(m) for m in (self.down, self.up, self.rows))
        return replace(
            self,
            down=down.restored(),
            up=up.restored(),
            rows=rows.restored(),
            quantised=(down, up, rows),
        )

    def arrays(self) -> Arrays:
        if not self.quantised:
            return {"down": self.down, "up": self.up, "rows": self.rows}
        arrays: Arrays = {}
        for name, matrix in zip(_MATRICES, self.quantised, strict=True):
            arrays |= matrix.arrays(name)
        return arrays

    def settings(self) -> Settings:
        return {"ratio": self.ratio}

    @classmethod
    def restore(cls, arrays: Arrays, settings: Mapping[str, float], background: Background | None) -> Self:
        restored = [restored_rows(arrays, name) for name in _MATRICES]
        (down, _), (up, _), (rows, _) = restored
        if down.shape != up.shape[::-1] or rows.shape[1] != down.shape[1]:
            raise ValueError(f"down {down.shape}, up {up.shape} and rows {rows.shape} do not fit")
        return cls(
            down=down,
            up=up,
            rows=rows,
            ratio=float(settings["ratio"]),
            quantised=tuple(matrix for _, matrix in restored if matrix is not None),
        )
