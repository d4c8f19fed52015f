"""Kernel ridge regression as a scorer: keys whose values are real numbers for each class."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from handful.adapters.key_value_cache import kernel, kernel_blocks, restored_rows
from handful.adapters.quantised import QuantisedRows
from handful.adapters.scorer import Settings
from handful.background import Background
from handful.rows import FloatArray, IntArray, Rows
from handful.tensors import Arrays

_MATRICES = ("keys", "values", "text")


@dataclass(frozen=True, kw_only=True, eq=False)
class KernelRidge:
    """scores = Q·textᵀ + kernel(Q, keys)·values.

    keys : (N, D), the support.    values : (N, C).    beta : sharpness of the kernel.
    text : (C, D) text rows with their scale in them, or zeros.

    Typicality is the largest score: far from all keys, the kernel's part goes to nothing.
    """

    keys: NDArray[np.float32]
    values: NDArray[np.float32]
    text: NDArray[np.float32]
    beta: float
    quantised: tuple[QuantisedRows, ...] = ()

    kind: ClassVar[str] = "kernel-ridge"

    @property
    def dimension(self) -> int:
        return int(self.text.shape[1])

    @property
    def class_count(self) -> int:
        return int(self.text.shape[0])

    @property
    def needs_background(self) -> bool:
        return False

    def scores(self, Q: Rows) -> FloatArray:
        scores = np.asarray(Q @ self.text.T, np.float64)
        for block in kernel_blocks(len(Q), len(self.keys)):
            scores[block] += kernel(Q[block], self.keys, self.beta) @ self.values
        return scores

    def typicality(self, Q: Rows, scores: FloatArray) -> FloatArray:
        return np.asarray(scores.max(axis=1))

    def affinity(self, q: Rows, X: Rows, rows: IntArray) -> FloatArray:
        """What each key adds to the score of the answer; shots that lower it say nothing."""
        answer = int(self.scores(q).argmax())
        parts = self.values[rows, answer] * kernel(q, self.keys[rows], self.beta)[0]
        return np.asarray(np.maximum(parts, 0), np.float64)

    def compact(self) -> Self:
        keys, values, text = (QuantisedRows.of(m) for m in (self.keys, self.values, self.text))
        return replace(
            self,
            keys=keys.restored(),
            values=values.restored(),
            text=text.restored(),
            quantised=(keys, values, text),
        )

    def arrays(self) -> Arrays:
        if not self.quantised:
            return {"keys": self.keys, "values": self.values, "text": self.text}
        arrays: Arrays = {}
        for name, matrix in zip(_MATRICES, self.quantised, strict=True):
            arrays |= {name: matrix.values, f"{name}_scales": matrix.scales}
        return arrays

    def settings(self) -> Settings:
        return {"beta": self.beta}

    @classmethod
    def restore(cls, arrays: Arrays, settings: Mapping[str, float], background: Background | None) -> Self:
        restored = [restored_rows(arrays, name, f"{name}_scales") for name in _MATRICES]
        (keys, _), (values, _), (text, _) = restored
        if values.shape != (len(keys), len(text)) or keys.shape[1] != text.shape[1]:
            raise ValueError(f"keys {keys.shape}, values {values.shape} and text {text.shape} do not fit")
        return cls(
            keys=keys,
            values=values,
            text=text,
            beta=float(settings["beta"]),
            quantised=tuple(matrix for _, matrix in restored if matrix is not None),
        )
