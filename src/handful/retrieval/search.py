"""One search: the rows as they stand at its beginning, whatever is added or removed meanwhile."""

from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from handful.errors import RetrievalError
from handful.retrieval.rounding import Bytes, Matrix
from handful.retrieval.segment import Segment, best
from handful.retrieval.sketch import Sketch
from handful.rows import BoolArray, IntArray

_PER_ANSWER = 4  # candidates for each row asked for, beside those for all


@dataclass(frozen=True, eq=False)
class Search:
    """segments : one after the other.    removed : (≥ positions,).    gone : how many these are."""

    sketch: Sketch
    segments: tuple[Segment, ...]
    removed: BoolArray
    gone: int

    @cached_property
    def positions(self) -> int:
        """Positions given so far."""
        return sum(one.count for one in self.segments)

    @cached_property
    def _starts(self) -> IntArray:
        return np.array([one.start for one in self.segments], np.int64)

    def nearest(self, Q: Matrix, k: int) -> tuple[IntArray, Matrix]:
        """(B, k) positions and scores after a look at every row; k of them are not removed."""
        asked = self.sketch.rounding.asked(Q)
        said = [one.nearest(asked, k + self.gone, self.sketch.rounding) for one in self.segments]
        positions = np.concatenate([own for own, _ in said], axis=1)
        scores = np.concatenate([own for _, own in said], axis=1)
        scores[self.removed[positions]] = -np.inf
        positions, scores = best(positions, scores, k)
        return positions, scores + self.sketch.rounding.above(Q)

    def found(self, Q: Matrix, k: int, candidates: int, pool: Executor) -> tuple[IntArray, Matrix]:
        """(B, k) positions and scores, of candidates scored exactly; k rows are not removed."""
        asked = self.sketch.asked(Q)
        cells, nearness = self.sketch.nearest_cells(Q, asked)
        share = self.positions / max(self.positions - self.gone, 1)
        wanted = min(int((candidates + _PER_ANSWER * k) * share), self.positions)
        positions, about = self._candidates(asked, cells, nearness, wanted, pool)
        about[(positions < 0) | self.removed[positions]] = -np.inf
        if (np.isfinite(about).sum(axis=1) < k).any():  # all that was near is removed
            return self.nearest(Q, k)
        said = np.full(about.shape, -np.inf, np.float32)
        finely = self.sketch.rounding.asked(Q)
        for at, (row, there) in enumerate(zip(positions, np.isfinite(about), strict=True)):
            said[at, there] = self.sketch.rounding.products(finely[at : at + 1], *self.taken(row[there]))[0]
        positions, said = best(positions, said, k)
        return positions, said + self.sketch.rounding.above(Q)

    def taken(self, positions: IntArray) -> tuple[Bytes, Matrix]:
        """Values (n, D + m) and scales (n, 2) of rows by position."""
        values = np.empty((len(positions), self.sketch.rounding.width), np.int8)
        scales = np.empty((len(positions), 2), np.float32)
        places = np.searchsorted(self._starts, positions, side="right") - 1
        for place in np.unique(places).tolist():
            segment = self.segments[place]
            own = places == place
            local = positions[own] - segment.start
            values[own], scales[own] = segment.values[local], segment.scales[local]
        return values, scales

    def _candidates(
        self, asked: Matrix, cells: IntArray, nearness: Matrix, count: int, pool: Executor
    ) -> tuple[IntArray, Matrix]:
        def of(segment: Segment) -> tuple[IntArray, Matrix]:
            return segment.candidates(asked, cells, nearness, count)

        said = list(pool.map(of, self.segments))
        positions = np.concatenate([own for own, _ in said], axis=1)
        about = np.concatenate([own for _, own in said], axis=1)
        if positions.shape[1] > count:
            some = np.argpartition(-about, count - 1, axis=1)[:, :count]
            positions, about = np.take_along_axis(positions, some, 1), np.take_along_axis(about, some, 1)
        return positions, about


def given(positions: ArrayLike, count: int) -> IntArray:
    """(n,) int64. Raises RetrievalError for what are no positions below `count`."""
    chosen: NDArray[np.generic] = np.atleast_1d(np.asarray(positions))
    if chosen.ndim != 1 or (chosen.dtype.kind not in "iu" and chosen.size):
        raise RetrievalError(f"positions are whole numbers (n,), not {chosen.dtype} of shape {chosen.shape}")
    whole = chosen.astype(np.int64)
    if ((whole < 0) | (whole >= count)).any():
        bad = whole[(whole < 0) | (whole >= count)][0]
        raise RetrievalError(f"there is no position {bad}; the index gave those from 0 to {count - 1}")
    return whole
