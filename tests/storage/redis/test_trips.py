"""How often Redis is asked."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.storage.conftest import classifier, shot, taught
from tests.storage.test_store import head, reply

from handful.storage.ids import new_ids
from handful.storage.records import ClassRecord, Usage
from handful.storage.redis.store import RedisStore
from handful.storage.store import Change

pytestmark = pytest.mark.anyio

PLENTY = Usage(classifiers=9, classes=999, shots=999, image_bytes=999)


@pytest.fixture(params=["redis"])
def store_url(redis_8, request):
    """One server: on a Cluster a write takes a trip to each slot."""
    redis_8.command("FLUSHALL")
    return redis_8.url


async def trips(store: RedisStore, *calls: object) -> int:
    before = store.trips
    for call in calls:
        await call  # type: ignore[misc]
    return store.trips - before


async def test_a_classifier_is_read_in_one_trip(store: RedisStore) -> None:
    record = await taught(store)
    assert await trips(store, store.classifier("shop", record.id)) == 1


async def test_shots_are_added_in_three_trips(store: RedisStore) -> None:
    record = await taught(store)
    for count in (1, 20):
        before = store.trips
        now = await store.classifier("shop", record.id)
        assert now is not None
        there = await store.classes_named("shop", record.id, ["roll", "bun"])
        after = replace(now, revision=now.revision + 1, shot_count=now.shot_count + count, next_class=2)
        change = Change(
            before=now,
            after=after,
            put_classes=[
                replace(there["roll"], shots=there["roll"].shots + count),
                ClassRecord(key=1, name="bun"),
            ],
            put_shots=[shot(id=name) for name in new_ids(count)],
            limits=PLENTY,
            reply=reply(f"key-{count}"),
        )
        await store.apply(change)
        assert store.trips - before == 3


async def test_a_support_is_read_in_one_trip_folded_or_not(store: RedisStore) -> None:
    record = await taught(store, shots=3)
    assert await trips(store, store.support("shop", record.id)) == 1
    await store.fold(datetime.now(UTC) + timedelta(minutes=1))
    assert await trips(store, store.support("shop", record.id)) == 1


async def test_a_classifier_with_its_shots_and_head_is_created_in_one_trip(store: RedisStore) -> None:
    await taught(store)
    record = classifier(class_count=1, next_class=1, shot_count=1)
    change = Change(
        before=None,
        after=record,
        put_classes=[ClassRecord(key=0, name="roll", shots=1)],
        put_shots=[shot()],
        put_heads=[(head(1), b"data")],
        limits=PLENTY,
    )
    assert await trips(store, store.apply(change)) == 1


async def test_a_head_is_read_in_one_trip_and_kept_in_two(store: RedisStore) -> None:
    record = await taught(store)
    assert await trips(store, store.keep_head("shop", record.id, head(2), b"data", newest=5)) == 2
    assert await trips(store, store.head("shop", record.id, 2)) == 1
    assert await trips(store, store.heads("shop", record.id)) == 1


async def test_shots_that_go_cost_one_read_more(store: RedisStore) -> None:
    record = await taught(store)
    (first,) = await store.shots("shop", record.id, limit=1)
    after = replace(record, revision=record.revision + 1, shot_count=2)
    assert await trips(store, store.apply(Change(before=record, after=after, drop_shots=[first.id]))) == 2
    gone = replace(after, revision=after.revision + 1, class_count=0, shot_count=0)
    assert await trips(store, store.apply(Change(before=after, after=gone, drop_classes=[0]))) == 2
    assert await trips(store, store.apply(Change(before=gone, after=None))) == 1


async def test_lists_take_one_trip_for_the_ids_and_one_for_all_records(store: RedisStore) -> None:
    for _ in range(5):
        await taught(store)
    assert await trips(store, store.classifiers("shop", limit=5)) == 2
    record = (await store.classifiers("shop", limit=1))[0]
    assert await trips(store, store.classes("shop", record.id, limit=50)) == 1
    assert await trips(store, store.classes_keyed("shop", record.id, [0, 5])) == 1
    assert await trips(store, store.shots("shop", record.id, limit=50)) == 1


async def test_looking_for_jobs_where_there_are_none_takes_one_trip(store: RedisStore) -> None:
    now = datetime.now(UTC)
    await store.jobs_left()
    assert await trips(store, store.claim_job(token="t", now=now, lease_until=now)) == 1
