"""Classifiers of more classes than lie in their own hash."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from tests.storage.conftest import classifier

from handful.storage.records import ClassifierRecord, ClassRecord
from handful.storage.redis.store import RedisStore
from handful.storage.store import Change

pytestmark = pytest.mark.anyio

COUNT = 3000


@pytest.fixture(params=["redis_8", "clustered"])
def store_url(request: pytest.FixtureRequest) -> str:
    server = request.getfixturevalue(request.param)
    if request.param == "clustered":
        server.empty()
    else:
        server.command("FLUSHALL")
    return str(server.url)


def numbered(first: int = 0, last: int = COUNT) -> list[ClassRecord]:
    return [ClassRecord(key=key, name=f"class {key} ü") for key in range(first, last)]


async def made(store: RedisStore) -> ClassifierRecord:
    record = classifier(next_class=COUNT, class_count=COUNT)
    await store.apply(Change(before=None, after=record, put_classes=numbered()))
    return record


async def changed(
    store: RedisStore, record: ClassifierRecord, put: Sequence[ClassRecord] = (), drop: Sequence[int] = ()
) -> ClassifierRecord:
    after = replace(record, revision=record.revision + 1)
    await store.apply(Change(before=record, after=after, put_classes=put, drop_classes=drop))
    return after


async def test_all_are_found_by_key_by_name_and_in_order(store: RedisStore) -> None:
    record = await made(store)
    everything = numbered()
    assert await store.classes("shop", record.id, limit=COUNT + 1) == everything
    assert await store.classes("shop", record.id, limit=100, after=1000) == everything[1001:1101]
    support = await store.support("shop", record.id)
    assert support is not None
    assert list(support.classes) == everything
    some = (0, 63, 64, 1023, 1024, 2999)
    names = [everything[key].name for key in some]
    assert await store.classes_named("shop", record.id, [*names, "none"]) == {
        everything[key].name: everything[key] for key in some
    }
    assert await store.classes_keyed("shop", record.id, [*some, 3000, 10**9]) == {
        key: everything[key] for key in some
    }
    before = store.trips
    await store.classes_named("shop", record.id, names[:4])
    assert store.trips - before == 1


async def test_names_follow_their_classes(store: RedisStore) -> None:
    record = await made(store)
    near, far, last = numbered(10, 11)[0], numbered(1500, 1501)[0], numbered(2500, 2501)[0]
    swapped = [
        replace(near, name=far.name),
        replace(far, name=last.name),
        replace(last, name=near.name),
    ]
    record = await changed(store, record, swapped)
    found = await store.classes_named("shop", record.id, [near.name, far.name, last.name])
    assert {name: one.key for name, one in found.items()} == {
        far.name: 10,
        last.name: 1500,
        near.name: 2500,
    }
    record = await changed(store, record, [replace(far, name="new")])
    assert await store.classes_named("shop", record.id, [last.name]) == {}
    assert (await store.classes_named("shop", record.id, ["new"]))["new"].key == 1500
    record = await changed(store, record, [], [1500])
    assert await store.classes_named("shop", record.id, ["new"]) == {}
    assert await store.classes_keyed("shop", record.id, [1500]) == {}


async def test_lists_go_on_behind_what_was_dropped(store: RedisStore) -> None:
    record = await made(store)
    record = await changed(store, record, [], range(5, 2995))
    left = [*numbered(0, 5), *numbered(2995)]
    assert await store.classes("shop", record.id, limit=99) == left
    assert await store.classes("shop", record.id, limit=2, after=4) == left[5:7]
    assert await store.classes("shop", record.id, limit=2, after=2999) == []
    support = await store.support("shop", record.id)
    assert support is not None
    assert list(support.classes) == left


async def test_a_deleted_classifier_leaves_none(store: RedisStore) -> None:
    record = await made(store)
    await store.apply(Change(before=record, after=None))
    again = replace(classifier(), id=record.id)
    await store.apply(Change(before=None, after=again))
    assert await store.classes_named("shop", record.id, ["class 2000 ü"]) == {}
    assert await store.classes_keyed("shop", record.id, [1, 2000]) == {}
