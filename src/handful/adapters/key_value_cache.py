"""The KV cache of Tip-Adapter as a scorer: support rows as keys, their labels as values."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from handful.adapters.centred_rows import CentredRows, restored_rows
from handful.adapters.scorer import Settings
from handful.background import Background
from handful.rows import FloatArray, IntArray, Rows
from handful.tensors import Arrays

Number = TypeVar("Number", bound=np.floating)

_BLOCK = 4_000_000  # kernel values held at a time, 16 MB


def kernel(Q: NDArray[Number], keys: NDArray[Number], beta: float) -> NDArray[Number]:
    """exp(−β(1 − q·k)), (B, N): the affinity of Tip-Adapter (Zhang et al., ECCV 2022, §3.1)."""
    products = Q @ keys.T
    products -= products.dtype.type(1)
    products *= products.dtype.type(beta)
    return np.exp(products, out=products)


def kernel_blocks(count: int, keys: int) -> Iterator[slice]:
    """Slices of `count` rows, such that no block of the kernel is large."""
    step = max(_BLOCK // max(keys, 1), 1)
    return (slice(first, first + step) for first in range(0, count, step))


@dataclass(frozen=True, eq=False)
class ClassOrder:
    """Rows brought into the order of their classes, so that a class's sum is one run.

    order : (N,) row of each place.    present : (P,) the classes that have rows.    starts : (P,).
    """

    order: IntArray
    present: IntArray
    starts: IntArray
    class_count: int

    @classmethod
    def of(cls, labels: IntArray, class_count: int) -> Self:
        """From labels (N,)."""
        order = np.argsort(labels, kind="stable")
        present, starts = np.unique(labels[order], return_index=True)
        return cls(order, present, starts, class_count)

    def sums(self, values: NDArray[np.float32]) -> FloatArray:
        """(B, C) sums by class of values (B, N) whose columns are in `order`."""
        sums = np.zeros((len(values), self.class_count))
        if len(self.present):
            sums[:, self.present] = np.add.reduceat(values, self.starts, axis=1)
        return sums


@dataclass(frozen=True, kw_only=True, eq=False)
class KeyValueCache:
    """scores = offsets + Q·textᵀ + weights ∘ (sum of each class's kernel values).

    keys : (N, D), a row of the support each (trained ones need not have unit length).    labels : (N,).
    beta : sharpness of the kernel.    weights : (C,), what a class's sum counts for.
    text : (C, D) text rows with their scale in them, or None.    offsets : (C,).

    Typicality is the largest score.
    """

    keys: NDArray[np.float32]
    labels: IntArray
    beta: float
    weights: FloatArray
    offsets: FloatArray
    text: NDArray[np.float32] | None = None
    quantised: tuple[CentredRows, CentredRows | None] | None = None

    kind: ClassVar[str] = "key-value-cache"

    @property
    def dimension(self) -> int:
        return int(self.keys.shape[1])

    @property
    def class_count(self) -> int:
        return len(self.weights)

    @property
    def key_count(self) -> int:
        return len(self.keys)

    @property
    def needs_background(self) -> bool:
        return False

    @cached_property
    def class_order(self) -> ClassOrder:
        """The keys by class."""
        return ClassOrder.of(self.labels, self.class_count)

    @cached_property
    def _ordered_keys(self) -> NDArray[np.float32]:
        return np.ascontiguousarray(self.keys[self.class_order.order])

    def scores(self, Q: Rows) -> FloatArray:
        scores = np.empty((len(Q), self.class_count))
        for block in kernel_blocks(len(Q), len(self.keys)):
            affinities = kernel(Q[block], self._ordered_keys, self.beta)
            scores[block] = self.class_order.sums(affinities)
        scores *= self.weights
        scores += self.offsets
        if self.text is not None:
            scores += Q @ self.text.T
        return scores

    def typicality(self, Q: Rows, scores: FloatArray) -> FloatArray:
        return np.asarray(scores.max(axis=1))

    def judged(self, Q: Rows) -> tuple[FloatArray, FloatArray]:
        scores = self.scores(Q)
        return scores, self.typicality(Q, scores)

    def affinity(self, q: Rows, X: Rows, rows: IntArray) -> FloatArray:
        """The kernel values themselves: a shot's part of its class's sum. Keys stand in the shots' order."""
        return np.asarray(kernel(q, self.keys[rows], self.beta)[0], np.float64)

    def compact(self) -> Self:
        keys = CentredRows.of(self.keys)
        text = None if self.text is None else CentredRows.of(self.text)
        return replace(
            self,
            keys=keys.restored(),
            text=None if text is None else text.restored(),
            weights=self.weights.astype(np.float32).astype(np.float64),
            offsets=self.offsets.astype(np.float32).astype(np.float64),
            quantised=(keys, text),
        )

    def arrays(self) -> Arrays:
        labels = self.labels.astype(np.min_scalar_type(max(self.class_count - 1, 0)))
        arrays: Arrays = {"labels": labels, "weights": self.weights, "offsets": self.offsets}
        if self.quantised is None:
            arrays["keys"] = self.keys
            if self.text is not None:
                arrays["text"] = self.text
            return arrays
        keys, text = self.quantised
        arrays |= keys.arrays("keys")
        arrays |= {"weights": self.weights.astype(np.float32), "offsets": self.offsets.astype(np.float32)}
        return arrays if text is None else arrays | text.arrays("text")

    def settings(self) -> Settings:
        return {"beta": self.beta}

    @classmethod
    def restore(cls, arrays: Arrays, settings: Mapping[str, float], background: Background | None) -> Self:
        keys, key_rows = restored_rows(arrays, "keys")
        labels, weights, offsets = arrays["labels"].astype(np.int64), arrays["weights"], arrays["offsets"]
        text, text_rows = None, None
        if "text" in arrays:
            text, text_rows = restored_rows(arrays, "text")
        if labels.shape != keys.shape[:1] or weights.ndim != 1 or offsets.shape != weights.shape:
            raise ValueError(f"keys {keys.shape}, labels {labels.shape}, weights {weights.shape} do not fit")
        if text is not None and text.shape != (len(weights), keys.shape[1]):
            raise ValueError(f"text {text.shape} does not fit {len(weights)} classes of {keys.shape} keys")
        if ((labels < 0) | (labels >= len(weights))).any():
            raise ValueError(f"labels reach outside 0 to {len(weights) - 1}")
        return cls(
            keys=keys,
            labels=labels,
            beta=float(settings["beta"]),
            weights=weights.astype(np.float64),
            offsets=offsets.astype(np.float64),
            text=text,
            quantised=None if key_rows is None else (key_rows, text_rows),
        )
