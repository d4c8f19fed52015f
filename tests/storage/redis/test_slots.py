"""On a Cluster a change is written slot after slot, and looks as if it were written at once."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.redis_servers import Clustered
from tests.storage.conftest import NOW, classifier, job, shot, taught
from tests.storage.test_store import reply

from handful.errors import ConflictError, QuotaError, StaleError
from handful.storage.blobs import Blobs
from handful.storage.open import open_store
from handful.storage.records import ClassifierRecord, Usage
from handful.storage.redis import replies
from handful.storage.redis.codec import REPLY, encode, microseconds, seal
from handful.storage.redis.connection import Connection
from handful.storage.redis.layout import classifier_key, mark_key, reply_key
from handful.storage.store import AnsweredError, Change, ChangedMeanwhileError, Store

pytestmark = pytest.mark.anyio


@pytest.fixture
def store_url(clustered: Clustered) -> str:
    clustered.empty()
    return clustered.url


@pytest.fixture
async def connection(clustered: Clustered, anyio_backend: str) -> AsyncIterator[Connection]:
    """To look at what the store wrote."""
    opened = Connection(clustered.url)
    yield opened
    await opened.close()


def creation(record: ClassifierRecord, key: str = "k", **fields: object) -> Change:
    return Change(before=None, after=record, reply=reply(key, body=record.id.encode()), **fields)  # type: ignore[arg-type]


async def pending(connection: Connection, record: ClassifierRecord, age: timedelta, key: str = "k") -> None:
    """What a node leaves that was cut off between the answer and the change."""
    told = reply(key, body=record.id.encode())
    begun = microseconds(datetime.now(UTC) - age)
    mark = mark_key(classifier_key("shop", record.id), "shop", key)
    value = b"p" + seal(encode([begun, mark, REPLY.values(told)]))
    await connection.pipe(("SET", reply_key("shop", key), value))


@pytest.mark.parametrize("wrong", ["revision", "limit", "job"])
async def test_what_is_refused_by_one_slot_is_taken_back_in_the_others(store: Store, wrong: str) -> None:
    there = await taught(store, shots=1)
    await store.put_job(job())
    mine = await store.claim_job(token="t", now=NOW, lease_until=NOW + timedelta(seconds=9))
    assert mine is not None
    usage = await store.usage("shop")
    record = classifier(shot_count=1)
    change, error = creation(replace(record, id=there.id)), ChangedMeanwhileError
    if wrong == "limit":
        change, error = creation(record, limits=Usage(classifiers=9, shots=1)), QuotaError  # type: ignore[assignment]
    if wrong == "job":
        change, error = creation(record, job=replace(mine, token="another")), StaleError  # type: ignore[assignment]
    with pytest.raises(error):
        await store.apply(change)
    assert await store.usage("shop") == usage
    assert await store.reply("shop", "k") is None
    assert [one.id for one in await store.classifiers("shop", limit=9)] == [there.id]
    assert await store.job("shop", mine.id) == mine
    await store.apply(creation(record))
    given = await store.reply("shop", "k")
    assert given is not None
    assert given.body == record.id.encode()


async def test_an_answer_counts_once_its_change_is_there(store: Store, connection: Connection) -> None:
    record = classifier()
    await pending(connection, record, timedelta(0))
    assert await store.reply("shop", "k") is None
    await connection.pipe(("SET", f"{classifier_key('shop', record.id)}:m:shop:k", ""))
    given = await store.reply("shop", "k")
    assert given is not None
    assert given.body == record.id.encode()
    with pytest.raises(AnsweredError) as raised:
        await store.apply(creation(classifier()))
    assert raised.value.reply == given
    with pytest.raises(AnsweredError):
        await store.put_job(job(), reply=reply())


async def test_a_change_under_way_is_waited_for(store: Store, connection: Connection) -> None:
    record = classifier()
    await pending(connection, record, timedelta(0))
    second = asyncio.create_task(store.apply(creation(classifier())))
    await asyncio.sleep(0.1)
    assert not second.done()
    await connection.pipe(("SET", f"{classifier_key('shop', record.id)}:m:shop:k", ""))
    with pytest.raises(AnsweredError):
        await second
    assert await store.classifiers("shop", limit=9) == []


async def test_a_change_that_stays_under_way_is_a_conflict_and_later_taken_over(
    store: Store, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replies, "_PATIENCE", 0.1)
    lost, record = classifier(), classifier()
    await pending(connection, lost, timedelta(seconds=50))
    with pytest.raises(ConflictError, match="under way"):
        await store.apply(creation(record))
    await pending(connection, lost, timedelta(seconds=70), key="old")
    await store.apply(creation(record, "old"))
    given = await store.reply("shop", "old")
    assert given is not None
    assert given.body == record.id.encode()
    assert await store.usage("shop") == Usage(classifiers=1)


async def test_what_is_listed_and_not_there_is_left_out(store: Store, connection: Connection) -> None:
    records = [classifier() for _ in range(3)]
    for record in (records[0], records[2]):
        await store.apply(Change(before=None, after=record))
    await connection.pipe(("ZADD", "hf:{shop}:ids", 0, records[1].id))
    listed = await store.classifiers("shop", limit=2)
    assert [one.id for one in listed] == [records[0].id, records[2].id]
    assert await store.classifiers("shop", limit=1, after=records[1].id) == [records[2]]


async def test_nodes_at_once_over_a_cluster_keep_to_the_limit(
    store: Store, store_url: str, blobs: Blobs
) -> None:
    nodes = [open_store(store_url, Blobs(blobs.url)) for _ in range(3)]
    limits = Usage(classifiers=10, shots=99)
    changes = [
        Change(before=None, after=classifier(shot_count=1), put_shots=[shot()], limits=limits)
        for _ in range(24)
    ]
    outcomes = await asyncio.gather(
        *(nodes[number % 3].apply(change) for number, change in enumerate(changes)), return_exceptions=True
    )
    assert sum(outcome is None for outcome in outcomes) == 10
    assert all(isinstance(outcome, QuotaError) for outcome in outcomes if outcome is not None)
    assert await store.usage("shop") == Usage(classifiers=10, shots=10)
    assert len(await store.classifiers("shop", limit=99)) == 10
    for node in nodes:
        await node.close()
