"""How much of Redis a classifier takes."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import numpy as np
import pytest
from tests.redis_servers import Server
from tests.storage.conftest import classifier

import handful
from handful.encoders import Encoder
from handful.storage.ids import new_ids
from handful.storage.records import ClassifierRecord, ClassRecord, HeadRecord, ShotRecord
from handful.storage.store import Change, Store

pytestmark = pytest.mark.anyio

CLASSES, WIDTH = 10, 512
MOST = 10_000  # bytes: a thousand for each class
COUNT = 20


@pytest.fixture(params=["redis_8", "redis_7"])
def server(request: pytest.FixtureRequest) -> Server:
    shared: Server = request.getfixturevalue(request.param)
    shared.command("FLUSHALL")
    return shared


@pytest.fixture
def store_url(server: Server) -> str:
    return server.url


def shots(each: int, rng: np.random.Generator) -> list[ShotRecord]:
    """By embedding, of all classes in turn."""
    now = datetime.now(UTC)
    rows = rng.normal(size=(CLASSES * each, WIDTH)).astype("<f2")
    return [
        ShotRecord(
            id=name,
            class_key=number % CLASSES,
            sha256=sha256(row.tobytes()).hexdigest(),
            width=0,
            height=0,
            created=now,
            rows=WIDTH.to_bytes(2, "little") + row.tobytes(),
        )
        for number, (name, row) in enumerate(zip(new_ids(len(rows)), rows, strict=True))
    ]


def trained(encoder: Encoder, rng: np.random.Generator) -> bytes:
    X = rng.normal(size=(CLASSES, WIDTH)).astype(np.float32)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    head = handful.fit_head("auto", X, np.arange(CLASSES), class_count=CLASSES, background=encoder.background)
    return head.compact().to_bytes()


async def made(store: Store, encoder: Encoder, each: int, rng: np.random.Generator) -> ClassifierRecord:
    """Created empty, then taught in two requests, then asked; as people do it."""
    record = classifier(
        encoder=encoder.name,
        fingerprint=encoder.fingerprint,
        created=datetime.now(UTC),
        updated=datetime.now(UTC),
    )
    await store.apply(Change(before=None, after=record))
    all_shots = shots(each, rng)
    classes = [ClassRecord(key=key, name=f"class number {key}", shots=each) for key in range(CLASSES)]
    for some in (all_shots[:3], all_shots[3:]):
        before = record
        record = replace(
            before,
            revision=before.revision + 1,
            support_version=before.revision + 1,
            next_class=CLASSES,
            class_count=CLASSES,
            shot_count=before.shot_count + len(some),
        )
        await store.apply(Change(before=before, after=record, put_classes=classes, put_shots=some))
    head = HeadRecord(
        version=record.support_version,
        support_version=record.support_version,
        method="auto",
        trained=False,
        held=False,
        created=datetime.now(UTC),
        classes=tuple((one.key, one.name) for one in classes),
    )
    await store.keep_head(record.tenant, record.id, head, trained(encoder, rng), newest=5)
    return record


@pytest.mark.parametrize("each", [1, 16])
async def test_a_class_takes_less_than_a_thousand_bytes_whatever_its_shots(
    store: Store, server: Server, encoder: Encoder, each: int
) -> None:
    rng = np.random.default_rng(each)
    records = [await made(store, encoder, each, rng) for _ in range(COUNT)]
    assert await store.fold(datetime.now(UTC) + timedelta(minutes=1)) == 0
    everything = server.command("KEYS", "*")
    sizes = {key: int(server.command("MEMORY", "USAGE", key, "SAMPLES", 0)) for key in everything}
    own = {key: size for key, size in sizes.items() if b"/" in key}
    assert len(own) == 2 * COUNT  # a hash and a head for each
    assert sum(own.values()) / COUNT <= MOST - 500
    assert sum(sizes.values()) / COUNT <= MOST
    support = await store.support("shop", records[0].id)
    assert support is not None
    assert len(support.shots) == CLASSES * each
