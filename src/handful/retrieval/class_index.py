"""An index of class rows: the nearest by inner product, found by codes and scored again exactly."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from handful.errors import RetrievalError
from handful.retrieval.backend import faiss
from handful.retrieval.building import RowSource, as_matrix, build
from handful.retrieval.manifest import Manifest, check_digest, write_file
from handful.retrieval.rounding import Matrix
from handful.retrieval.search import Search, given
from handful.retrieval.segment import Segment, joined
from handful.retrieval.sketch import Sketch
from handful.retrieval.tail import Tail
from handful.rows import BoolArray, IntArray

SEGMENT_ROWS = 1_000_000
CANDIDATES = 1000
_ASKED_TOGETHER = 64  # queries
_ADDED_TOGETHER = 1024  # rows, while searches wait
_MOST_THREADS = 4


class ClassIndex:
    """Rows by position: on the disk, mapped into memory, and in memory what was added since.

    `search` gives positions and inner products, these exact but for the rounding of rows to a byte for each
    number. Which positions it gives is approximate, unless the index was built of 4,096 rows or fewer.
    `search`, `add`, `remove`, `rows` and `save` may be called from many threads.

    What `build` and `save` returned from is on the disk; what was added and removed since the last `save` is
    in memory only. One process writes to a folder; others may have it open, as it was when they opened it.

    >>> import tempfile
    >>> with ClassIndex.build(np.eye(3, dtype=np.float32), tempfile.mkdtemp()) as index:
    ...     index.search([[0.9, 0.1, 0.0]], 2)[0]
    array([[0, 1]])
    """

    def __init__(self, folder: Path, manifest: Manifest, threads: int) -> None:
        check_digest(folder, manifest.sketch)
        self._folder = folder
        self._manifest = manifest
        self._sketch = Sketch.from_bytes((folder / manifest.sketch.name).read_bytes())
        self._segments = tuple(Segment.open(folder, one, self._sketch) for one in manifest.segments)
        self._tail = Tail(manifest.count, self._sketch)
        self._removed = _removed(folder, manifest)
        self._gone = int(self._removed.sum())
        self._lock = Lock()  # of segments, tail and removed
        self._saving = Lock()
        self._pool = ThreadPoolExecutor(threads, "handful-search", _single_threaded)

    @classmethod
    def build(
        cls,
        rows: RowSource | Iterable[NDArray[np.floating]],
        folder: str | os.PathLike[str],
        *,
        segment_rows: int = SEGMENT_ROWS,
        threads: int | None = None,
        progress: Callable[[int], object] = lambda count: None,
    ) -> Self:
        """Write an index of rows (N, D) to a folder, and open it.

        rows : an array, a memmap, whatever has a shape and gives rows by slices; or blocks (n, D), whose
        first `segment_rows` rows should be like all, since the index learns from them.
        threads : that build, and later search.
        progress : told, time and again, how many rows are on the disk; what it raises ends the build.
        A build that was cut off goes on after its last whole segment when it is called again with the same
        rows and segments. An index that the folder holds stays until the new one is complete.
        Raises RetrievalError for rows that are no finite matrix, or none, or others than at the beginning.
        """
        if segment_rows < 1:
            raise RetrievalError(f"segment_rows is {segment_rows}; give at least one")
        path = Path(folder)
        # A thread of its own, since faiss keeps the number of its threads by the thread that calls.
        with ThreadPoolExecutor(1, "handful-build", faiss.omp_set_num_threads, (_cores(threads),)) as aside:
            aside.submit(build, rows, path, segment_rows, progress).result()
        return cls.open(path, threads=threads)

    @classmethod
    def open(cls, folder: str | os.PathLike[str], *, threads: int | None = None) -> Self:
        """Map an index into memory; its rows are read as they are searched.

        threads : that search at once; None for one per core, up to four.
        Raises RetrievalError where there is none, it is of a newer format, or damaged as far as that is seen
        without reading all of it; `verify` does.
        """
        path = Path(folder)
        return cls(path, Manifest.read(path), _cores(threads))

    def __len__(self) -> int:
        """Rows that can be found."""
        return self.positions - self._gone

    @property
    def positions(self) -> int:
        """Positions given so far, those of removed rows included."""
        return self._tail.start + self._tail.count

    @property
    def dimension(self) -> int:
        """Columns D."""
        return self._sketch.dimension

    def search(self, Q: ArrayLike, k: int, *, candidates: int = CANDIDATES) -> tuple[IntArray, Matrix]:
        """Positions and inner products (B, min(k, len)) for queries Q (B, D), best first.

        candidates : rows that are scored exactly, beside four for each that is asked for.
        Raises RetrievalError for queries that do not fit, and for a k below one.
        """
        queries = as_matrix(Q, self.dimension)
        if k < 1 or candidates < 1:
            raise RetrievalError(f"k is {k} and candidates {candidates}; ask for at least one")
        now = self._now()
        most = min(k, now.positions - now.gone)
        positions = np.empty((len(queries), most), np.int64)
        scores = np.empty((len(queries), most), np.float32)
        for at in range(0, len(queries) if most else 0, _ASKED_TOGETHER):
            part = slice(at, at + _ASKED_TOGETHER)
            if self._sketch.cells is None:
                positions[part], scores[part] = now.nearest(queries[part], most)
            else:
                positions[part], scores[part] = now.found(queries[part], most, candidates, self._pool)
        return positions, scores

    def rows(self, positions: ArrayLike) -> Matrix:
        """(n, D) as they are kept, removed ones too. Raises RetrievalError for positions never given."""
        now = self._now()
        values, scales = now.taken(given(positions, now.positions))
        return self._sketch.mean + self._sketch.rounding.deviations(values, scales)

    def add(self, rows: ArrayLike) -> IntArray:
        """Positions (n,) of rows (n, D), which are found from now on. Raises RetrievalError."""
        matrix = as_matrix(rows, self.dimension)
        taken: list[IntArray] = [np.zeros(0, np.int64)]
        at = 0
        while at < len(matrix):
            with self._lock:
                room = self._manifest.segment_rows - self._tail.count
                count = min(room, _ADDED_TOGETHER, len(matrix) - at)
                taken.append(self.positions + np.arange(count))
                self._removed = _reaching(self._removed, self.positions + count)
                self._tail.add(matrix[at : at + count])
                if count == room:
                    self._freeze()
            at += count
        return np.concatenate(taken)

    def remove(self, positions: ArrayLike) -> int:
        """Rows are found no more, and their positions never given again; returns how many there were.

        Raises RetrievalError for positions that were never given.
        """
        with self._lock:
            chosen = np.unique(given(positions, self.positions))
            fresh = chosen[~self._removed[chosen]]
            self._removed[fresh] = True
            self._gone += len(fresh)
        return len(fresh)

    def save(self) -> None:
        """Make additions and removals durable; after a crash meanwhile, what was saved before is there.

        Small segments are written together, so that there are never many.
        """
        with self._saving:
            with self._lock:
                self._freeze()
                before, removed = self._segments, self._removed[: self.positions].copy()
            kept, groups = _to_write(before, self._manifest.segment_rows)
            written = [
                (group[0] if len(group) == 1 else joined(group, self._sketch)).write(self._folder)
                for group in groups
            ]
            bits = np.packbits(removed)
            manifest = self._manifest.model_copy(
                update={
                    "segments": (*(one.record for one in kept), *written),
                    "removed": write_file(self._folder, "removed", ".npy", lambda path: np.save(path, bits))
                    if removed.any()
                    else None,
                }
            )
            manifest.write(self._folder)
            opened = tuple(Segment.open(self._folder, record, self._sketch) for record in written)
            with self._lock:
                since = self._segments[len(before) :]
                self._manifest, self._segments = manifest, (*kept, *opened, *since)
            manifest.sweep(self._folder)

    def verify(self) -> None:
        """Read every file. Raises RetrievalError where one is not what was written."""
        for file in self._manifest.files:
            check_digest(self._folder, file)

    def close(self) -> None:
        """End the threads that search; what was not saved is lost."""
        self._pool.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _now(self) -> Search:
        with self._lock:
            segments = (*self._segments, self._tail.segment()) if self._tail.count else self._segments
            return Search(self._sketch, segments, self._removed, self._gone)

    def _freeze(self) -> None:
        """What was added becomes a segment, which never changes again."""
        if self._tail.count:
            self._segments = (*self._segments, self._tail.segment())
            self._tail = Tail(self.positions, self._sketch)


def _to_write(segments: tuple[Segment, ...], most: int) -> tuple[tuple[Segment, ...], list[list[Segment]]]:
    """Segments that stay as they are on the disk, and groups that are written as one each.

    A segment is written again where as many rows follow it, so that each row is written a few times at most.
    """
    kept = list(segments)
    fresh: list[Segment] = []
    while kept and kept[-1].record is None:
        fresh.insert(0, kept.pop())
    following = sum(one.count for one in fresh)
    while fresh and kept and kept[-1].count <= following and kept[-1].count + following <= most:
        fresh.insert(0, kept.pop())
        following += fresh[0].count
    groups: list[list[Segment]] = []
    for one in fresh:
        if groups and sum(other.count for other in groups[-1]) + one.count <= most:
            groups[-1].append(one)
        else:
            groups.append([one])
    return tuple(kept), groups


def _removed(folder: Path, manifest: Manifest) -> BoolArray:
    if manifest.removed is None:
        return np.zeros(manifest.count, bool)
    check_digest(folder, manifest.removed)
    bits = np.load(folder / manifest.removed.name, allow_pickle=False)
    if len(bits) != -(-manifest.count // 8) or bits.dtype != np.uint8:
        raise RetrievalError(
            f"{folder / manifest.removed.name} does not fit the {manifest.count} rows of its index; build it "
            "again from its rows"
        )
    return np.unpackbits(bits, count=manifest.count).astype(bool)


def _reaching(removed: BoolArray, count: int) -> BoolArray:
    """The same with room for as many positions."""
    if count <= len(removed):
        return removed
    longer = np.zeros(max(count, len(removed) * 5 // 4), bool)
    longer[: len(removed)] = removed
    return longer


def _cores(threads: int | None) -> int:
    return threads or min(os.cpu_count() or 1, _MOST_THREADS)


def _single_threaded() -> None:
    faiss.omp_set_num_threads(1)  # segments are searched at once, each by one thread
