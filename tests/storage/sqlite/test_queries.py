"""No query reads more than it gives: each goes through an index, however much there is."""

import asyncio
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.storage.conftest import NOW, job, shot, taught
from tests.storage.test_store import head, reply

from handful.storage.records import ClassRecord, KeyRecord
from handful.storage.sqlite import SqliteStore, schema, writer
from handful.storage.sqlite import store as module
from handful.storage.store import Change

pytestmark = pytest.mark.anyio

# Read from the front only, as far as is asked for.
_SMALL = {"graves", "trash", "trash_hold"}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """All statements that SQLite is given, with their values."""
    heard: list[str] = []

    def watched(file: Path, *, writes: bool = False) -> sqlite3.Connection:
        disk = schema.connect(file, writes=writes)
        disk.set_trace_callback(heard.append)
        return disk

    monkeypatch.setattr(module, "connect", watched)
    monkeypatch.setattr(writer, "connect", watched)
    return heard


def scans(file: Path, statements: list[str]) -> set[str]:
    """The steps of SQLite's plans that read a whole table or sort."""
    disk = sqlite3.connect(file)
    found = set()
    for statement in statements:
        if statement.startswith(("SELECT", "INSERT", "UPDATE", "DELETE")):
            for *_, step in disk.execute(f"EXPLAIN QUERY PLAN {statement}"):
                table = step.split()[1]
                if step.startswith("SCAN") and table not in _SMALL:
                    found.add(f"{step}: {statement}")
                if "TEMP B-TREE" in step:
                    found.add(f"{step}: {statement}")
    disk.close()
    return found


async def test_every_query_goes_through_an_index(tmp_path: Path, asked: list[str]) -> None:
    store = SqliteStore(tmp_path / "store.sqlite")
    record = await taught(store)
    after = replace(record, revision=record.revision + 1, class_count=2)
    change = Change(
        before=record,
        after=after,
        put_classes=[ClassRecord(key=1, name="bun")],
        put_shots=[shot(id="z")],
        label_shots={"z": 1},
        drop_shots=["y"],
        drop_classes=[5],
        put_heads=[(head(3, held=True), b"x")],
        drop_heads=[2],
        reply=reply(),
    )
    await store.apply(change)
    id = record.id
    await store.classifier("shop", id)
    await store.classifiers("shop", limit=5, after="a")
    await store.classes("shop", id, limit=5, after=0)
    await store.classes_named("shop", id, ["bun"])
    await store.classes_keyed("shop", id, [1])
    await store.shots("shop", id, limit=5, after="a")
    await store.shots("shop", id, limit=5, after="a", class_key=0)
    await store.shots_named("shop", id, ["z"])
    await store.support("shop", id)
    await store.keep_head("shop", id, head(9), b"x", newest=5)
    await store.heads("shop", id)
    await store.head("shop", id, 9)
    await store.reply("shop", "k")
    await store.put_job(job())
    claimed = await store.claim_job(token="t", now=NOW, lease_until=NOW + timedelta(hours=1))
    assert claimed is not None
    await store.update_job(claimed)
    await store.job("shop", claimed.id)
    await store.cancel_job("shop", claimed.id, NOW)
    key = KeyRecord(id="k", tenant="shop", name="", digest="", scopes=frozenset(), created=NOW)
    await store.put_key(key)
    await store.key("k")
    await store.keys("shop")
    await store.usage("shop")
    await store.trash(5)
    await store.forget_trash([1])
    await store.forget_expired(datetime.now(UTC))
    await store.update_job(replace(claimed, status="succeeded"))
    assert await store.forget_jobs(NOW + timedelta(days=1), 5) == 1
    await store.apply(Change(before=after, after=None))
    while store._one("SELECT classifier FROM graves") is not None:
        await asyncio.sleep(0.01)  # until the writer has cleared it away
    await store.close()
    assert len(set(asked)) > 50
    assert scans(tmp_path / "store.sqlite", asked) == set()


def test_a_query_without_an_index_would_be_found(tmp_path: Path) -> None:
    schema.migrate(tmp_path / "store.sqlite")
    found = scans(tmp_path / "store.sqlite", ["SELECT record FROM shots WHERE blob = 'x' ORDER BY class_key"])
    assert len(found) == 2


async def test_a_deleted_classifier_is_cleared_away_in_small_pieces_and_completely(tmp_path: Path) -> None:
    file = tmp_path / "store.sqlite"
    store = SqliteStore(file)
    kept, record = await taught(store, shots=10), await taught(store, shots=1700)
    await store.keep_head("shop", record.id, head(2), b"x", newest=5)
    await store.close()
    disk = schema.connect(file, writes=True)
    disk.execute("INSERT INTO graves SELECT pk FROM classifiers WHERE id = ?", (record.id,))
    disk.execute("DELETE FROM classifiers WHERE id = ?", (record.id,))
    pieces = []
    for _ in range(100):
        before = disk.total_changes
        if not module._bury(disk):
            break
        pieces.append(disk.total_changes - before)
    assert max(pieces) <= 500
    assert sum(pieces) == 1700 + 1 + 1 + 1  # shots, class, head, and the note that there is something to do
    left = [
        disk.execute(f"SELECT count(*) FROM {table}").fetchone() for table in ("shots", "classes", "heads")
    ]
    assert left == [(10,), (1,), (0,)]
    disk.close()
    again = SqliteStore(file)
    assert len(await again.shots("shop", kept.id, limit=99)) == 10
    await again.close()


async def test_what_is_left_to_clear_away_is_found_by_the_next_process(tmp_path: Path) -> None:
    file = tmp_path / "store.sqlite"
    store = SqliteStore(file)
    record = await taught(store, shots=3000)
    await store.apply(Change(before=record, after=None))
    await store.close()
    again = SqliteStore(file)
    while again._one("SELECT classifier FROM graves") is not None:
        await asyncio.sleep(0.01)
    assert again._one("SELECT count(*) FROM shots") == (0,)
    await again.close()
