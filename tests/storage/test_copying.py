"""Stores copied into others: everything, verified, also while it is written to and after being cut off."""

import asyncio
import random
import sqlite3
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.storage.conftest import NOW, classifier, job, shot, taught, with_shots
from tests.storage.test_store import head, reply

from handful.errors import StorageError
from handful.storage.blobs import Blobs, digest_name
from handful.storage.copying import copy_store
from handful.storage.ids import new_ids
from handful.storage.open import open_store
from handful.storage.records import ClassifierRecord, ClassRecord, KeyRecord, Pinned, Support
from handful.storage.snapshots import Snapshot, snapshot
from handful.storage.store import Change, Store
from handful.storage.walking import pairs

pytestmark = pytest.mark.anyio

Opened = Callable[[str], Store]


@pytest.fixture
async def opened(tmp_path: Path, anyio_backend: str) -> AsyncIterator[Opened]:
    """More stores, each a file of that name."""
    made: dict[str, Store] = {}

    def another(name: str) -> Store:
        if name not in made:
            made[name] = open_store(f"sqlite:///{tmp_path}/{name}.sqlite")
        return made[name]

    yield another
    for store in made.values():
        await store.close()


def key(id: str, tenant: str = "shop") -> KeyRecord:
    return KeyRecord(
        id=id, tenant=tenant, name="till", digest="d" * 64, scopes=frozenset({"read", "write"}), created=NOW
    )


async def lived_in(store: Store) -> list[ClassifierRecord]:
    """Classifiers with everything that one can have, of two tenants."""
    records = [await taught(store, 5), await taught(store, 20, tenant="other"), classifier(templates="photo")]
    await store.apply(Change(before=None, after=records[2]))
    first = records[0]
    moved = (await store.shots("shop", first.id, limit=1))[0]
    after = replace(
        first,
        revision=3,
        support_version=3,
        pinned=Pinned(version=3, since=3),
        next_class=7,
        class_count=2,
        shot_count=6,
    )
    change = Change(
        before=first,
        after=after,
        put_classes=[
            ClassRecord(key=0, name="roll", description="round", prompts=("a roll",), shots=4),
            ClassRecord(key=6, name="Brötchen \U0001f956", shots=2),
        ],
        put_shots=[shot(6, group="g", source_id="s", metadata={"z": 10**30, "a": [1.5, None, "ü"]})],
        label_shots={moved.id: 6},
        put_heads=[(head(2), bytes(range(256)) * 9), (head(3, trained=True, held=True), b"trained\x00")],
    )
    await store.apply(change)
    records[0] = after
    await store.keep_head("other", records[1].id, head(2), b"compiled", newest=5)
    for one in (key("k1"), replace(key("k2", "other"), revoked=NOW, expires=NOW)):
        await store.put_key(one)
    await store.put_job(job(status="succeeded"))
    await store.put_job(job(tenant="other"), reply=reply(tenant="other"))
    return records


async def contents(store: Store) -> dict[tuple[str, str], str]:
    """The digest of each classifier."""
    found = {}
    async for record, _ in pairs(store, store):
        assert record is not None
        whole = await snapshot(store, record.tenant, record.id)
        assert whole is not None
        found[record.tenant, record.id] = whole.digest()
    return found


async def test_all_comes_over_and_back_again(store: Store, opened: Opened) -> None:
    first, last = opened("first"), opened("last")
    records = await lived_in(first)
    there = await copy_store(first, store)
    back = await copy_store(store, last)
    for report in (there, back):
        assert (report.classifiers, report.shots, report.heads, report.keys) == (3, 26, 3, 2)
        assert (report.same, report.updated, report.removed, report.failures) == (0, 0, 0, [])
    told = await contents(first)
    assert set(told) == {(record.tenant, record.id) for record in records}
    assert await contents(store) == told
    assert await contents(last) == told
    for one in (store, last):
        assert await one.keys() == await first.keys()
        for tenant in ("shop", "other"):
            assert await one.usage(tenant) == await first.usage(tenant)
        assert await one.support("shop", records[0].id) == await first.support("shop", records[0].id)


async def test_jobs_and_replies_stay_behind(store: Store, opened: Opened) -> None:
    source = opened("source")
    waiting = job()
    await source.put_job(waiting, reply=reply())
    await copy_store(source, store)
    assert await store.job("shop", waiting.id) is None
    assert await store.reply("shop", "k") is None
    assert await store.jobs_left() == 0


