"""Rows by key, in memory and on disk."""

import sqlite3
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")
Key = bytes
Row = NDArray[np.float32]  # (D,)

FILE = "embeddings.sqlite"
_MEMORY_BYTES = 64 * 2**20
_OVERHEAD = 100  # bytes of key, use and B-tree beside a row
_AT_ONCE = 500  # keys of a query; every SQLite takes 999
_PATIENCE = 5.0  # seconds to wait while another process writes
_PAGE = 16384  # bytes; holds several rows
_FRESH = 3600  # seconds; a use is noted no more often, so that reading seldom writes
_KEPT = 0.9  # of the bound, so that not every write cleans up
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}

_SCHEMA = """
CREATE TABLE IF NOT EXISTS embeddings (key BLOB PRIMARY KEY, row BLOB NOT NULL, used INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS embeddings_by_use ON embeddings (used);
"""


class RowStore:
    """A bounded memory of rows, over one SQLite file that several processes share.

    It never breaks an answer: what cannot be read is missing, what cannot be written is forgotten, and the
    first failure is a RuntimeWarning.

    folder : of the file; None keeps to memory.    max_bytes : of the file, about; rows unused for the longest
    time go first. 0 keeps to memory.
    """

    def __init__(self, folder: Path | None, *, max_bytes: int = 2**30) -> None:
        self._file = folder / FILE if folder is not None and max_bytes > 0 else None
        self._max_bytes = max_bytes
        self._memory: OrderedDict[Key, Row] = OrderedDict()
        self._memory_bytes = 0
        self._lock = Lock()

    def get(self, keys: Sequence[Key]) -> dict[Key, Row]:
        """Those of the rows that are known."""
        with self._lock:
            found = {key: self._memory[key] for key in keys if key in self._memory}
            for key in found:
                self._memory.move_to_end(key)
        missing = [key for key in dict.fromkeys(keys) if key not in found]
        read = (self._on_disk(lambda disk: _read(disk, missing)) or {}) if missing else {}
        self._remember(read)
        return found | read

    def put(self, rows: Mapping[Key, Row]) -> None:
        """Keep rows under their keys."""
        if rows:
            self._remember(rows)
            self._on_disk(lambda disk: _write(disk, rows, self._max_bytes))

    def _remember(self, rows: Mapping[Key, Row]) -> None:
        with self._lock:
            for key, row in rows.items():
                if key not in self._memory:
                    self._memory_bytes += row.nbytes + _OVERHEAD
                self._memory[key] = row
            while self._memory_bytes > _MEMORY_BYTES:
                _, row = self._memory.popitem(last=False)
                self._memory_bytes -= row.nbytes + _OVERHEAD

    def _on_disk(self, work: Callable[[sqlite3.Connection], T]) -> T | None:
        file = self._file
        if file is None:
            return None
        try:
            with _connected(file) as disk:
                return work(disk)
        except (sqlite3.Error, OSError) as exc:
            code = getattr(exc, "sqlite_errorcode", None)
            if code == sqlite3.SQLITE_BUSY:  # others write; a row is soon computed
                return None
            self._file = file if code in _DAMAGED and _removed(file) else None
            outcome = "it was damaged and is begun anew" if self._file else "rows are kept in memory only"
            warnings.warn(
                f"the embedding cache {file} cannot be used ({exc}): {outcome}; "
                "set HANDFUL_CACHE_DIR to a folder that can be written, or HANDFUL_CACHE_BYTES to 0",
                RuntimeWarning,
                stacklevel=2,
            )
            return None


@contextmanager
def _connected(file: Path) -> Iterator[sqlite3.Connection]:
    """One connection per use: threads and forked processes must not share one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    disk = sqlite3.connect(file, timeout=_PATIENCE)
    try:
        disk.execute(f"PRAGMA page_size = {_PAGE}")
        disk.executescript(_SCHEMA)
        with disk:
            yield disk
    finally:
        disk.close()


def _removed(file: Path) -> bool:
    try:
        file.unlink()
    except OSError:
        return False
    return True


def _read(disk: sqlite3.Connection, keys: Sequence[Key]) -> dict[Key, Row]:
    found: dict[Key, Row] = {}
    used: list[Key] = []
    now = int(time.time())
    for start in range(0, len(keys), _AT_ONCE):
        asked = keys[start : start + _AT_ONCE]
        marks = ",".join("?" * len(asked))
        for key, row, when in disk.execute(
            f"SELECT key, row, used FROM embeddings WHERE key IN ({marks})", asked
        ).fetchall():
            found[key] = np.frombuffer(row, dtype="<f4").astype(np.float32)
            if when < now - _FRESH:
                used.append(key)
    if used:
        disk.executemany("UPDATE embeddings SET used = ? WHERE key = ?", [(now, key) for key in used])
    return found


def _write(disk: sqlite3.Connection, rows: Mapping[Key, Row], max_bytes: int) -> None:
    now = int(time.time())
    disk.executemany(
        "INSERT OR REPLACE INTO embeddings (key, row, used) VALUES (?, ?, ?)",
        [(key, row.astype("<f4").tobytes(), now) for key, row in rows.items()],
    )
    excess = _size(disk) - max_bytes
    if excess > 0:
        width = len(next(iter(rows.values()))) * 4 + _OVERHEAD
        count = int((excess + (1 - _KEPT) * max_bytes) / width) + 1
        disk.execute(
            "DELETE FROM embeddings WHERE rowid IN"
            " (SELECT rowid FROM embeddings ORDER BY used, rowid LIMIT ?)",
            (count,),
        )


def _size(disk: sqlite3.Connection) -> int:
    """Bytes of the file that hold something."""
    pages, free, page = (
        disk.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * page)
