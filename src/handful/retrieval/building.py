"""Building an index: a sketch of a sample, then segment after segment, each whole before the next."""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from handful.errors import RetrievalError
from handful.folders import make_folder
from handful.retrieval.manifest import DRAFT, Manifest, write_file
from handful.retrieval.rounding import Matrix
from handful.retrieval.segment import Segment
from handful.retrieval.sketch import SAMPLE, Sketch

_BLOCK = 16_384  # rows that are rounded together
_EMPTY = "there are no rows to build an index of; give at least one"
_RUNS = 64  # places that a sample is taken from, of rows that are made as they are asked for


@runtime_checkable
class RowSource(Protocol):
    """Rows (N, D) asked for in slices: an array, a memmap, or what makes them."""

    @property
    def shape(self) -> tuple[int, ...]:
        """N and D."""
        ...

    def __getitem__(self, part: slice, /) -> NDArray[np.floating]:
        """Rows of a slice."""
        ...


def build(
    rows: RowSource | Iterable[NDArray[np.floating]],
    folder: Path,
    segment_rows: int,
    progress: Callable[[int], object],
) -> None:
    """Write an index, or go on where the build was cut off; see `ClassIndex.build`."""
    make_folder(folder)
    given = _Sliced(rows) if isinstance(rows, RowSource) else _Streamed(rows)
    manifest = _begun(folder, segment_rows)
    if manifest is None:
        sample, count = given.sample(segment_rows)
        sketch = Sketch.learn(sample, count)
        data = sketch.to_bytes()
        manifest = Manifest(
            dimension=sketch.dimension,
            segment_rows=segment_rows,
            sketch=write_file(folder, "sketch", ".safetensors", lambda path: path.write_bytes(data)),
        )
        manifest.write(folder, DRAFT)
    else:
        sketch = Sketch.from_bytes((folder / manifest.sketch.name).read_bytes())
    blocks = _checked(given.blocks(max(manifest.count - 1, 0)), sketch.dimension)
    if manifest.segments:
        blocks = _going_on(blocks, Segment.open(folder, manifest.segments[-1], sketch), sketch)
    progress(manifest.count)
    for segment in _segments(blocks, manifest.count, segment_rows, sketch):
        if segment is not None:
            written = (*manifest.segments, segment.write(folder))
            manifest = manifest.model_copy(update={"segments": written})
            manifest.write(folder, DRAFT)
        progress(manifest.count)
    manifest.write(folder)
    manifest.sweep(folder)


def as_matrix(rows: ArrayLike, dimension: int | None = None) -> Matrix:
    """(n, D) float32. Raises RetrievalError for what is no matrix of finite numbers of D columns."""
    matrix = np.asarray(rows)
    if matrix.ndim != 2 or matrix.dtype.kind not in "fiu" or dimension not in (None, matrix.shape[1]):
        wanted = "(n, D)" if dimension is None else f"(n, {dimension})"
        raise RetrievalError(
            f"rows of an index are numbers {wanted}, not {matrix.dtype} of shape {matrix.shape}"
        )
    matrix = np.ascontiguousarray(matrix, np.float32)
    if not np.isfinite(matrix).all():
        bad = int(np.flatnonzero(~np.isfinite(matrix).all(axis=1))[0])
        raise RetrievalError(f"row {bad} holds numbers that are not finite; rows of an index are finite")
    return matrix


class _Sliced:
    def __init__(self, rows: RowSource) -> None:
        self._rows = rows

    def sample(self, segment_rows: int) -> tuple[Matrix, int]:
        """Rows from everywhere, and how many there are."""
        count = self._rows.shape[0]
        if not count:
            raise RetrievalError(_EMPTY)
        if count <= SAMPLE:
            return as_matrix(self._rows[0:count]), count
        if isinstance(self._rows, np.ndarray):
            chosen = np.sort(np.random.default_rng(0).choice(count, SAMPLE, replace=False))
            return as_matrix(self._rows[chosen]), count
        starts = np.linspace(0, count - SAMPLE // _RUNS, _RUNS).astype(int).tolist()
        return np.concatenate([as_matrix(self._rows[at : at + SAMPLE // _RUNS]) for at in starts]), count

    def blocks(self, start: int) -> Iterator[NDArray[np.floating]]:
        """Rows from a position on."""
        for at in range(start, self._rows.shape[0], _BLOCK):
            yield self._rows[at : at + _BLOCK]


class _Streamed:
    def __init__(self, blocks: Iterable[NDArray[np.floating]]) -> None:
        self._blocks = iter(blocks)
        self._read: list[Matrix] = []

    def sample(self, segment_rows: int) -> tuple[Matrix, int]:
        """Of the first segment's rows, and how many these are."""
        count = 0
        for block in self._blocks:
            self._read.append(as_matrix(block))
            count += len(block)
            if count >= segment_rows:
                break
        if not count:
            raise RetrievalError(_EMPTY)
        rows = np.concatenate(self._read)
        self._read = [rows]
        return rows[:: -(-count // SAMPLE)], count

    def blocks(self, start: int) -> Iterator[NDArray[np.floating]]:
        """Rows from a position on."""
        read, self._read = self._read, []
        for block in chain(read, self._blocks):
            if start < len(block):
                yield block[start:]
            start = max(start - len(block), 0)


def _begun(folder: Path, segment_rows: int) -> Manifest | None:
    """What an earlier build left, as far as it can be used."""
    try:
        manifest = Manifest.read(folder, DRAFT)
    except RetrievalError:  # there was none, or nothing can be made of what it left
        return None
    return manifest if manifest.segment_rows == segment_rows else None


def _checked(blocks: Iterator[NDArray[np.floating]], dimension: int) -> Iterator[Matrix]:
    for block in blocks:
        for at in range(0, len(block), _BLOCK):
            yield as_matrix(block[at : at + _BLOCK], dimension)


def _going_on(blocks: Iterator[Matrix], last: Segment, sketch: Sketch) -> Iterator[Matrix]:
    """Blocks after their first row, which is the last that was written. Raises RetrievalError otherwise."""
    block = next(blocks, np.zeros((0, sketch.dimension), np.float32))
    if not len(block) or not np.array_equal(sketch.rounding.of(block[:1])[0][0], last.values[-1]):
        raise RetrievalError(
            "a build of other rows was begun in this folder; delete the folder, or give the rows of then"
        )
    return chain([block[1:]], blocks)


def _segments(
    blocks: Iterator[Matrix], start: int, segment_rows: int, sketch: Sketch
) -> Iterator[Segment | None]:
    """Each when its rows are together; None after blocks that complete none."""
    values = np.empty((segment_rows, sketch.rounding.width), np.int8)
    scales = np.empty((segment_rows, 2), np.float32)
    filled = 0
    for block in blocks:
        at = 0
        while at < len(block):
            taken = block[at : at + segment_rows - filled]
            count = len(taken)
            own = slice(filled, filled + count)
            values[own], scales[own] = sketch.rounding.of(taken)
            filled += count
            at += count
            if filled == segment_rows:
                yield Segment.of(start, values, scales, sketch)
                start += filled
                filled = 0
            else:
                yield None
    if filled:
        yield Segment.of(start, values[:filled], scales[:filled], sketch)
