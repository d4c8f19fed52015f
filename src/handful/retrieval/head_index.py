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
from handful.retrieval.marks import RowMarks
from handful.rows import FloatArray, IntArray, Rows

Matrix = NDArray[np.float32]

_NONE: IntArray = np.zeros(0, np.int64)
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

    places : (positions,) the class of each row of the index, -1 for one that is gone; None: in order.
    fresh : (F,) classes whose rows the index has not; they are always candidates.
    """

    def __init__(
        self, head: ClassRows, index: ClassIndex, places: IntArray | None = None, fresh: IntArray = _NONE
    ) -> None:
        self._rows = SearchedRows(head)
        self._index = index
        self._places = places
        self.fresh = fresh
        self._filling = _NONE if places is None else places[places >= 0]

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
        index = ClassIndex.build(SearchedRows(head), folder, threads=threads, progress=progress)
        RowMarks.of(head).write(folder)
        return cls(head, index)

    @classmethod
    def open(cls, head: ClassRows, folder: Path, *, threads: int | None = None) -> Self:
        """The index of a head that was built there.

        Raises RetrievalError where it is another's, or cannot be read.
        """
        index = ClassIndex.open(folder, threads=threads)
        shape = SearchedRows(head).shape
        if (index.positions, index.dimension) != shape:
            raise RetrievalError(
                f"an index of {index.positions} rows of {index.dimension} columns does not fit a head of "
                f"{head.class_count} classes and {head.dimension} columns; build it from the head"
            )
        return cls(head, index)

    @classmethod
    def follow(cls, head: ClassRows, folder: Path, *, most: int, threads: int | None = None) -> Self:
        """The index of an earlier head, for one of mostly the same rows.

        most : rows that are other ones, or gone. Raises RetrievalError where there are more, and as `open`.
        """
        before, now = RowMarks.read(folder), RowMarks.of(head)
        of_class = now.places_in(before)
        held = of_class >= 0
        fresh = np.flatnonzero(~held)
        gone = len(before.own) - int(held.sum())
        if max(len(fresh), gone) > most or not held.any():
            raise RetrievalError(
                f"of {head.class_count} classes {len(fresh)} are not in the index {folder}, {gone} of its "
                f"rows are gone, over {most}; build it from the head"
            )
        index = ClassIndex.open(folder, threads=threads)
        if (index.positions, index.dimension) != (len(before.own), head.dimension + 1):
            raise RetrievalError(f"the marks of the index {folder} are another's; build it from the head")
        places = np.full(len(before.own), -1, np.int64)
        places[of_class[held]] = np.flatnonzero(held)
        return cls(head, index, places, fresh)

    def candidates(self, Q: Rows, count: int) -> IntArray:
        """(B, K) places of classes that score high, about the best first, then those that are fresh.

        K : count and the number of the fresh, or all classes.
        """
        found, _ = self._index.search(self._rows.queries(Q), count)
        if self._places is None:
            return found
        width = min(found.shape[1], len(self._filling))
        known = np.stack([self._filled(own, width) for own in self._places[found]])
        return np.concatenate([known, np.repeat(self.fresh[None], len(Q), axis=0)], axis=1)

    def _filled(self, places: IntArray, width: int) -> IntArray:
        """Any classes in the place of those that are gone."""
        there = places[places >= 0][:width]
        if len(there) == width:
            return there
        others = np.setdiff1d(self._filling[: 2 * width], there)
        return np.concatenate([there, others[: width - len(there)]])

    def close(self) -> None:
        """End its threads."""
        self._index.close()
