"""Marks of a head's rows, by which an index of an earlier head tells which of them it holds."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from handful.adapters.class_rows import ClassRows
from handful.errors import RetrievalError
from handful.rows import IntArray

Marks = NDArray[np.uint64]

_FILE = "marks.npy"
_TOGETHER = 65_536  # rows


@dataclass(frozen=True, eq=False)
class RowMarks:
    """own : (C,) of each class's row and offset, a hash of 64 bits.    space : of all that they share."""

    own: Marks
    space: int

    @classmethod
    def of(cls, head: ClassRows) -> Self:
        """Of a compact head, whose numbers are the same in every process."""
        numbers: list[NDArray[np.generic]] = [head.rows]
        shared = [head.centre, np.array([head.pull])]
        if head.quantised is not None:  # the same rows in a quarter of the bytes
            deviations = head.quantised.deviations
            numbers = [deviations.values, deviations.scales[:, None]]
            shared.append(head.quantised.centre)
        if head.background is not None:
            shared.append(head.background.mean)
        numbers.append(head.offsets.astype(np.float32)[:, None])
        parts = [
            _hashed(*(one[at : at + _TOGETHER] for one in numbers))
            for at in range(0, head.class_count, _TOGETHER)
        ]
        space = _hashed(np.concatenate(shared).astype(np.float32)[None])
        return cls(np.concatenate(parts), int(space[0]))

    def write(self, folder: Path) -> None:
        """Beside an index that was built of the rows."""
        np.save(folder / _FILE, np.append(self.own, np.uint64(self.space)))

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Raises RetrievalError where there are none."""
        try:
            told = np.load(folder / _FILE, allow_pickle=False)
        except (OSError, ValueError, EOFError) as exc:
            raise RetrievalError(f"the marks of the index {folder} cannot be read: {exc}") from None
        if told.ndim != 1 or told.dtype != np.uint64 or not len(told):
            raise RetrievalError(f"the marks of the index {folder} are damaged; build it again")
        return cls(told[:-1], int(told[-1]))

    def places_in(self, other: "RowMarks") -> IntArray:
        """(C,) where each row stands among those of another head, -1 for none; no place twice."""
        places = np.full(len(self.own), -1, np.int64)
        if self.space != other.space or not len(other.own):
            return places
        order = np.argsort(other.own, kind="stable")
        there = other.own[order]
        at = np.minimum(np.searchsorted(there, self.own), len(there) - 1)
        alike = there[at] == self.own
        places[alike] = order[at[alike]]
        _, first = np.unique(other.own[places[alike]], return_index=True)  # of rows that are equal, one
        once = np.zeros(int(alike.sum()), bool)
        once[first] = True
        places[np.flatnonzero(alike)[~once]] = -1
        return places


def _hashed(*parts: NDArray[np.generic]) -> Marks:
    """(n,) the words of each row times fixed odd numbers, summed; the high half stirred into the low.

    parts : (n, any) numbers, whose bytes are hashed.
    """
    told = [np.ascontiguousarray(part).view(np.uint8) for part in parts]
    width = sum(part.shape[1] for part in told)
    told.append(np.zeros((len(told[0]), -width % 8), np.uint8))
    words = np.ascontiguousarray(np.concatenate(told, axis=1)).view(np.uint64)
    factors = np.random.default_rng(0).integers(0, 2**63, words.shape[1], np.uint64) * np.uint64(2)
    sums = (words * (factors + np.uint64(1))).sum(axis=1, dtype=np.uint64)
    return np.asarray((sums ^ (sums >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9))
