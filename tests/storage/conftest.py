"""Stores, one suite for all of them; records to put into them."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.redis_servers import Clustered, Server

from handful.storage.blobs import Blobs
from handful.storage.ids import new_id, new_ids
from handful.storage.open import open_store
from handful.storage.records import ClassifierRecord, ClassRecord, JobRecord, ShotRecord
from handful.storage.store import Change, Store

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["sqlite", "redis", "redis-7", "redis-cluster"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a store of each kind may be made; tests share the servers, each begins with an empty one."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/data/store.sqlite"
    if request.param == "redis-cluster":
        cluster: Clustered = request.getfixturevalue("clustered")
        cluster.empty()
        return cluster.url
    server: Server = request.getfixturevalue({"redis": "redis_8", "redis-7": "redis_7"}[request.param])
    server.command("FLUSHALL")
    return server.url


@pytest.fixture(autouse=True)
def _trash_at_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store in Redis waits a minute, as its tests of crashes let it."""
    if "test_crash" not in request.node.nodeid:
        monkeypatch.setattr("handful.storage.redis.store.TRASH_AFTER", timedelta(0))


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    """The place that a store may keep blobs in."""
    return Blobs(str(tmp_path / "blobs"))


@pytest.fixture
async def store(store_url: str, blobs: Blobs, anyio_backend: str) -> AsyncIterator[Store]:
    opened = open_store(store_url, blobs)
    yield opened
    await opened.close()


def classifier(tenant: str = "shop", **fields: Any) -> ClassifierRecord:
    blank = ClassifierRecord(
        tenant=tenant,
        id=new_id(),
        name="bread",
        encoder="tiny",
        fingerprint="tiny-1",
        method="auto",
        views="auto",
        domain="pastry",
        templates=("a {} on a plate",),
        use_text=True,
        unknown_threshold=0.05,
        revision=1,
        support_version=1,
        pinned=None,
        next_class=0,
        class_count=0,
        shot_count=0,
        image_bytes=0,
        created=NOW,
        updated=NOW,
    )
    return replace(blank, **fields)


def shot(class_key: int = 0, **fields: Any) -> ShotRecord:
    blank = ShotRecord(
        id=new_id(),
        class_key=class_key,
        sha256="ab" * 32,
        width=4,
        height=3,
        created=NOW,
        metadata={"camera": 1},
        rows=b"\x02\x00\x00\x3c\x00\x00",
    )
    return replace(blank, **fields)


def job(tenant: str = "shop", **fields: Any) -> JobRecord:
    blank = JobRecord(
        tenant=tenant,
        id=new_id(),
        kind="train",
        classifier=None,
        status="queued",
        request={"method": "tip-f"},
        created=NOW,
        updated=NOW,
    )
    return replace(blank, **fields)


async def taught(store: Store, shots: int = 3, **fields: Any) -> ClassifierRecord:
    """A classifier of one class with shots."""
    empty = classifier(**fields)
    await store.apply(Change(before=None, after=empty))
    return await with_shots(store, empty, shots)


async def with_shots(store: Store, before: ClassifierRecord, count: int) -> ClassifierRecord:
    """The classifier after `count` more shots of class 0."""
    total = before.shot_count + count
    after = replace(
        before,
        revision=before.revision + 1,
        support_version=before.revision + 1,
        next_class=1,
        class_count=1,
        shot_count=total,
        image_bytes=before.image_bytes + 10 * count,
    )
    shots = [
        shot(id=name, blob=f"{after.tenant}/{after.id}/{name}.jpg", blob_bytes=10) for name in new_ids(count)
    ]
    change = Change(
        before=before,
        after=after,
        put_classes=[ClassRecord(key=0, name="roll", shots=total)],
        put_shots=shots,
    )
    await store.apply(change)
    return after