async def test_a_copy_can_be_written_to_as_its_original(store: Store, opened: Opened) -> None:
    source = opened("source")
    (record, *_) = await lived_in(source)
    await copy_store(source, store)
    after = replace(record, revision=4, support_version=4, shot_count=7)
    more = shot(6)
    await store.apply(Change(before=record, after=after, put_shots=[more]))
    support = await store.support("shop", record.id)
    assert support is not None
    assert more in support.shots
    assert len(support.shots) == 7


async def test_what_is_there_already_is_not_written_again(store: Store, opened: Opened) -> None:
    source = opened("source")
    await lived_in(source)
    await copy_store(source, store)
    told = await contents(store)
    again = await copy_store(source, store)
    assert (again.same, again.classifiers, again.shots, again.keys) == (3, 0, 0, 0)
    assert await contents(store) == told


async def test_heads_that_the_copy_made_itself_are_no_difference(store: Store, opened: Opened) -> None:
    source = opened("source")
    record = await taught(source)
    await copy_store(source, store)
    await store.keep_head("shop", record.id, head(record.revision), b"its own", newest=5)
    again = await copy_store(source, store)
    assert (again.same, again.failures) == (1, [])
    assert await store.head("shop", record.id, record.revision) is not None


async def test_a_dry_run_says_the_same_and_writes_nothing(store: Store, opened: Opened) -> None:
    source = opened("source")
    await lived_in(source)
    said = await copy_store(source, store, dry_run=True)
    assert await store.tenants(limit=9) == []
    assert await store.keys() == []
    assert await copy_store(source, store) == said


async def test_progress_is_told_to_its_end(store: Store, opened: Opened) -> None:
    source = opened("source")
    await lived_in(source)
    told: list[tuple[int, int]] = []
    await copy_store(source, store, told=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]


async def test_an_older_copy_is_brought_up_and_no_picture_that_stays_is_trash(
    store: Store, opened: Opened
) -> None:
    source = opened("source")
    record = await taught(source, 6)
    gone = await taught(source, 1)
    await copy_store(source, store)
    shots = await source.shots("shop", record.id, limit=9)
    one = replace(record, revision=3, support_version=3, class_count=3, next_class=3, shot_count=7)
    await source.apply(
        Change(
            before=record,
            after=one,
            put_classes=[ClassRecord(key=1, name="bun", shots=2), ClassRecord(key=2, name="rye", shots=2)],
            label_shots={shots[0].id: 1, shots[1].id: 2},
            put_shots=[shot(2), shot(1)],
            drop_shots=[shots[5].id],
            put_heads=[(head(3, held=True), b"held")],
        )
    )
    two = replace(one, revision=4, support_version=4, class_count=2, shot_count=5)
    await source.apply(
        Change(
            before=one,
            after=two,
            drop_classes=[1],
            put_classes=[ClassRecord(key=2, name="bun", description="brown", shots=2)],
        )
    )
    await source.apply(Change(before=gone, after=None))
    await source.put_key(key("late"))
    report = await copy_store(source, store)
    assert (report.updated, report.removed, report.same, report.failures) == (1, 1, 0, [])
    assert await contents(store) == await contents(source)
    assert await store.usage("shop") == await source.usage("shop")
    assert await store.key("late") == key("late")
    support = await store.support("shop", record.id)
    assert support is not None
    named = {one.blob for one in support.shots}
    trash = {one.name for one in await store.trash(99)}
    assert {str(shots[0].blob), str(shots[5].blob), f"shop/{gone.id}/"} <= trash
    assert not trash & named


async def test_shots_that_left_a_class_before_it_was_dropped_stay(store: Store, opened: Opened) -> None:
    source = opened("source")
    record = await taught(source, 4)
    await copy_store(source, store)
    shots = await source.shots("shop", record.id, limit=9)
    moved = replace(record, revision=3, support_version=3, class_count=2, next_class=2)
    await source.apply(
        Change(
            before=record,
            after=moved,
            put_classes=[ClassRecord(key=0, name="roll", shots=2), ClassRecord(key=1, name="bun", shots=2)],
            label_shots={shots[0].id: 1, shots[2].id: 1},
        )
    )
    dropped = replace(moved, revision=4, support_version=4, class_count=1, shot_count=2)
    await source.apply(Change(before=moved, after=dropped, drop_classes=[0]))
    await copy_store(source, store)
    assert await contents(store) == await contents(source)
    assert [one.id for one in await store.shots("shop", record.id, limit=9)] == [shots[0].id, shots[2].id]
    assert {one.name for one in await store.trash(9)} == {str(shots[1].blob), str(shots[3].blob)}


