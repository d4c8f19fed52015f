"""Kernel ridge regression as a scorer: keys whose values are real numbers for each class."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from handful.adapters.centred_rows import CentredRows, restored_rows
from handful.adapters.key_value_cache import kernel, kernel_blocks
from handful.adapters.scorer import Settings
from handful.background import Background
from handful.rows import FloatArray, IntArray, Rows
from handful.tensors import Arrays

_VALUE_LEVELS = 32_767  # int16: values cancel in the sum over keys, and a byte each would show


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
    quantised: "_Quantised | None" = None

    kind: ClassVar[str] = "kernel-ridge"

    @property
    def dimension(self) -> int:
        return int(self.text.shape[1])

    @property
    def class_count(self) -> int:
        return int(self.text.shape[0])

    @property
    def key_count(self) -> int:
        return len(self.keys)

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

    def judged(self, Q: Rows) -> tuple[FloatArray, FloatArray]:
        scores = self.scores(Q)
        return scores, self.typicality(Q, scores)

    def affinity(self, q: Rows, X: Rows, rows: IntArray) -> FloatArray:
        """What each key adds to the score of the answer; shots that lower it say nothing."""
        answer = int(self.scores(q).argmax())
        parts = self.values[rows, answer] * kernel(q, self.keys[rows], self.beta)[0]
        return np.asarray(np.maximum(parts, 0), np.float64)

    def compact(self) -> Self:
        quantised = _Quantised.of(self)
        return replace(
            self,
            keys=quantised.keys.restored(),
            values=quantised.restored_values(),
            text=quantised.text.restored(),
            quantised=quantised,
        )

    def arrays(self) -> Arrays:
        if self.quantised is None:
            return {"keys": self.keys, "values": self.values, "text": self.text}
        values: Arrays = {"values": self.quantised.values, "values_scales": self.quantised.scales}
        return values | self.quantised.keys.arrays("keys") | self.quantised.text.arrays("text")

    def settings(self) -> Settings:
        return {"beta": self.beta}

    @classmethod
    def restore(cls, arrays: Arrays, settings: Mapping[str, float], background: Background | None) -> Self:
        (keys, key_rows), (text, text_rows) = (restored_rows(arrays, name) for name in ("keys", "text"))
        values = arrays["values"]
        if values.shape != (len(keys), len(text)) or keys.shape[1] != text.shape[1]:
            raise ValueError(f"keys {keys.shape}, values {values.shape} and text {text.shape} do not fit")
        quantised = None
        if key_rows is not None and text_rows is not None:
            scales = arrays["values_scales"].astype(np.float32)
            if scales.shape != keys.shape[:1]:
                raise ValueError(f"values_scales {scales.shape} do not fit values {values.shape}")
            quantised = _Quantised(key_rows, values.astype(np.int16), scales, text_rows)
        return cls(
            keys=keys,
            values=values.astype(np.float32) if quantised is None else quantised.restored_values(),
            text=text,
            beta=float(settings["beta"]),
            quantised=quantised,
        )


@dataclass(frozen=True, eq=False)
class _Quantised:
    """The matrices of a compact scorer.    values : (N, C) int16, of the scale (N,) of their row."""

    keys: CentredRows
    values: NDArray[np.int16]
    scales: NDArray[np.float32]
    text: CentredRows

    @classmethod
    def of(cls, scorer: KernelRidge) -> Self:
        largest = np.abs(scorer.values).max(axis=1)
        scales = (np.where(largest > 0, largest, 1) / _VALUE_LEVELS).astype(np.float32)
        values = np.rint(scorer.values / scales[:, None]).clip(-_VALUE_LEVELS, _VALUE_LEVELS)
        return cls(CentredRows.of(scorer.keys), values.astype(np.int16), scales, CentredRows.of(scorer.text))

    def restored_values(self) -> NDArray[np.float32]:
        return np.asarray(self.values * self.scales[:, None], np.float32)
