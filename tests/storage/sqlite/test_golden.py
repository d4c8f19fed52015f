"""Stores of every schema there was open for ever. The files are what `sqlite3 store.sqlite .dump` printed."""

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.storage.conftest import NOW, classifier, job, shot
from tests.storage.test_store import head, reply

from handful.storage.records import ClassRecord, KeyRecord, Pinned, Usage
from handful.storage.sqlite import SqliteStore, schema
from handful.storage.store import Trash

_GOLDEN = Path(__file__).parent / "golden"


def test_there_is_a_file_of_every_schema_before_the_newest() -> None:
    there = {path.name for path in _GOLDEN.iterdir()}
    assert {f"schema-{version}.sql" for version in range(1, max(schema.VERSION, 2))} <= there


def test_an_old_file_gets_the_tables_that_a_new_one_has(tmp_path: Path) -> None:
    schema.migrate(tmp_path / "new.sqlite")
    restored = _restored(tmp_path, 1)
    schema.migrate(restored)
    tables = []
    for file in (tmp_path / "new.sqlite", restored):
        disk = sqlite3.connect(file)
        tables.append(disk.execute("SELECT type, name, sql FROM sqlite_master ORDER BY name").fetchall())
        disk.close()
    assert tables[0] == tables[1], "a schema that is out is changed by a further migration, not in place"


@pytest.mark.anyio
@pytest.mark.parametrize("version", range(1, len(list(_GOLDEN.iterdir())) + 1))
async def test_what_an_old_file_holds_is_read(tmp_path: Path, version: int) -> None:
    store = SqliteStore(_restored(tmp_path, version))
    record = classifier(
        id="01jd0000000000000000000001",
        pinned=Pinned(version=1, since=1),
        class_count=2,
        next_class=2,
        shot_count=2,
        image_bytes=10,
        templates=("a {}",),
    )
    blob = "shop/a/b-0123456789abcdef.jpg"
    first = shot(id="01jd0000000000000000000002", group="g", source_id="s", blob=blob, blob_bytes=10)
    support = await store.support("shop", record.id)
    assert support is not None
    assert support.classifier == record
    assert support.classes == (
        ClassRecord(key=0, name="roll", description="round", prompts=("a roll",), shots=1),
        ClassRecord(key=1, name="bun", shots=1),
    )
    assert support.shots == (first, shot(1, id="01jd0000000000000000000003", metadata=None))
    assert await store.head("shop", record.id, 1) == (head(1, trained=True, held=True), b"weights")
    assert await store.reply("shop", "golden") == reply("golden", expires=datetime(2999, 1, 1, tzinfo=UTC))
    done = job(
        id="01jd0000000000000000000004",
        status="succeeded",
        result={"version": 1},
        progress=1.0,
        cursor={"at": 3},
    )
    assert await store.job("shop", done.id) == done
    assert await store.keys() == [
        KeyRecord(
            id="key",
            tenant="shop",
            name="till",
            digest="d" * 64,
            scopes=frozenset({"read"}),
            created=NOW,
            expires=NOW,
            revoked=NOW,
        )
    ]
    assert await store.usage("shop") == Usage(classifiers=1, classes=2, shots=2, image_bytes=10)
    assert await store.trash(9) == [Trash(id=1, name="shop/old/")]
    await store.close()


def _restored(folder: Path, version: int) -> Path:
    disk = sqlite3.connect(folder / "store.sqlite")
    disk.executescript((_GOLDEN / f"schema-{version}.sql").read_text())
    disk.close()
    return folder / "store.sqlite"