async def test_what_was_written_to_the_copy_is_left_as_it_is_and_named(store: Store, opened: Opened) -> None:
    source = opened("source")
    record, other = await taught(source), await taught(source)
    await copy_store(source, store)
    ahead = await with_shots(store, record, 1)
    told = await contents(store)
    report = await copy_store(source, store)
    assert [(one.tenant, one.id) for one in report.failures] == [("shop", record.id)]
    assert f"revision {ahead.revision}" in report.failures[0].reason
    assert (report.same, report.whole) == (1, False)
    assert await contents(store) == told
    assert other.id in {one.id for one in await store.classifiers("shop", limit=9)}


async def test_a_shot_that_is_another_under_its_old_id_is_not_written_over(
    store: Store, opened: Opened
) -> None:
    source = opened("source")
    record = await taught(source)
    await copy_store(source, store)
    (first, *_) = await source.shots("shop", record.id, limit=1)
    one = replace(record, revision=3, shot_count=2)
    await source.apply(Change(before=record, after=one, drop_shots=[first.id]))
    two = replace(one, revision=4, shot_count=3)
    await source.apply(Change(before=one, after=two, put_shots=[replace(first, rows=b"\x01\x00\x00\x3c")]))
    report = await copy_store(source, store)
    assert [one.reason for one in report.failures] == [
        f"shot {first.id} is another in each store; copy into an empty one"
    ]


async def test_copies_are_of_one_revision_while_others_write(store: Store, opened: Opened) -> None:
    target = opened("target")
    records = [await taught(store, 3) for _ in range(12)]
    stop = asyncio.Event()

    async def write(record: ClassifierRecord, seed: int) -> None:
        rng = random.Random(seed)
        while not stop.is_set():
            record = await with_shots(store, record, rng.randrange(1, 4))
            await store.keep_head("shop", record.id, head(record.revision), bytes(9), newest=2)
            await asyncio.sleep(0.05 * rng.random())

    writers = [asyncio.create_task(write(record, seed)) for seed, record in enumerate(records[:4])]
    report = await copy_store(store, target)
    for record in records:
        support = await target.support("shop", record.id)
        assert support is not None
        assert support.classifier.shot_count == len(support.shots)
        assert [one.shots for one in support.classes] == [len(support.shots)]
    stop.set()
    await asyncio.gather(*writers)
    assert (report.classifiers, report.failures) == (12, [])
    again = await copy_store(store, target)
    assert (again.classifiers, again.failures) == (0, [])
    assert again.updated + again.same == 12
    assert await kept(target) == await kept(store)


async def kept(store: Store) -> dict[str, str]:
    """Digests without the heads that any node makes again."""
    found = {}
    async for record, _ in pairs(store, store):
        assert record is not None
        whole = await snapshot(store, record.tenant, record.id)
        assert whole is not None
        found[record.id] = whole.digest(made_again=False)
    return found


async def test_a_classifier_that_is_deleted_meanwhile_is_none(store: Store, opened: Opened) -> None:
    records = [await taught(store) for _ in range(40)]

    async def delete() -> None:
        for record in reversed(records):
            await store.apply(Change(before=record, after=None))

    deleting = asyncio.create_task(delete())
    report = await copy_store(store, opened("target"))
    await deleting
    assert report.failures == []
    report = await copy_store(store, opened("target"))
    assert await contents(opened("target")) == {}
    assert report.failures == []


