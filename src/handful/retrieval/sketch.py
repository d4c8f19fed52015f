"""A coarse picture of rows: few columns, cells that near rows share, and a code of half a byte a column."""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from handful.errors import HeadError, RetrievalError
from handful.retrieval.backend import faiss
from handful.retrieval.rounding import Bytes, Matrix, Rounding
from handful.tensors import Arrays, pack, unpack

FEW = 4096  # rows up to which each is looked at: nothing is faster
SAMPLE = 262_144  # rows that a sketch learns from, at most
_VERSION = 1
_LEFT_OUT = 0.08  # of the variance of rows, at most, by the columns of a sketch
_COLUMNS = 32  # their number is a multiple of it
_FINE = 128  # directions in which rows are kept more exactly
_MOST_CELLS = 4096
_PROBES = 128
_ROWS_PER_CELL = 40  # of the sample, to place its centre by
_ROUNDS = 8  # of k-means
_CODED = 65_536  # rows that the levels of codes are learnt from
_BITS = 4
_CODED_TOGETHER = 1024  # rows; their products with cells stay in the processor's caches


@dataclass(frozen=True, eq=False)
class Sketch:
    """mean : (D,) of rows.    basis : (D, d) orthonormal, the directions in which rows vary most.

    cells : (c, d) centres of k-means.    promise : (c,) what the best row of a cell has beyond its centre.
    blank : faiss's inverted file of codes without a row, serialised.
    Without a basis there are few rows, and each is looked at.    fine : of the rounding.

    A code says of each of the d columns in which of 16 intervals it lies: a product quantiser whose parts are
    one column wide (Jégou, Douze & Schmid, TPAMI 2011), scanned in registers (André, Kermarrec &
    Le Scouarnec, VLDB 2015).
    """

    mean: Matrix
    fine: Matrix
    basis: Matrix | None = None
    cells: Matrix | None = None
    promise: Matrix | None = None
    blank: NDArray[np.uint8] | None = None

    @property
    def dimension(self) -> int:
        """Columns D of the rows."""
        return len(self.mean)

    @classmethod
    def learn(cls, sample: Matrix, count: int) -> Self:
        """From a sample (n, D) of `count` rows, n ≤ count."""
        mean = sample.mean(axis=0, dtype=np.float64).astype(np.float32)
        if count <= FEW:
            return cls(mean, np.zeros((len(mean), 0), np.float32))
        centred = sample - mean
        basis = _directions(centred)
        seen = np.ascontiguousarray(centred @ basis)
        cells = _cells(seen, count)
        columns = seen.shape[1]
        quantiser = faiss.IndexFlatL2(columns)
        quantiser.add(cells)
        plain = faiss.IndexIVFPQ(quantiser, columns, len(cells), columns, _BITS, faiss.METRIC_INNER_PRODUCT)
        plain.by_residual = False
        plain.train(seen[:: max(len(seen) // _CODED, 1)])
        return cls(
            mean,
            _fine(mean, basis),
            basis,
            cells,
            _promise(sample, seen, cells),
            faiss.serialize_index(plain),
        )

    @property
    def probes(self) -> int:
        """Cells that are searched for a query."""
        return 1 if self.cells is None else min(_PROBES, len(self.cells))

    @cached_property
    def rounding(self) -> Rounding:
        """How rows are kept."""
        return Rounding(self.mean, self.fine)

    def coded(self, values: Bytes, scales: Matrix) -> "faiss.IndexIVFPQFastScan | None":
        """Codes of rows as they are kept; None where every row is looked at."""
        if self.blank is None or self.cells is None:
            return None
        plain = faiss.deserialize_index(self.blank)
        for at in range(0, len(scales), _CODED_TOGETHER):
            part = slice(at, at + _CODED_TOGETHER)
            seen = self.seen(values[part], scales[part])
            nearest = _nearest(seen, self.cells)
            plain.add_core(len(seen), faiss.swig_ptr(seen), None, faiss.swig_ptr(nearest))
        return self._fast(plain)

    def _fast(self, plain: "faiss.IndexIVFPQ") -> "faiss.IndexIVFPQFastScan":
        """The same codes in blocks that are scanned in registers; with all of its parts its own."""
        codes = faiss.deserialize_index(faiss.serialize_index(faiss.IndexIVFPQFastScan(plain)))
        codes.nprobe = self.probes
        return codes

    def seen(self, values: Bytes, scales: Matrix) -> Matrix:
        """(n, d) of rows as they are kept."""
        assert self.basis is not None
        return np.ascontiguousarray(self.rounding.deviations(values, scales) @ self.basis)

    def asked(self, Q: Matrix) -> Matrix:
        """(B, d) of queries (B, D): what of them meets the basis."""
        assert self.basis is not None
        return np.asarray(Q @ self.basis, np.float32)

    def nearest_cells(self, Q: Matrix, asked: Matrix) -> tuple[NDArray[np.int64], Matrix]:
        """(B, p) cells that promise the best rows to queries (B, D), and their centres' inner products."""
        assert self.cells is not None
        products = asked @ self.cells.T
        promised = products + np.linalg.norm(Q, axis=1, keepdims=True) * self.promise
        some = np.argpartition(-promised, self.probes - 1, axis=1)[:, : self.probes]
        return some.astype(np.int64), np.take_along_axis(products, some, axis=1)

    def empty(self) -> "faiss.IndexIVFPQFastScan | None":
        """Codes of no row yet, to add to; None where every row is looked at."""
        return None if self.blank is None else self._fast(faiss.deserialize_index(self.blank))

    def to_bytes(self) -> bytes:
        """Safetensors."""
        arrays: Arrays = {"mean": self.mean, "fine": self.fine}
        learnt = {"basis": self.basis, "cells": self.cells, "promise": self.promise, "blank": self.blank}
        arrays |= {name: array for name, array in learnt.items() if array is not None}
        return pack("class-sketch", _VERSION, arrays, {})

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` wrote. Raises RetrievalError."""
        try:
            arrays, _ = unpack("class-sketch", _VERSION, data)
            mean, fine = arrays["mean"].astype(np.float32), arrays["fine"].astype(np.float32)
            if fine.ndim != 2 or len(fine) != len(mean):
                raise ValueError(f"a mean {mean.shape} and fine directions {fine.shape} do not fit")
            if "blank" not in arrays:
                return cls(mean, fine)
            basis, cells = arrays["basis"].astype(np.float32), arrays["cells"].astype(np.float32)
            promise = arrays["promise"].astype(np.float32)
            if basis.shape != (len(mean), cells.shape[1]) or promise.shape != cells.shape[:1]:
                raise ValueError(
                    f"a basis {basis.shape}, cells {cells.shape} and promises {promise.shape} do not fit"
                )
            return cls(mean, fine, basis, cells, promise, arrays["blank"].astype(np.uint8))
        except (HeadError, KeyError, ValueError, IndexError) as exc:
            raise RetrievalError(f"the sketch of an index cannot be read: {exc}") from None


def _nearest(seen: Matrix, cells: Matrix) -> NDArray[np.int64]:
    """(n,) the cell of each row. NumPy is three times as fast at it as faiss's own quantiser."""
    half = 0.5 * np.einsum("cd,cd->c", cells, cells)
    return np.asarray(np.argmax(seen @ cells.T - half, axis=1))


def _promise(sample: Matrix, seen: Matrix, cells: Matrix) -> Matrix:
    """(c,) half the mean square that rows of a cell lie from its centre, over the length of rows.

    The row that is best for a query lies from the centre towards it, the further the wider the cell: for
    rows of one length, product and promise together rank cells by their distance from the query. Products
    alone rank wide cells too low, and need eight times as many of ten million rows.
    """
    nearest = np.concatenate(
        [_nearest(seen[at : at + _CODED_TOGETHER], cells) for at in range(0, len(seen), _CODED_TOGETHER)]
    )
    squares = np.square(seen - cells[nearest]).sum(axis=1, dtype=np.float64)
    counts = np.bincount(nearest, minlength=len(cells))
    wide = (np.bincount(nearest, squares, len(cells)) + squares.mean()) / (counts + 1)
    length = np.sqrt(np.square(sample).sum(axis=1, dtype=np.float64).mean())
    return np.asarray(wide / (2 * max(float(length), 1e-30)), np.float32)


def _directions(centred: Matrix) -> Matrix:
    """(D, d) eigenvectors of the rows' covariance, the fewest that leave out next to nothing."""
    values, vectors = np.linalg.eigh((centred.T @ centred).astype(np.float64))
    values = np.maximum(values[::-1], 0)
    left = 1 - np.cumsum(values) / max(float(values.sum()), 1e-30)
    needed = int(np.argmax(left <= _LEFT_OUT)) + 1
    columns = min(-(-needed // _COLUMNS) * _COLUMNS, len(values))
    return np.ascontiguousarray(vectors[:, ::-1][:, :columns], np.float32)


def _fine(mean: Matrix, basis: Matrix) -> Matrix:
    """(D, m) orthonormal: the mean's direction, then the first of the basis."""
    first = np.concatenate([mean[:, None], basis[:, : _FINE - 1]], axis=1)[:, : len(mean)]
    return np.ascontiguousarray(np.linalg.qr(first)[0], np.float32)


def _cells(seen: Matrix, count: int) -> Matrix:
    """(c, d), c the power of two next to 4·√count."""
    wanted = 2 ** round(float(np.log2(4 * np.sqrt(count))))
    number = max(min(wanted, _MOST_CELLS, len(seen) // _ROWS_PER_CELL), 1)
    means = faiss.Kmeans(
        seen.shape[1],
        number,
        niter=_ROUNDS,
        seed=1,
        min_points_per_centroid=1,  # fewer are said to be too few, on the standard output
        max_points_per_centroid=_ROWS_PER_CELL,
    )
    means.train(seen)
    return np.asarray(means.centroids, np.float32)
