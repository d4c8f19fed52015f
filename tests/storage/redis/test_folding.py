"""Folding changes where shots are, and nothing else."""

import asyncio
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.storage.conftest import classifier, shot, taught, with_shots

from handful.errors import StorageError
from handful.storage.blobs import Blobs
from handful.storage.ids import new_ids
from handful.storage.open import open_store
from handful.storage.records import ClassifierRecord, ClassRecord, ShotRecord
from handful.storage.redis import folding, segments
from handful.storage.store import Change, ChangedMeanwhileError, Store

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("store_url", ["redis", "redis-cluster"], indirect=True),
]

SOON = timedelta(minutes=1)


def later() -> datetime:
    return datetime.now(UTC) + SOON


async def swept(store: Store, blobs: Blobs) -> None:
    while trash := await store.trash(100):
        for one in trash:
            await blobs.remove(one.name)
        await store.forget_trash([one.id for one in trash])


async def segment_names(blobs: Blobs) -> list[str]:
    return [name for name in await blobs.names() if name.endswith(".seg")]


async def relabelled(store: Store, before: ClassifierRecord, shots: dict[str, int]) -> ClassifierRecord:
    after = replace(before, revision=before.revision + 1)
    await store.apply(Change(before=before, after=after, label_shots=shots))
    return after


async def dropped(store: Store, before: ClassifierRecord, *ids: str) -> ClassifierRecord:
    after = replace(before, revision=before.revision + 1, shot_count=before.shot_count - len(ids))
    await store.apply(Change(before=before, after=after, drop_shots=ids))
    return after


async def test_shots_of_many_changes_come_to_lie_in_one_blob(store: Store, blobs: Blobs) -> None:
    record = await taught(store, shots=2)
    for count in (1, 20, 3):
        record = await with_shots(store, record, count)
    before = await store.support("shop", record.id)
    assert await store.fold(datetime.now(UTC)) == 1  # not due yet
    assert len(await segment_names(blobs)) == 1  # of the 20
    assert await store.fold(later()) == 0
    await swept(store, blobs)
    assert len(await segment_names(blobs)) == 1
    assert await store.support("shop", record.id) == before
    assert await store.classifier("shop", record.id) == record
    named = await store.blob_names("shop", record.id)
    assert named is not None
    assert {*await segment_names(blobs)} <= named
    assert await store.fold(later()) == 0


async def test_what_became_of_shots_is_folded_into_them(store: Store, blobs: Blobs) -> None:
    record = await taught(store, shots=12)
    ids = [one.id for one in await store.shots("shop", record.id, limit=99)]
    record = await relabelled(store, record, {ids[3]: 7, ids[4]: 8})
    record = await dropped(store, record, ids[0], ids[5])
    gone = replace(record, revision=record.revision + 1, shot_count=1, class_count=0)
    await store.apply(Change(before=record, after=gone, drop_classes=[0, 8]))
    before = await store.support("shop", record.id)
    assert before is not None
    assert [(one.id, one.class_key) for one in before.shots] == [(ids[3], 7)]
    assert await store.fold(later()) == 0
    assert await store.support("shop", record.id) == before
    assert (await store.shots("shop", record.id, limit=9, class_key=7))[0].id == ids[3]
    assert await store.shots("shop", record.id, limit=9, class_key=0) == []
    last = await dropped(store, gone, ids[3])
    assert await store.fold(later()) == 0
    await swept(store, blobs)
    assert await segment_names(blobs) == []
    assert (await store.support("shop", record.id)) is not None
    assert await store.classifier("shop", record.id) == last


async def test_a_shot_that_was_dropped_and_is_added_again_is_there_once(store: Store) -> None:
    for folds in (False, True):
        record = await taught(store, shots=3)
        ids = [one.id for one in await store.shots("shop", record.id, limit=9)]
        record = await dropped(store, record, ids[1])
        if folds:
            assert await store.fold(later()) == 0
        again = replace(record, revision=record.revision + 1, shot_count=3)
        await store.apply(Change(before=record, after=again, put_shots=[shot(5, id=ids[1])]))
        for _ in range(2):
            support = await store.support("shop", record.id)
            assert support is not None
            assert [(one.id, one.class_key) for one in support.shots] == [
                (ids[0], 0),
                (ids[1], 5),
                (ids[2], 0),
            ]
            assert await store.fold(later()) == 0


