"""The file's tables, and how older files become newer ones."""

import sqlite3
from pathlib import Path
from time import monotonic, sleep

from handful.errors import StorageError

# Records are JSON, so that a new field needs no new column; what is searched by has a column of its own.
# Children name their classifier by a number that is never given twice, so that a deleted classifier's rows
# are unreachable at once and can be removed at leisure.
_MIGRATIONS = (
    """
    CREATE TABLE classifiers (
        pk INTEGER PRIMARY KEY AUTOINCREMENT, tenant TEXT NOT NULL, id TEXT NOT NULL,
        revision INTEGER NOT NULL, record BLOB NOT NULL, UNIQUE (tenant, id));
    CREATE TABLE classes (
        classifier INTEGER NOT NULL, key INTEGER NOT NULL, name TEXT NOT NULL, record BLOB NOT NULL,
        PRIMARY KEY (classifier, key)) WITHOUT ROWID;
    CREATE UNIQUE INDEX classes_by_name ON classes (classifier, name);
    CREATE TABLE shots (
        classifier INTEGER NOT NULL, id TEXT NOT NULL, class_key INTEGER NOT NULL, blob TEXT,
        record BLOB NOT NULL, rows BLOB NOT NULL);
    CREATE UNIQUE INDEX shots_by_id ON shots (classifier, id);
    CREATE INDEX shots_by_class ON shots (classifier, class_key, id);
    CREATE TABLE heads (
        classifier INTEGER NOT NULL, version INTEGER NOT NULL, held INTEGER NOT NULL,
        record BLOB NOT NULL, data BLOB NOT NULL);
    CREATE UNIQUE INDEX heads_by_version ON heads (classifier, version);
    CREATE TABLE graves (classifier INTEGER PRIMARY KEY);
    CREATE TABLE replies (
        tenant TEXT NOT NULL, key TEXT NOT NULL, expires TEXT NOT NULL, record BLOB NOT NULL,
        body BLOB NOT NULL, PRIMARY KEY (tenant, key)) WITHOUT ROWID;
    CREATE INDEX replies_by_expiry ON replies (expires);
    CREATE TABLE jobs (
        tenant TEXT NOT NULL, id TEXT NOT NULL, waiting INTEGER NOT NULL, lease_until TEXT NOT NULL,
        token TEXT, record BLOB NOT NULL, PRIMARY KEY (tenant, id)) WITHOUT ROWID;
    CREATE INDEX jobs_by_lease ON jobs (lease_until, id) WHERE waiting;
    CREATE TABLE keys (id TEXT PRIMARY KEY, tenant TEXT NOT NULL, record BLOB NOT NULL) WITHOUT ROWID;
    CREATE INDEX keys_by_tenant ON keys (tenant);
    CREATE TABLE usage (
        tenant TEXT PRIMARY KEY, classifiers INTEGER NOT NULL, classes INTEGER NOT NULL,
        shots INTEGER NOT NULL, image_bytes INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE trash (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL);
    CREATE TABLE trash_hold (id INTEGER PRIMARY KEY CHECK (id = 1), until TEXT NOT NULL);
    """,
    """
    ALTER TABLE jobs ADD COLUMN over_since TEXT;
    UPDATE jobs SET over_since = json_extract(CAST(record AS TEXT), '$.updated') WHERE NOT waiting;
    CREATE INDEX jobs_by_end ON jobs (over_since) WHERE over_since IS NOT NULL;
    """,
    "CREATE TABLE notes (name TEXT PRIMARY KEY, data BLOB NOT NULL) WITHOUT ROWID;",
)

VERSION = len(_MIGRATIONS)
_PATIENCE = 10.0  # seconds to wait while another process writes
_PAUSE = 0.01  # seconds, where SQLite itself does not wait
_PAGE = 8192  # bytes: a shot with its row of 512 halves fits several times
_CACHE = 32 * 1024  # KiB of pages in memory, per connection that writes


def connect(file: Path, *, writes: bool = False) -> sqlite3.Connection:
    """A connection that manages no transactions of its own."""
    disk = sqlite3.connect(file, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
    # WAL: readers never wait for the writer. FULL: a commit returns when the disk has it; with NORMAL, what
    # was acknowledged last would be lost with the power.
    disk.execute("PRAGMA synchronous = FULL")
    disk.execute(f"PRAGMA cache_size = -{_CACHE if writes else _CACHE // 4}")
    disk.execute("PRAGMA temp_store = MEMORY")
    if not writes:
        disk.execute("PRAGMA query_only = 1")
    return disk


def migrate(file: Path) -> None:
    """Make the file, or bring it up to this build's schema.

    Raises StorageError for a file of a newer build, and for one that is no store; both stay as they are.
    """
    give_up = monotonic() + _PATIENCE
    while True:
        try:
            _migrate(file)
        except sqlite3.OperationalError as exc:
            # Where processes make a file at once, SQLite does not wait before it changes it to WAL.
            if exc.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or monotonic() > give_up:
                raise
            sleep(_PAUSE)
        else:
            return


def _migrate(file: Path) -> None:
    disk = connect(file, writes=True)
    try:
        found = _schema(disk, file)
        disk.execute(f"PRAGMA page_size = {_PAGE}")
        disk.execute("PRAGMA journal_mode = WAL")
        if found < VERSION:
            disk.execute("BEGIN IMMEDIATE")
            for number in range(_schema(disk, file), VERSION):  # again: another process may have been faster
                for statement in _MIGRATIONS[number].split(";"):
                    disk.execute(statement)
            disk.execute(f"PRAGMA user_version = {VERSION}")
            disk.execute("COMMIT")
    finally:
        disk.close()


def _schema(disk: sqlite3.Connection, file: Path) -> int:
    # One statement, and so of one moment: another process may be making the tables.
    found, tables = disk.execute(
        "SELECT (SELECT user_version FROM pragma_user_version), (SELECT count(*) FROM sqlite_master)"
    ).fetchone()
    if found > VERSION:
        raise StorageError(
            f"the store {file} has schema {found}, newer than {VERSION}, the newest that this build "
            "reads; upgrade Handful"
        )
    if found == 0 and tables:
        raise StorageError(f"{file} is a database of something else; give the store another path")
    return int(found)
