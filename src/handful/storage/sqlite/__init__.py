"""The embedded store: one SQLite file."""

from handful.storage.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