async def test_large_segments_stay_until_their_shots_change(
    store: Store, blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "MOST_BYTES", 2000)
    monkeypatch.setattr(folding, "_SMALL", 1000)
    record = await taught(store, shots=30)
    assert await store.fold(later()) == 0
    await swept(store, blobs)
    first = await segment_names(blobs)
    assert len(first) > 3
    record = await with_shots(store, record, 1)
    ids = [one.id for one in await store.shots("shop", record.id, limit=99)]
    record = await relabelled(store, record, {ids[0]: 4})
    before = await store.support("shop", record.id)
    assert await store.fold(later()) == 0
    await swept(store, blobs)
    assert await store.support("shop", record.id) == before
    assert len({*first} & {*await segment_names(blobs)}) >= len(first) - 2


async def test_much_is_folded_a_part_at_a_time(
    store: Store, blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "MOST_BYTES", 2000)
    monkeypatch.setattr(folding, "_SMALL", 1000)
    monkeypatch.setattr(folding, "_MOST_BYTES", 4000)
    record = await taught(store, shots=40)
    ids = [one.id for one in await store.shots("shop", record.id, limit=99)]
    record = await relabelled(store, record, dict.fromkeys(ids[::2], 3))
    gone = replace(record, revision=record.revision + 1, shot_count=20, class_count=0)
    await store.apply(Change(before=record, after=gone, drop_classes=[0]))
    before = await store.support("shop", record.id)
    rounds = 0
    while await store.fold(later() + rounds * SOON):
        rounds += 1
        assert await store.support("shop", record.id) == before
    assert rounds > 1
    assert await store.support("shop", record.id) == before
    assert before is not None
    assert [one.id for one in before.shots] == ids[::2]


async def test_who_folds_the_same_at_once_leaves_one_result(
    store: Store, store_url: str, blobs: Blobs
) -> None:
    other = open_store(store_url, Blobs(blobs.url))
    records = []
    for _ in range(6):
        record = await taught(store, shots=4)
        for count in (3, 9, 2):
            record = await with_shots(store, record, count)
        records.append(record)
    before = [await store.support("shop", record.id) for record in records]
    # Not `fold`, which lets another process be for as long as it may take: as if that were over.
    names = [(record.tenant, record.id) for record in records]
    now = later()
    await asyncio.gather(
        *(one._folding._one(*name, now) for name in names for one in (store, other))  # type: ignore[attr-defined]
    )
    while await store.fold(later() + SOON):
        pass
    await swept(store, blobs)
    assert [await store.support("shop", record.id) for record in records] == before
    named = [await other.blob_names("shop", record.id) for record in records]
    assert {*await segment_names(blobs)} == {
        name for some in named for name in some or () if name.endswith(".seg")
    }
    assert len(await segment_names(blobs)) == len(records)
    await other.close()


class Writer:
    """Changes a classifier at random, and knows what it should be."""

    def __init__(self, store: Store, record: ClassifierRecord, seed: int) -> None:
        self._store = store
        self._random = random.Random(seed)
        self.record = record
        self.shots: dict[str, ShotRecord] = {}
        self._next = 1

    async def write(self) -> None:
        before = self.record
        after = replace(before, revision=before.revision + 1)
        what = self._random.choice(["put", "put", "label", "drop", "class", "rows", "much"])
        some = self._random.sample(sorted(self.shots), min(3, len(self.shots)))
        change = Change(before=before, after=after)
        wanted = dict(self.shots)
        if what == "put":
            ids = new_ids(self._random.choice([1, 2, 9]))
            new = [shot(self._random.randrange(self._next), id=name, rows=bytes(50)) for name in ids]
            change = replace(change, put_shots=new)
            wanted |= {one.id: one for one in new}
        elif what == "label":
            to = {name: self._random.randrange(self._next) for name in some}
            change = replace(change, label_shots=to)
            wanted |= {name: replace(wanted[name], class_key=key) for name, key in to.items()}
        elif what == "drop":
            change = replace(change, drop_shots=some)
            wanted = {name: one for name, one in wanted.items() if name not in some}
        elif what == "rows":
            rows = {name: self._random.randbytes(50) for name in some}
            change = replace(change, row_shots=rows)
            wanted |= {name: replace(wanted[name], rows=own) for name, own in rows.items()}
        elif what == "much":  # of the same shots at once
            new = shot(self._random.randrange(self._next), rows=bytes(50))
            rows = {name: self._random.randbytes(self._random.choice([20, 90])) for name in wanted}
            to = {name: self._random.randrange(self._next) for name in some[1:]}
            change = replace(change, put_shots=[new], drop_shots=some[:1], label_shots=to, row_shots=rows)
            wanted = {name: replace(one, rows=rows[name]) for name, one in wanted.items()}
            wanted |= {name: replace(wanted[name], class_key=key) for name, key in to.items()}
            wanted = {name: one for name, one in wanted.items() if name not in some[:1]} | {new.id: new}
        elif self._random.random() < 0.5:
            change = replace(change, put_classes=[ClassRecord(key=self._next, name=str(self._next))])
            self._next += 1
        else:
            key = self._next - 1
            change = replace(change, drop_classes=[key])
            wanted = {name: one for name, one in wanted.items() if one.class_key != key}
            self._next += 1  # its key is not given again
        await self._store.apply(change)
        self.record, self.shots = after, wanted


