"""An older build beside a newer one, over one store: both go on, or the older one is refused by name.

This build is the older one; tests/storage/newer_build.py makes the newer one of another process.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.redis_servers import Server
from tests.storage.conftest import classifier, job, shot, taught, with_shots
from tests.storage.test_copying import key
from tests.storage.test_store import head

from handful.errors import StorageError
from handful.storage.blobs import Blobs
from handful.storage.copying import copy_store
from handful.storage.open import open_store
from handful.storage.records import ClassRecord
from handful.storage.sqlite import schema
from handful.storage.store import Change, Store

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
Newer = Callable[..., str]

_EITHER = pytest.mark.parametrize("store_url", ["sqlite", "redis"], indirect=True)
_RUN = """
import asyncio, json, sys
sys.path.insert(0, sys.argv[1])
from tests.storage import newer_build, test_upgrade
getattr(newer_build, sys.argv[2])()
work = getattr(test_upgrade, sys.argv[3])
print(asyncio.run(test_upgrade.on(sys.argv[4], sys.argv[5], work, *sys.argv[6:])))
"""


@pytest.fixture
def newer(store_url: str, blobs: Blobs) -> Newer:
    """What a newer build says once it has done something with the store: the name of a function below."""

    def run(work: str, *given: str, kind: str = "become_newer") -> str:
        command = [sys.executable, "-c", _RUN, str(ROOT), kind, work, store_url, blobs.url, *given]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


async def on(url: str, place: str, work: Callable[..., object], *given: str) -> object:
    store = open_store(url, Blobs(place))
    try:
        return await work(store, *given)  # type: ignore[misc]
    finally:
        await store.close()


async def taught_by_newer(store: Store) -> str:
    record = await taught(store, 12)
    await store.keep_head("shop", record.id, head(record.revision), b"weights", newest=5)
    await store.put_key(key("newer"))
    await store.put_job(job(id="01jd0000000000000000000009"))
    return record.id


async def more_by_newer(store: Store, id: str) -> str:
    record = await store.classifier("shop", id)
    assert record is not None
    await with_shots(store, record, 2)
    return "done"


async def seen_by_newer(store: Store, id: str) -> str:
    support = await store.support("shop", id)
    assert support is not None
    return json.dumps([support.classifier.shot_count, sorted(one.id for one in support.shots)])


@_EITHER
async def test_two_builds_read_and_write_the_same_classifier_in_turn(store: Store, newer: Newer) -> None:
    id = newer("taught_by_newer")
    record = await store.classifier("shop", id)
    assert record is not None
    assert await store.head("shop", id, 2) == (head(2), b"weights")
    assert await store.keys() == [key("newer")]
    assert [one.name for one in await store.classes("shop", id, limit=9)] == ["roll"]
    assert [one.id for one in await store.classifiers("shop", limit=9)] == [id]
    record = await with_shots(store, record, 3)
    newer("more_by_newer", id)
    record = await store.classifier("shop", id)
    assert record is not None
    await with_shots(store, record, 1)
    support = await store.support("shop", id)
    assert support is not None
    shots = sorted(one.id for one in support.shots)
    assert len(shots) == support.classifier.shot_count == 18
    assert json.loads(newer("seen_by_newer", id)) == [18, shots]


@_EITHER
async def test_either_build_takes_up_a_job_of_the_other(store: Store, newer: Newer) -> None:
    newer("taught_by_newer")
    now = classifier().created
    claimed = await store.claim_job(token="mine", now=now, lease_until=now)
    assert claimed is not None
    assert (claimed.id, claimed.token) == ("01jd0000000000000000000009", "mine")
    assert await store.update_job(replace(claimed, status="succeeded"))


@_EITHER
async def test_what_a_newer_build_kept_is_copied_by_this_one(
    store: Store, newer: Newer, tmp_path: Path
) -> None:
    id = newer("taught_by_newer")
    target = open_store(f"sqlite:///{tmp_path}/copy.sqlite")
    report = await copy_store(store, target)
    assert (report.classifiers, report.shots, report.heads, report.failures) == (1, 12, 1, [])
    assert await target.support("shop", id) == await store.support("shop", id)
    await target.close()


# ---- Redis


@pytest.mark.parametrize("store_url", ["redis"], indirect=True)
async def test_fields_and_keys_that_are_not_known_are_left_aside(store: Store, redis_8: Server) -> None:
    record = await taught(store, 9)
    name = f"hf:{{shop/{record.id}}}"
    redis_8.command("HSET", name, "q", "of a newer build")
    redis_8.command("SET", f"{name}:q", "of a newer build")
    redis_8.command("HSET", "hf:{meta}", "colour", "blue")
    support = await store.support("shop", record.id)
    assert support is not None
    assert len(support.shots) == 9
    record = await with_shots(store, record, 1)
    assert await store.blob_names("shop", record.id) is not None
    assert redis_8.command("HGET", name, "q") == b"of a newer build"


@pytest.mark.parametrize("store_url", ["redis"], indirect=True)
async def test_a_record_of_a_newer_format_is_refused_by_name_and_the_others_are_read(
    store: Store, newer: Newer
) -> None:
    readable = await taught(store)
    id = newer("taught_by_newer", kind="become_another_format")
    with pytest.raises(
        StorageError, match="format 2, newer than 1, the newest that this build reads; upgrade"
    ):
        await store.classifier("shop", id)
    assert await store.classifier("shop", readable.id) == readable


@pytest.mark.parametrize("store_url", ["redis"], indirect=True)
async def test_a_redis_of_a_newer_format_is_refused_by_name(
    store: Store, redis_8: Server, store_url: str, blobs: Blobs
) -> None:
    await taught(store)
    redis_8.command("HSET", "hf:{meta}", "format", "2")
    later = open_store(store_url, blobs)
    with pytest.raises(StorageError, match="the store in this Redis has format 2, newer than 1"):
        await later.check()
    await later.close()


# ---- SQLite


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
async def test_a_build_that_has_the_file_open_goes_on_while_a_newer_one_changes_its_schema(
    store: Store, store_url: str, newer: Newer
) -> None:
    record = await taught(store)
    id = newer("taught_by_newer")  # changes the schema
    record = await with_shots(store, record, 2)
    await store.put_job(job())
    await store.put_key(key("older"))
    other = classifier()
    await store.apply(
        Change(
            before=None,
            after=replace(other, class_count=1, shot_count=1, next_class=1),
            put_classes=[ClassRecord(key=0, name="bun", shots=1)],
            put_shots=[shot()],
        )
    )
    for seen, count in ((record.id, 5), (id, 12), (other.id, 1)):
        assert json.loads(newer("seen_by_newer", seen))[0] == count
    with pytest.raises(StorageError, match=f"schema {schema.VERSION + 1}, newer than {schema.VERSION}"):
        open_store(store_url)
    assert await store.classifier("shop", record.id) == record  # until it is started again


def test_migrations_only_add_so_that_builds_that_have_the_file_open_go_on() -> None:
    for migration in schema._MIGRATIONS[1:]:
        for statement in filter(None, (part.strip() for part in migration.split(";"))):
            words = statement.split()
            column = words[:2] == ["ALTER", "TABLE"] and words[3:5] == ["ADD", "COLUMN"]
            adds = words[:2] in (["CREATE", "TABLE"], ["CREATE", "INDEX"]) or words[0] == "UPDATE"
            assert adds or (column and "NULL" not in words), f"{statement} may break an older build beside it"
