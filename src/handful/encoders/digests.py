"""SHA-256 of large files, reckoned once for as long as they stay as they are."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from hashlib import file_digest
from pathlib import Path

FILE = "digests.sqlite"
_PATIENCE = 5.0  # seconds to wait while another process writes
_SCHEMA = "CREATE TABLE IF NOT EXISTS digests (file TEXT PRIMARY KEY, state TEXT, digest TEXT)"
_KNOWN = "SELECT digest FROM digests WHERE file = ? AND state = ?"
_KEEP = "INSERT OR REPLACE INTO digests VALUES (?, ?, ?)"


def digests(files: Sequence[Path], cache: Path) -> list[str]:
    """One for each file, in hex. A file of the same path, size, inode and time of change is not read again.

    cache : folder that remembers. Without one that can be written, all are read each time.
    """
    return [_digest(file, cache) for file in files]


def _digest(file: Path, cache: Path) -> str:
    there, place = file.stat(), str(file.resolve())
    state = f"{there.st_size} {there.st_mtime_ns} {there.st_ino}"
    known = _asked(cache, _KNOWN, (place, state))
    if known is None:
        with file.open("rb") as opened:
            known = file_digest(opened, "sha256").hexdigest()
        _asked(cache, _KEEP, (place, state, known))
    return known


def _asked(cache: Path, statement: str, values: tuple[str, ...]) -> str | None:
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(cache / FILE, timeout=_PATIENCE)) as disk, disk:
            disk.execute(_SCHEMA)
            row = disk.execute(statement, values).fetchone()
    except (sqlite3.Error, OSError):  # it only saves time
        return None
    return None if row is None else str(row[0])