async def test_folding_beside_writers_and_readers_loses_nothing_and_shows_nothing_twice(
    store: Store, store_url: str, blobs: Blobs
) -> None:
    nodes = [open_store(store_url, Blobs(blobs.url)) for _ in range(2)]
    writers = []
    for seed in range(3):
        record = classifier()
        await store.apply(Change(before=None, after=record))
        writers.append(Writer(store, record, seed))
    writing = True

    async def write(writer: Writer) -> None:
        for _ in range(60):
            await writer.write()

    async def fold(node: Store, ahead: timedelta) -> None:
        while writing:
            # What another claims is due again at once: all that two may do at once is done.
            await node.fold(datetime.now(UTC) + ahead)
            await swept(node, blobs)

    async def read(node: Store) -> None:
        while writing:
            for writer in writers:
                low = writer.record.revision
                support = await node.support("shop", writer.record.id)
                assert support is not None
                assert support.classifier.revision >= low
                ids = [one.id for one in support.shots]
                assert ids == sorted({*ids})

    busy = [asyncio.create_task(fold(node, ahead * SOON)) for ahead, node in enumerate(nodes, 1)]
    busy += [asyncio.create_task(read(node)) for node in nodes]
    await asyncio.gather(*(write(writer) for writer in writers))
    writing = False
    await asyncio.gather(*busy)
    for _ in range(2):  # once as it is, once folded
        for writer in writers:
            support = await nodes[0].support("shop", writer.record.id)
            assert support is not None
            assert support.shots == tuple(writer.shots[name] for name in sorted(writer.shots))
            assert support.classifier == writer.record
        while await store.fold(datetime.now(UTC) + 10 * SOON):
            pass
        await swept(store, blobs)
    named = [await store.blob_names("shop", writer.record.id) for writer in writers]
    assert {*await segment_names(blobs)} == {name for some in named for name in some or ()}
    for node in nodes:
        await node.close()


async def test_a_segment_that_is_lost_is_said_so(store: Store, blobs: Blobs) -> None:
    record = await taught(store, shots=20)
    (name,) = await segment_names(blobs)
    await blobs.remove(name)
    with pytest.raises(StorageError, match=f"{name}.*is gone"):
        await store.support("shop", record.id)
    with pytest.raises(StorageError, match=f"{name}.*is gone"):
        await store.shots("shop", record.id, limit=5)
    assert await store.classifier("shop", record.id) == record
    assert (await store.classes("shop", record.id, limit=5))[0].name == "roll"


async def test_a_change_that_is_refused_leaves_no_segment(store: Store, blobs: Blobs) -> None:
    record = await taught(store, shots=1)
    stale = replace(record, revision=record.revision + 2)
    change = Change(
        before=replace(record, revision=record.revision + 1),
        after=stale,
        put_shots=[shot(id=name) for name in new_ids(20)],
    )
    with pytest.raises(ChangedMeanwhileError):
        await store.apply(change)
    assert await segment_names(blobs) == []


async def test_a_classifier_that_is_gone_is_no_longer_folded(store: Store) -> None:
    record = await taught(store, shots=2)
    await store.apply(Change(before=record, after=None))
    assert await store.fold(later()) == 0
