"""What must hold of a store and its blobs after any crash."""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

from tests.storage.crash.working import TENANT

from handful.storage.blobs import Blobs
from handful.storage.open import open_store
from handful.storage.records import Usage
from handful.storage.store import Store


async def check(file: Path, blobs: Blobs, id: str, said: Iterable[str]) -> int:
    """Of a store in SQLite. Raises AssertionError for anything lost or half-written; how many writes were
    acknowledged.
    """
    store = open_store(f"sqlite:///{file}")
    acknowledged = await check_store(store, blobs, id, said)
    await store.close()
    disk = sqlite3.connect(file)
    assert disk.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    disk.close()
    return acknowledged


async def check_store(store: Store, blobs: Blobs, id: str, said: Iterable[str]) -> int:
    """As `check`, of any store."""
    added: dict[str, list[str]] = {}
    steps: dict[str, int] = defaultdict(int)
    done: dict[str, set[str]] = defaultdict(set)
    asked: dict[str, set[str]] = defaultdict(set)
    acknowledged = 0
    for line in said:
        state, what, name, *rest = line.split()
        acknowledged += state == "done"
        (done if state == "done" else asked)[what].add(name)
        if (state, what) == ("asked", "add"):
            added[name] = rest
        if what == "step":
            steps[name] = max(steps[name], int(rest[0]))

    support = await store.support(TENANT, id)
    assert support is not None, "the classifier is lost"
    there = {one.id: one for one in support.shots}

    for tag, ids in added.items():
        missing = [name for name in ids if name not in there]
        replied = await store.reply(TENANT, tag)
        if tag in done["add"] or replied is not None or len(missing) < len(ids):
            lost = set(missing) - asked["delete"]
            assert not lost, f"of the request {tag} the shots {lost} are lost"
            assert replied is not None, f"the shots of {tag} are there, its reply is not"
    back = done["delete"] & set(there)
    assert not back, f"deleted shots are there again: {back}"
    for one in there.values():
        if one.blob is not None:
            data = await blobs.get(one.blob)  # checks its digest
            assert data is not None, f"the picture of {one.id} is lost"
            assert len(data) == one.blob_bytes

    of_jobs = Counter(one.group for one in there.values() if one.group is not None)
    for name in {*steps, *of_jobs}:
        job = await store.job(TENANT, str(name))
        assert job is not None, f"the job {name} is lost"
        assert job.cursor.get("at", 0) == of_jobs[name] >= steps[str(name)], f"the job {name} is half-written"
        assert job.status == "succeeded" or name not in done["job"]

    record = support.classifier
    assert record.shot_count == len(there)
    assert record.image_bytes == sum(one.blob_bytes for one in there.values())
    assert support.classes[0].shots == len(there)
    held = Usage(classifiers=1, classes=1, shots=len(there), image_bytes=record.image_bytes)
    assert await store.usage(TENANT) == held
    others = {one.id for one in await store.classifiers("other", limit=10_000)}
    assert not others & done["remove"], "a deleted classifier is there again"
    assert done["make"] - asked["remove"] <= others, "a classifier is lost"
    return acknowledged
