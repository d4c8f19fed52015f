"""Rows that were added since the last segment: in memory, growing."""

from threading import Lock
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from handful.retrieval.rounding import Matrix
from handful.retrieval.segment import Segment
from handful.retrieval.sketch import Sketch

Item = TypeVar("Item", bound=np.generic)

_FIRST = 256  # rows that room is made for


class Tail:
    """Rows from position `start` on. One thread adds at a time; others look at what `segment` gave."""

    def __init__(self, start: int, sketch: Sketch) -> None:
        self.start = start
        self.count = 0
        self._sketch = sketch
        self._values = np.empty((_FIRST, sketch.rounding.width), np.int8)
        self._scales = np.empty((_FIRST, 2), np.float32)
        self._codes = sketch.empty()
        self._coding = Lock()  # faiss does not search codes while they grow

    def add(self, rows: Matrix) -> None:
        """Append rows (n, D)."""
        values, scales = self._sketch.rounding.of(rows)
        end = self.count + len(rows)
        if end > len(self._scales):
            room = max(2 * len(self._scales), end)
            self._values = _grown(self._values, self.count, room)
            self._scales = _grown(self._scales, self.count, room)
        self._values[self.count : end], self._scales[self.count : end] = values, scales
        if self._codes is not None:
            with self._coding:
                self._codes.add(self._sketch.seen(values, scales))
        self.count = end

    def segment(self) -> Segment:
        """What is there now. Its codes may grow, and then name rows that it does not hold."""
        return Segment(
            start=self.start,
            values=self._values[: self.count],
            scales=self._scales[: self.count],
            codes=self._codes,
            growing=self._coding,
        )


def _grown(array: NDArray[Item], count: int, room: int) -> NDArray[Item]:
    larger = np.empty((room, *array.shape[1:]), array.dtype)
    larger[:count] = array[:count]
    return larger
