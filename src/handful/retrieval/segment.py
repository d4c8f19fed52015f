"""Rows of consecutive positions: a byte for each number, and codes to find candidates by."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np

from handful.errors import RetrievalError
from handful.retrieval.backend import faiss
from handful.retrieval.manifest import SegmentRecord, write_file
from handful.retrieval.rounding import Bytes, Matrix, Rounding
from handful.retrieval.sketch import Sketch
from handful.rows import IntArray

_LOOKED_AT = 4096  # rows that are scored together where every row is looked at


@dataclass(frozen=True, eq=False, kw_only=True)
class Segment:
    """values : (n, D + m).    scales : (n, 2); as the sketch's rounding gives them.

    codes : of faiss; None where every row is looked at.    growing : held while codes change, if they do.
    record : of its files; None where it is in memory only.
    """

    start: int
    values: Bytes
    scales: Matrix
    codes: "faiss.IndexIVFPQFastScan | None"
    growing: AbstractContextManager[object] = field(default_factory=nullcontext)
    record: SegmentRecord | None = None

    @property
    def count(self) -> int:
        """Rows n."""
        return len(self.scales)

    @classmethod
    def of(cls, start: int, values: Bytes, scales: Matrix, sketch: Sketch) -> Self:
        """In memory, with codes, of rows that were rounded before."""
        return cls(start=start, values=values, scales=scales, codes=sketch.coded(values, scales))

    def candidates(
        self, asked: Matrix, cells: IntArray, nearness: Matrix, count: int
    ) -> tuple[IntArray, Matrix]:
        """(B, ≤ count) positions, −1 for none, and about their scores: by the codes in these cells."""
        assert self.codes is not None
        with self.growing:
            about, found = self.codes.search_preassigned(asked, min(count, self.count), cells, nearness)
        there = (found >= 0) & (found < self.count)  # codes may have grown, or be damaged
        return np.where(there, found + self.start, -1), np.where(there, about, -np.inf).astype(np.float32)

    def nearest(self, asked: Matrix, count: int, rounding: Rounding) -> tuple[IntArray, Matrix]:
        """(B, ≤ count) positions and products of all rows, best first; `asked` is of the rounding."""
        positions = np.zeros((len(asked), 0), np.int64)
        scores = np.zeros((len(asked), 0), np.float32)
        for at in range(0, self.count, _LOOKED_AT):
            part = slice(at, at + _LOOKED_AT)
            said = rounding.products(asked, self.values[part], self.scales[part])
            own = np.broadcast_to(np.arange(said.shape[1]) + (at + self.start), said.shape)
            positions, scores = best(
                np.concatenate([positions, own], axis=1), np.concatenate([scores, said], axis=1), count
            )
        return positions, scores

    def write(self, folder: Path) -> SegmentRecord:
        """Its files, through to the disk."""
        place = f"{self.start:010d}"
        codes = self.codes
        return SegmentRecord(
            start=self.start,
            count=self.count,
            values=write_file(folder, f"values-{place}", ".npy", lambda path: np.save(path, self.values)),
            scales=write_file(folder, f"scales-{place}", ".npy", lambda path: np.save(path, self.scales)),
            codes=None
            if codes is None
            else write_file(
                folder, f"codes-{place}", ".faiss", lambda path: faiss.write_index(codes, str(path))
            ),
        )

    @classmethod
    def open(cls, folder: Path, record: SegmentRecord, sketch: Sketch) -> Self:
        """Mapped into memory, not read. Raises RetrievalError."""
        try:
            values = np.load(folder / record.values.name, mmap_mode="r", allow_pickle=False)
            scales = np.load(folder / record.scales.name, mmap_mode="r", allow_pickle=False)
            if values.shape != (record.count, sketch.rounding.width) or values.dtype != np.int8:
                raise ValueError(f"rows are {values.dtype} of shape {values.shape}")
            if scales.shape != (record.count, 2) or scales.dtype != np.float32:
                raise ValueError(f"scales are {scales.dtype} of shape {scales.shape}")
            codes = None if record.codes is None else _mapped(folder / record.codes.name, sketch.probes)
            if (codes is None) != (sketch.basis is None):
                raise ValueError("codes and sketch do not fit")
            if codes is not None and codes.ntotal != record.count:
                raise ValueError(f"there are codes of {codes.ntotal} rows, and {record.count} rows")
        except (OSError, ValueError, RuntimeError) as exc:
            raise RetrievalError(
                f"the rows from {record.start} on of the index in {folder} cannot be read ({exc}); build the "
                "index again from its rows"
            ) from None
        return cls(start=record.start, values=values, scales=scales, codes=codes, record=record)


def joined(segments: list[Segment], sketch: Sketch) -> Segment:
    """Segments that follow each other as one, in memory."""
    return Segment.of(
        segments[0].start,
        np.concatenate([one.values for one in segments]),
        np.concatenate([one.scales for one in segments]),
        sketch,
    )


def best(positions: IntArray, scores: Matrix, count: int) -> tuple[IntArray, Matrix]:
    """(B, ≤ count) of the highest scores, best first, of equal ones the first position."""
    if scores.shape[1] > count:
        some = np.argpartition(-scores, count - 1, axis=1)[:, :count]
        positions = np.take_along_axis(positions, some, axis=1)
        scores = np.take_along_axis(scores, some, axis=1)
    order = np.lexsort((positions, -scores), axis=1)
    return np.take_along_axis(positions, order, axis=1), np.take_along_axis(scores, order, axis=1)


def _mapped(path: Path, probes: int) -> "faiss.IndexIVFPQFastScan":
    codes = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
    if not isinstance(codes, faiss.IndexIVFPQFastScan):
        raise ValueError(f"{path.name} holds a {type(codes).__name__}")
    codes.nprobe = probes
    return codes