async def test_a_classifier_that_cannot_be_read_is_named_and_the_others_come_over(
    opened: Opened, tmp_path: Path
) -> None:
    source, target = opened("source"), opened("target")
    harmed, sound = await taught(source), await taught(source)
    disk = sqlite3.connect(tmp_path / "source.sqlite")
    disk.execute("UPDATE shots SET record = '{' WHERE classifier = 1 AND id = (SELECT min(id) FROM shots)")
    disk.commit()
    disk.close()
    report = await copy_store(source, target)
    assert [one.id for one in report.failures] == [harmed.id]
    assert "damaged" in report.failures[0].reason
    assert set(await contents(target)) == {("shop", sound.id)}


async def test_a_target_that_is_away_ends_the_copy(
    store: Store, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = opened("source")
    await lived_in(source)

    async def away(*_: object) -> None:
        raise StorageError("it is away")

    monkeypatch.setattr(store, "apply", away)
    monkeypatch.setattr(store, "check", away)
    with pytest.raises(StorageError, match="it is away"):
        await copy_store(source, store)


async def test_what_reads_otherwise_than_it_was_written_is_named(
    store: Store, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = opened("source")
    record = await taught(source)
    apply = store.apply

    async def forgetful(change: Change) -> None:
        rows = [replace(one, rows=bytes(len(one.rows))) for one in change.put_shots]
        await apply(replace(change, put_shots=rows))

    monkeypatch.setattr(store, "apply", forgetful)
    report = await copy_store(source, store)
    assert [(one.id, one.reason.split(";")[0]) for one in report.failures] == [
        (record.id, "it reads otherwise from the target than it was written")
    ]


async def test_a_writer_of_the_target_is_not_written_over(
    store: Store, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = opened("source")
    record = await taught(source)
    apply = store.apply

    async def late(change: Change) -> None:
        await apply(Change(before=None, after=replace(record, name="theirs")))
        await apply(change)

    monkeypatch.setattr(store, "apply", late)
    report = await copy_store(source, store)
    assert [one.id for one in report.failures] == [record.id]
    assert (await store.classifier("shop", record.id)) == replace(record, name="theirs")


async def test_no_more_is_in_memory_at_once_than_has_room(
    store: Store, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = opened("source")
    for count in (1, 30, 2, 50, 3):  # two of them larger than all the room
        await taught(source, count)
    held, most = 0, 0

    async def counted(of: Store, tenant: str, id: str) -> Snapshot | None:
        nonlocal held, most
        whole = await snapshot(of, tenant, id)
        if of is source:
            held += len(whole.support.shots) if whole else 0
            most = max(most, held)
        elif whole is not None:  # read back, the last that is done with it
            held -= len(whole.support.shots)
        return whole

    monkeypatch.setattr("handful.storage.copying.snapshot", counted)
    monkeypatch.setattr("handful.storage.copying._ALWAYS", 0)
    monkeypatch.setattr("handful.storage.copying._ROOM", 8)
    assert (await copy_store(source, store)).classifiers == 5
    assert (held, most) == (0, 50)


# ---- pictures


async def pictured(store: Store, blobs: Blobs, count: int) -> ClassifierRecord:
    record = classifier(shot_count=count, class_count=1, next_class=1)
    shots = []
    for number, name in enumerate(new_ids(count)):
        data = bytes([number]) * 50
        blob = digest_name(f"shop/{record.id}/{name}", data, "jpg")
        await blobs.put(blob, data)
        shots.append(shot(id=name, blob=blob, blob_bytes=50))
    classes = [ClassRecord(key=0, name="roll", shots=count)]
    await store.apply(Change(before=None, after=record, put_classes=classes, put_shots=shots))
    return record


async def test_pictures_come_over_where_the_places_differ(
    store: Store, opened: Opened, tmp_path: Path
) -> None:
    here, there = Blobs(str(tmp_path / "here")), Blobs(str(tmp_path / "there"))
    source = opened("source")
    for count in (3, 70):
        await pictured(source, here, count)
    assert (await copy_store(source, store, pictures=(here, there), dry_run=True)).pictures == 73
    assert await there.names() == []
    report = await copy_store(source, store, pictures=(here, there))
    assert (report.pictures, report.missing) == (73, [])
    assert await there.names() == await here.names()
    assert [await there.get(name) for name in await there.names()] == [
        await here.get(name) for name in await here.names()
    ]
    assert (await copy_store(source, store, pictures=(here, there))).pictures == 0


async def test_pictures_that_are_lost_are_named_and_all_else_comes_over(
    store: Store, opened: Opened, tmp_path: Path
) -> None:
    here, there = Blobs(str(tmp_path / "here")), Blobs(str(tmp_path / "there"))
    source = opened("source")
    record = await pictured(source, here, 4)
    missing, damaged, *others = await here.names()
    await here.remove(missing)
    (tmp_path / "here" / damaged).write_bytes(b"?")
    report = await copy_store(source, store, pictures=(here, there))
    assert sorted(report.missing) == [missing, damaged]
    assert (report.pictures, report.failures) == (2, [])
    assert await there.names() == others
    assert await contents(store) == await contents(source)
    assert await store.classifier("shop", record.id) == record


async def test_pictures_that_are_deleted_meanwhile_are_not_missed(
    store: Store, opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = Blobs(str(tmp_path / "here")), Blobs(str(tmp_path / "there"))
    source = opened("source")
    record = await pictured(source, here, 3)
    (first, *_) = await source.shots("shop", record.id, limit=1)
    names = there.names

    async def late(prefix: str = "") -> list[str]:
        if await source.classifier("shop", record.id) == record:
            after = replace(record, revision=2, shot_count=2)
            await source.apply(Change(before=record, after=after, drop_shots=[first.id]))
            await here.remove(str(first.blob))
        return await names(prefix)

    monkeypatch.setattr(there, "names", late)
    report = await copy_store(source, store, pictures=(here, there))
    assert (report.missing, report.failures, report.shots) == ([], [], 2)
    assert await names() == await here.names()


# ---- snapshots


async def test_a_digest_tells_every_difference_and_nothing_else(opened: Opened) -> None:
    store = opened("source")
    (record, *_) = await lived_in(store)
    whole = await snapshot(store, "shop", record.id)
    assert whole is not None
    support = whole.support
    first, *rest = support.shots
    others = [
        replace(whole, support=replace(support, classifier=replace(record, name="x"))),
        replace(whole, support=replace(support, classes=support.classes[:1])),
        replace(whole, support=replace(support, classes=support.classes[::-1])),
        replace(whole, support=replace(support, shots=(replace(first, rows=b""), *rest))),
        replace(whole, support=replace(support, shots=(replace(first, metadata=None), *rest))),
        replace(whole, support=replace(support, shots=(replace(first, class_key=5), *rest))),
        replace(whole, heads=whole.heads[:1]),
        replace(whole, heads=((whole.heads[0][0], b"other"), *whole.heads[1:])),
    ]
    assert len({one.digest() for one in (whole, *others)}) == len(others) + 1
    elsewhere = record.created.astimezone(datetime.now().astimezone().tzinfo)
    turned = replace(first, metadata=dict(reversed((first.metadata or {}).items())))
    again = replace(
        whole,
        support=replace(support, classifier=replace(record, created=elsewhere), shots=(turned, *rest)),
    )
    assert again.digest() == whole.digest()


async def test_a_classifier_that_never_rests_is_of_one_revision_all_the_same(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened("source")
    record = await taught(store)
    support = store.support

    async def restless(tenant: str, id: str) -> Support | None:
        found = await support(tenant, id)
        if found is not None:  # and before its heads are read, it is another
            after = await with_shots(store, found.classifier, 1)
            await store.keep_head("shop", id, head(found.classifier.revision), b"then", newest=9)
            await store.keep_head("shop", id, head(after.revision), b"later", newest=9)
        return found

    monkeypatch.setattr(store, "support", restless)
    monkeypatch.setattr("handful.storage.snapshots._PAUSE", 0.0)
    whole = await snapshot(store, "shop", record.id)
    assert whole is not None
    assert whole.record.shot_count == len(whole.support.shots) > 3
    assert max(one.version for one, _ in whole.heads) == whole.record.revision


async def test_a_restless_classifier_without_the_head_that_answers_is_an_error(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened("source")
    record = classifier(pinned=Pinned(version=1, since=1))
    await store.apply(Change(before=None, after=record))

    async def restless(tenant: str, id: str) -> ClassifierRecord:
        return replace(record, updated=datetime.now(UTC))

    monkeypatch.setattr(store, "classifier", restless)
    monkeypatch.setattr("handful.storage.snapshots._PAUSE", 0.0)
    with pytest.raises(StorageError, match="all the time"):
        await snapshot(store, "shop", record.id)
