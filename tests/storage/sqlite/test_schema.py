"""The file: new, old, newer, or somebody else's."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from handful.errors import StorageError
from handful.storage.sqlite import SqliteStore, schema


def test_a_file_of_a_newer_build_is_refused_by_name_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "store.sqlite"
    schema.migrate(file)
    disk = sqlite3.connect(file)
    disk.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    with pytest.raises(StorageError, match=f"schema {schema.VERSION + 1}, newer than {schema.VERSION}"):
        SqliteStore(file)
    assert disk.execute("PRAGMA user_version").fetchone() == (schema.VERSION + 1,)
    disk.close()


def test_a_database_of_another_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "other.sqlite"
    disk = sqlite3.connect(file)
    disk.execute("CREATE TABLE theirs (x)")
    disk.close()
    before = file.read_bytes()
    with pytest.raises(StorageError, match="something else"):
        SqliteStore(file)
    assert file.read_bytes() == before


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "letter.txt"
    file.write_bytes(b"Dear store, " * 100)
    with pytest.raises(StorageError, match="no store"):
        SqliteStore(file)
    assert file.read_bytes() == b"Dear store, " * 100


def test_a_commit_waits_for_the_disk_and_readers_for_nobody(tmp_path: Path) -> None:
    file = tmp_path / "store.sqlite"
    schema.migrate(file)
    disk = schema.connect(file, writes=True)
    assert disk.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert disk.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    disk.close()


_OPENING = """
import sys
from pathlib import Path
from handful.storage.sqlite.schema import migrate
for line in sys.stdin:
    migrate(Path(line.strip()))
    print("made", flush=True)
"""


def test_processes_that_make_the_same_file_at_once_all_get_it(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _OPENING],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        for _ in range(4)
    ]
    answers = []
    for number in range(40):  # warm from the second on, and so truly at once
        for process in processes:
            assert process.stdin is not None
            process.stdin.write(f"{tmp_path / str(number)}.sqlite\n")
        answers += [process.stdout.readline() for process in processes if process.stdout is not None]
    for process in processes:
        process.communicate()
    assert answers == ["made\n"] * 160


def test_an_older_file_is_brought_up_and_keeps_what_it_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "store.sqlite"
    schema.migrate(file)
    disk = sqlite3.connect(file)
    disk.execute("INSERT INTO graves (classifier) VALUES (7)")
    disk.commit()
    newer = (*schema._MIGRATIONS, "CREATE TABLE later (x); INSERT INTO later SELECT classifier FROM graves")
    monkeypatch.setattr(schema, "_MIGRATIONS", newer)
    monkeypatch.setattr(schema, "VERSION", len(newer))
    schema.migrate(file)
    assert disk.execute("SELECT x FROM later").fetchall() == [(7,)]
    assert disk.execute("PRAGMA user_version").fetchone() == (len(newer),)
    disk.close()


def test_a_migration_that_fails_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "store.sqlite"
    schema.migrate(file)
    found = schema.VERSION
    monkeypatch.setattr(
        schema, "_MIGRATIONS", (*schema._MIGRATIONS, "CREATE TABLE later (x); SELECT nothing")
    )
    monkeypatch.setattr(schema, "VERSION", found + 1)
    with pytest.raises(StorageError):
        SqliteStore(file)
    disk = sqlite3.connect(file)
    assert disk.execute("PRAGMA user_version").fetchone() == (found,)
    assert disk.execute("SELECT count(*) FROM sqlite_master WHERE name = 'later'").fetchone() == (0,)
    disk.close()


def test_jobs_of_the_first_schema_are_over_since_their_last_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "store.sqlite"
    with monkeypatch.context() as older:
        older.setattr(schema, "_MIGRATIONS", schema._MIGRATIONS[:1])
        older.setattr(schema, "VERSION", 1)
        schema.migrate(file)
    disk = sqlite3.connect(file)
    for id, waiting in (("done", 0), ("queued", 1)):
        disk.execute(
            "INSERT INTO jobs (tenant, id, waiting, lease_until, record) VALUES ('shop', ?, ?, '', ?)",
            (id, waiting, b'{"updated":"2026-01-02T03:04:05Z"}'),
        )
    disk.commit()
    schema.migrate(file)
    assert disk.execute("SELECT id, over_since FROM jobs ORDER BY id").fetchall() == [
        ("done", "2026-01-02T03:04:05Z"),
        ("queued", None),
    ]
    disk.close()


def test_what_is_asked_again_and_again_is_found_by_an_index(tmp_path: Path) -> None:
    file = tmp_path / "store.sqlite"
    schema.migrate(file)
    disk = sqlite3.connect(file)
    for asked in (
        "SELECT tenant, id FROM jobs WHERE over_since < ? ORDER BY over_since LIMIT 1",
        "SELECT 1 FROM jobs WHERE waiting AND lease_until <= ? ORDER BY lease_until, id LIMIT 1",
        "DELETE FROM replies WHERE expires <= ?",
    ):
        plan = [row[3] for row in disk.execute(f"EXPLAIN QUERY PLAN {asked}", ("x",))]
        assert len(plan) == 1, plan
        assert plan[0].startswith("SEARCH"), plan
    disk.close()
