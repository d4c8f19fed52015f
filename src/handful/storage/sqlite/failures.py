"""What SQLite says, in words that help."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from handful.errors import StorageError, StorageFullError

_ADVICE = {
    sqlite3.SQLITE_READONLY: "make the folder and its files writable for this user",
    sqlite3.SQLITE_CANTOPEN: "check the path and its permissions",
    sqlite3.SQLITE_PERM: "check the path and its permissions",
    sqlite3.SQLITE_IOERR: "look at the disk's health and the system's log",
    sqlite3.SQLITE_BUSY: "another process writes for very long; try again",
    sqlite3.SQLITE_LOCKED: "another process writes for very long; try again",
    sqlite3.SQLITE_CORRUPT: "restore a backup with `handful restore`",
    sqlite3.SQLITE_NOTADB: "it is no store; give another path",
}


@contextmanager
def explained(file: Path) -> Iterator[None]:
    """Raise StorageError, or StorageFullError, in place of SQLite's errors."""
    try:
        yield
    except sqlite3.Error as exc:
        raise as_storage_error(file, exc) from exc


def as_storage_error(file: Path, exc: sqlite3.Error) -> StorageError:
    """The error to raise in place of SQLite's."""
    code = (getattr(exc, "sqlite_errorcode", None) or sqlite3.SQLITE_ERROR) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return StorageFullError(f"no room is left for the store {file}; nothing was written: free some")
    advice = _ADVICE.get(code, "this is a bug in Handful; please report it")
    return StorageError(f"the store {file} cannot be used ({exc}); {advice}")
