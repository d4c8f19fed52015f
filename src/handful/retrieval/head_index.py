"""A head's class rows as an index: which classes can be the best, without a look at each."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from handful.adapters.class_rows import ClassRows
from handful.errors import RetrievalError
from handful.retrieval.class_index import ClassIndex
from handful.rows import FloatArray, IntArray, Rows

Matrix = NDArray[np.float32]

_LEAST = 0.01  # share of the mean variance that every direction of a query has


@dataclass(frozen=True, eq=False)
class SearchedRows:
    """Rows and queries whose inner products are a head's scores, (C, D + 1) and (B, D + 1).

    A query is seen as pictures of anything vary, alike in all directions: x' = Σ^−½(x − μ) with the
    background's mean and covariance, and rows are seen the other way round, Σ^½ r. So the directions in which
    rows differ most are those that decide, in whichever metric the head compares. The last column adds what
    a class's score has beyond the product.
    """

    head: ClassRows

    @property
    def shape(self) -> tuple[int, int]:
        """C and D + 1."""
        return self.head.class_count, self.head.dimension + 1

    def __getitem__(self, part: slice) -> Matrix:
        rows = self.head.rows[part].astype(np.float64)
        mean, root, _ = self._space
        beyond = rows @ mean + self.head.shift[part]
        return np.concatenate([rows @ root, beyond[:, None]], axis=1).astype(np.float32)

    def queries(self, Q: Rows) -> Matrix:
        """(B, D + 1) of unit rows (B, D)."""
        mean, _, inverse = self._space
        seen = (self.head.drawn(Q) - mean) @ inverse
        return np.concatenate([seen, np.ones((len(Q), 1))], axis=1).astype(np.float32)

    @cached_property
    def _space(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """The background's mean, Σ^½ and Σ^−½."""
        background = self.head.background
        if background is None:
            same = np.eye(self.head.dimension)
            return np.zeros(self.head.dimension), same, same
        values, vectors = np.linalg.eigh(background.covariance)
        values = np.maximum(values, _LEAST * max(float(values.mean()), 1e-12))
        root = (vectors * np.sqrt(values)) @ vectors.T
        return background.mean, root, (vectors / np.sqrt(values)) @ vectors.T


class HeadIndex:
    """Candidates for the best classes of one head.

    Raises RetrievalError where the index in the folder is another's, or cannot be read.
    """

    def __init__(self, head: ClassRows, index: ClassIndex) -> None:
        self._rows = SearchedRows(head)
        if (index.positions, index.dimension) != self._rows.shape:
            raise RetrievalError(
                f"an index of {index.positions} rows of {index.dimension} columns does not fit a head of "
                f"{head.class_count} classes and {head.dimension} columns; build it from the head"
            )
        self._index = index

    @classmethod
    def build(
        cls,
        head: ClassRows,
        folder: Path,
        *,
        threads: int | None = None,
        progress: Callable[[int], object] = lambda count: None,
    ) -> Self:
        """Write the index of a head, and open it; see `ClassIndex.build`."""
        return cls(head, ClassIndex.build(SearchedRows(head), folder, threads=threads, progress=progress))

    @classmethod
    def open(cls, head: ClassRows, folder: Path, *, threads: int | None = None) -> Self:
        """The index of a head that was built there."""
        return cls(head, ClassIndex.open(folder, threads=threads))

    def candidates(self, Q: Rows, count: int) -> IntArray:
        """(B, min(count, C)) places of classes that score high, about the best first."""
        places, _ = self._index.search(self._rows.queries(Q), count)
        return places

    def close(self) -> None:
        """End its threads."""
        self._index.close()
