"""What every store keeps to."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.storage.conftest import NOW, classifier, job, shot, taught, with_shots

from handful.errors import QuotaError, StaleError
from handful.storage.blobs import Blobs
from handful.storage.records import (
    ClassRecord,
    HeadRecord,
    KeyRecord,
    Pinned,
    Repairs,
    Reply,
    Usage,
)
from handful.storage.store import AnsweredError, Change, ChangedMeanwhileError, Store

pytestmark = pytest.mark.anyio


def reply(key: str = "k", **fields: object) -> Reply:
    blank = Reply(
        tenant="shop",
        key=key,
        request="digest",
        status=201,
        headers={"Location": "/x"},
        body=b"{}\x00",
        expires=datetime.now(UTC) + timedelta(hours=1),
    )
    return replace(blank, **fields)  # type: ignore[arg-type]


def head(version: int, **fields: object) -> HeadRecord:
    blank = HeadRecord(
        version=version,
        support_version=version,
        method="auto",
        trained=False,
        held=False,
        created=NOW,
        classes=((0, "roll"), (3, "bun")),
    )
    return replace(blank, **fields)  # type: ignore[arg-type]


# ---- classifiers


async def test_a_classifier_comes_back_as_it_was_written(store: Store) -> None:
    record = classifier(pinned=Pinned(version=4, since=3), templates="photo", domain=None)
    await store.apply(Change(before=None, after=record))
    assert await store.classifier(record.tenant, record.id) == record


async def test_a_classifier_is_not_there_for_another_tenant(store: Store) -> None:
    record = await taught(store)
    for tenant, id in (("other", record.id), ("shop", "none")):
        assert await store.classifier(tenant, id) is None
        assert await store.classifiers(tenant, limit=5, after="zzz") == []
        assert await store.classes(tenant, id, limit=5) == []
        assert await store.classes_named(tenant, id, ["roll"]) == {}
        assert await store.classes_keyed(tenant, id, [0]) == {}
        assert await store.shots(tenant, id, limit=5) == []
        assert await store.support(tenant, id) is None
        assert await store.heads(tenant, id) == []
        assert await store.head(tenant, id, 1) is None


async def test_classifiers_are_listed_by_id_behind_a_given_one(store: Store) -> None:
    records = [classifier() for _ in range(5)]
    for record in records:
        await store.apply(Change(before=None, after=record))
    ids = [record.id for record in records]
    assert ids == sorted(ids)
    assert [one.id for one in await store.classifiers("shop", limit=2)] == ids[:2]
    assert [one.id for one in await store.classifiers("shop", limit=9, after=ids[1])] == ids[2:]


async def test_a_classifier_is_created_once(store: Store) -> None:
    record = classifier()
    await store.apply(Change(before=None, after=record))
    with pytest.raises(ChangedMeanwhileError):
        await store.apply(Change(before=None, after=replace(record, name="other")))
    assert await store.classifier("shop", record.id) == record


async def test_a_change_of_an_older_revision_is_refused_and_leaves_nothing(store: Store) -> None:
    old = await taught(store)
    new = await with_shots(store, old, 1)
    before = await store.support("shop", old.id)
    late = Change(
        before=old,
        after=replace(old, revision=old.revision + 1, shot_count=99),
        put_shots=[shot()],
        put_classes=[ClassRecord(key=9, name="late")],
        put_heads=[(head(9), b"x")],
        reply=reply(),
    )
    with pytest.raises(ChangedMeanwhileError):
        await store.apply(late)
    assert await store.support("shop", old.id) == before
    assert await store.classifier("shop", old.id) == new
    assert await store.heads("shop", old.id) == []
    assert await store.reply("shop", "k") is None


async def test_a_deleted_classifier_is_gone_with_all_that_it_had(store: Store) -> None:
    record = await taught(store)
    await store.keep_head("shop", record.id, head(2), b"data", newest=5)
    await store.apply(Change(before=record, after=None))
    assert await store.classifier("shop", record.id) is None
    assert await store.shots("shop", record.id, limit=9) == []
    assert await store.heads("shop", record.id) == []
    assert await store.usage("shop") == Usage()
    assert [one.name for one in await store.trash(9)] == [f"shop/{record.id}/"]


async def test_a_classifier_made_again_under_its_id_has_nothing_of_the_old_one(store: Store) -> None:
    record = await taught(store, shots=700)
    await store.apply(Change(before=record, after=None))
    again = replace(classifier(), id=record.id)
    await store.apply(Change(before=None, after=again))
    support = await store.support("shop", record.id)
    assert support is not None
    assert (support.classes, support.shots) == ((), ())


# ---- classes and shots


async def test_classes_and_shots_come_back_in_order(store: Store) -> None:
    record = await taught(store, shots=5)
    shots = await store.shots("shop", record.id, limit=9)
    assert len(shots) == 5
    assert [one.id for one in shots] == sorted(one.id for one in shots)
    assert all(one.rows == b"" for one in shots)
    behind = await store.shots("shop", record.id, limit=2, after=shots[1].id)
    assert behind == shots[2:4]
    named = await store.shots_named("shop", record.id, [shots[3].id, "none", shots[3].id])
    assert named == {shots[3].id: shots[3]}


async def test_the_support_has_rows_and_is_of_one_moment(store: Store) -> None:
    record = await taught(store, shots=2)
    support = await store.support("shop", record.id)
    assert support is not None
    assert support.classifier == record
    assert support.classes == (ClassRecord(key=0, name="roll", shots=2),)
    assert [one.rows for one in support.shots] == [shot().rows] * 2
    assert support.shots[0].metadata == {"camera": 1}


async def test_two_classes_may_swap_their_names_in_one_change(store: Store) -> None:
    record = classifier(class_count=2, next_class=2)
    both = [ClassRecord(key=0, name="a"), ClassRecord(key=1, name="b")]
    await store.apply(Change(before=None, after=record, put_classes=both))
    swapped = [ClassRecord(key=0, name="b"), ClassRecord(key=1, name="a")]
    after = replace(record, revision=2)
    await store.apply(Change(before=record, after=after, put_classes=swapped))
    assert await store.classes("shop", record.id, limit=5) == swapped
    assert (await store.classes_named("shop", record.id, ["a"]))["a"].key == 1
    assert await store.classes("shop", record.id, limit=5, after=0) == swapped[1:]
    assert await store.classes_keyed("shop", record.id, [1, 7]) == {1: swapped[1]}


async def test_a_relabelled_shot_is_of_its_new_class_everywhere(store: Store) -> None:
    record = await taught(store, shots=2)
    first = (await store.shots("shop", record.id, limit=1))[0]
    after = replace(record, revision=record.revision + 1)
    await store.apply(Change(before=record, after=after, label_shots={first.id: 7}))
    assert [one.id for one in await store.shots("shop", record.id, limit=9, class_key=7)] == [first.id]
    assert (await store.shots_named("shop", record.id, [first.id]))[first.id].class_key == 7
    support = await store.support("shop", record.id)
    assert support is not None
    assert [one.class_key for one in support.shots] == [7, 0]


async def test_shots_get_other_rows_in_one_change_and_keep_all_else(store: Store) -> None:
    record = await taught(store, shots=12)
    before = await store.support("shop", record.id)
    assert before is not None
    first, second, third, *others = before.shots
    rows = {one.id: bytes([place]) * 40 for place, one in enumerate(before.shots[:11])}
    after = replace(
        record, revision=record.revision + 1, encoder="other", fingerprint="other-1", shot_count=11
    )
    change = Change(
        before=record,
        after=after,
        row_shots=rows,
        label_shots={second.id: 7},
        drop_shots=[third.id],
        put_shots=[fresh := shot(rows=b"\x01" * 9)],
    )
    await store.apply(change)
    now = await store.support("shop", record.id)
    assert now is not None
    expected = [
        replace(first, rows=rows[first.id]),
        replace(second, rows=rows[second.id], class_key=7),
        *(replace(one, rows=rows.get(one.id, one.rows)) for one in others),
        fresh,
    ]
    assert now.classifier == after
    assert list(now.shots) == expected
    last = replace(after, revision=after.revision + 1)
    await store.apply(Change(before=after, after=last, label_shots={first.id: 7}, drop_shots=[second.id]))
    for fold in (False, True):
        if fold:
            while await store.fold(datetime.now(UTC) + timedelta(minutes=1)):
                pass
        again = await store.support("shop", record.id)
        assert again is not None
        assert list(again.shots) == [replace(expected[0], class_key=7), *expected[2:]]


async def test_a_change_of_rows_that_is_refused_leaves_none(store: Store, blobs: Blobs) -> None:
    record = await taught(store, shots=10)
    before = await store.support("shop", record.id)
    assert before is not None
    files = sorted(await blobs.names())
    stale = replace(record, revision=record.revision - 1)
    rows = dict.fromkeys([one.id for one in before.shots], b"\x02" * 30)
    with pytest.raises(ChangedMeanwhileError):
        await store.apply(Change(before=stale, after=record, row_shots=rows))
    grown = replace(record, revision=record.revision + 1, shot_count=record.shot_count + 1)
    with pytest.raises(QuotaError):
        await store.apply(Change(before=record, after=grown, row_shots=rows, limits=Usage(shots=1)))
    assert await store.support("shop", record.id) == before
    assert sorted(await blobs.names()) == files


async def test_dropped_shots_and_classes_leave_their_blobs_in_the_trash(store: Store) -> None:
    record = await taught(store, shots=3)
    shots = await store.shots("shop", record.id, limit=9)
    after = replace(record, revision=record.revision + 1, shot_count=2, image_bytes=20)
    await store.apply(Change(before=record, after=after, drop_shots=[shots[0].id]))
    assert [one.name for one in await store.trash(9)] == [shots[0].blob]
    last = replace(after, revision=after.revision + 1, class_count=0, shot_count=0, image_bytes=0)
    await store.apply(Change(before=after, after=last, drop_classes=[0]))
    trash = await store.trash(9)
    assert [one.name for one in trash] == [one.blob for one in shots]
    assert await store.shots("shop", record.id, limit=9) == []
    assert await store.classes("shop", record.id, limit=9) == []
    await store.forget_trash([one.id for one in trash[:2]])
    assert [one.name for one in await store.trash(9)] == [shots[2].blob]


async def test_trash_that_is_held_waits(store: Store) -> None:
    record = await taught(store)
    await store.apply(Change(before=record, after=None))
    await store.hold_trash(datetime.now(UTC) + timedelta(minutes=1))
    assert await store.trash(9) == []
    await store.hold_trash(datetime.now(UTC) - timedelta(seconds=1))
    assert len(await store.trash(9)) == 1


# ---- heads


async def test_only_the_newest_heads_that_are_not_held_stay(store: Store) -> None:
    record = await taught(store)
    held = head(3, held=True, trained=True)
    after = replace(record, revision=record.revision + 1)
    await store.apply(Change(before=record, after=after, put_heads=[(held, b"trained")]))
    for version in (4, 5, 6, 7):
        await store.keep_head("shop", record.id, head(version), bytes([version]), newest=2)
    assert [one.version for one in await store.heads("shop", record.id)] == [7, 6, 3]
    assert await store.head("shop", record.id, 3) == (held, b"trained")
    assert await store.head("shop", record.id, 7) == (head(7), b"\x07")
    assert await store.head("shop", record.id, 4) is None


async def test_a_head_is_kept_once_and_not_for_a_classifier_that_is_gone(store: Store) -> None:
    record = await taught(store)
    await store.keep_head("shop", record.id, head(2), b"first", newest=5)
    await store.keep_head("shop", record.id, head(2), b"second", newest=5)
    assert await store.head("shop", record.id, 2) == (head(2), b"first")
    await store.apply(Change(before=record, after=None))
    await store.keep_head("shop", record.id, head(3), b"late", newest=5)
    assert await store.head("shop", record.id, 3) is None


# ---- quotas


async def test_usage_follows_every_change(store: Store) -> None:
    record = await taught(store, shots=3)
    await taught(store, shots=1)
    await taught(store, shots=5, tenant="other")
    assert await store.usage("shop") == Usage(classifiers=2, classes=2, shots=4, image_bytes=40)
    await store.apply(Change(before=record, after=None))
    assert await store.usage("shop") == Usage(classifiers=1, classes=1, shots=1, image_bytes=10)


@pytest.mark.parametrize("over", ["classifiers", "classes", "shots", "image_bytes"])
async def test_a_change_over_a_limit_is_refused_by_name_and_leaves_nothing(store: Store, over: str) -> None:
    record = await taught(store, shots=1)
    limits = replace(Usage(classifiers=9, classes=9, shots=9, image_bytes=99), **{over: 1})
    bigger = replace(classifier(), class_count=2, shot_count=2, image_bytes=20, next_class=2)
    change = Change(before=None, after=bigger, put_shots=[shot()], limits=limits)
    with pytest.raises(QuotaError, match=over.replace("_", " ")):
        await store.apply(change)
    assert await store.classifier("shop", bigger.id) is None
    assert await store.usage("shop") == Usage(classifiers=1, classes=1, shots=1, image_bytes=10)
    # What makes less is always possible.
    await store.apply(Change(before=record, after=None, limits=Usage()))


# ---- answers given


async def test_an_answer_is_given_again_until_it_expires(store: Store) -> None:
    record, given = classifier(), reply()
    await store.apply(Change(before=None, after=record, reply=given))
    assert await store.reply("shop", "k") == given
    assert await store.reply("other", "k") is None
    old = reply("old", expires=datetime.now(UTC) - timedelta(seconds=1))
    await store.put_job(job(), reply=old)
    assert await store.reply("shop", "old") is None
    await store.put_job(job(), reply=reply("old"))  # the key is free again
    await store.forget_expired(datetime.now(UTC) + timedelta(hours=2))
    assert await store.reply("shop", "k") is None


async def test_of_two_changes_under_one_key_the_second_gets_the_firsts_answer(store: Store) -> None:
    first, second = classifier(), classifier()
    outcomes = await asyncio.gather(
        store.apply(Change(before=None, after=first, reply=reply(body=b"first"))),
        store.apply(Change(before=None, after=second, reply=reply(body=b"second"))),
        return_exceptions=True,
    )
    refused = [one for one in outcomes if one is not None]
    assert len(refused) == 1
    assert isinstance(refused[0], AnsweredError)
    assert len(await store.classifiers("shop", limit=9)) == 1
    assert refused[0].reply.body in (b"first", b"second")


# ---- jobs


async def test_the_oldest_job_is_claimed_by_one_only(store: Store) -> None:
    jobs = [job() for _ in range(3)]
    for one in jobs:
        await store.put_job(one)
    later = NOW + timedelta(seconds=30)
    claims = await asyncio.gather(
        *(store.claim_job(token=f"w{number}", now=NOW, lease_until=later) for number in range(5))
    )
    claimed = [one for one in claims if one is not None]
    assert sorted(one.id for one in claimed) == sorted(one.id for one in jobs)
    assert {one.status for one in claimed} == {"running"}
    assert {one.attempts for one in claimed} == {1}
    first = min(claimed, key=lambda one: str(one.token))
    assert first.id == jobs[0].id


async def test_a_job_whose_lease_is_over_is_taken_and_its_worker_can_write_no_more(store: Store) -> None:
    await store.put_job(job())
    lease = NOW + timedelta(seconds=5)
    old = await store.claim_job(token="old", now=NOW, lease_until=lease)
    assert old is not None
    assert await store.claim_job(token="new", now=NOW, lease_until=lease) is None
    new = await store.claim_job(token="new", now=lease, lease_until=lease + timedelta(seconds=5))
    assert new is not None
    assert (new.id, new.attempts) == (old.id, 2)
    assert not await store.update_job(replace(old, progress=0.9))
    with pytest.raises(StaleError):
        await store.apply(Change(before=None, after=classifier(), job=replace(old, progress=0.9)))
    assert await store.usage("shop") == Usage()
    assert await store.update_job(replace(new, progress=0.5, cursor={"at": 3}))
    assert await store.job("shop", new.id) == replace(new, progress=0.5, cursor={"at": 3})
    assert await store.job("other", new.id) is None


async def test_a_job_is_written_together_with_its_change(store: Store) -> None:
    await store.put_job(job())
    mine = await store.claim_job(token="w", now=NOW, lease_until=NOW + timedelta(seconds=9))
    assert mine is not None
    await store.cancel_job("shop", mine.id, NOW)
    record = classifier()
    await store.apply(Change(before=None, after=record, job=replace(mine, cursor={"made": record.id})))
    found = await store.job("shop", mine.id)
    assert found is not None
    assert found.cursor == {"made": record.id}
    assert found.cancelling  # its worker had not heard of it yet


async def test_cancelling_ends_a_queued_job_and_asks_a_running_one_to_stop(store: Store) -> None:
    waiting, running = job(), job()
    await store.put_job(running)
    claimed = await store.claim_job(token="w", now=NOW, lease_until=NOW + timedelta(seconds=9))
    assert claimed is not None
    await store.put_job(waiting)
    cancelled = await store.cancel_job("shop", waiting.id, NOW)
    assert cancelled is not None
    assert cancelled.status == "cancelled"
    asked = await store.cancel_job("shop", running.id, NOW)
    assert asked is not None
    assert (asked.status, asked.cancelling) == ("running", True)
    assert await store.cancel_job("other", running.id, NOW) is None
    # A heartbeat that was on its way does not undo it.
    assert await store.update_job(replace(claimed, progress=0.5))
    found = await store.job("shop", running.id)
    assert found is not None
    assert found.cancelling
    over = replace(claimed, status="succeeded")
    assert await store.update_job(over)
    assert not await store.update_job(over)  # nothing is written to a job that is over
    late = NOW + timedelta(days=1)
    assert await store.claim_job(token="x", now=late, lease_until=late) is None


async def test_jobs_that_have_long_been_over_are_forgotten_the_oldest_first(store: Store) -> None:
    def at(day: int) -> datetime:
        return NOW + timedelta(days=day)

    kept = [job(status="queued", updated=at(0)), job(status="running", updated=at(0), token="w")]
    kept.append(job(status="succeeded", updated=at(10)))
    over = [job(status=status, updated=at(day)) for day, status in enumerate(("failed", "cancelled"), 1)]
    for one in (*kept, *over):
        await store.put_job(one)
    assert await store.forget_jobs(at(10), 1) == 1
    assert [await store.job("shop", one.id) for one in over] == [None, over[1]]
    assert await store.forget_jobs(at(10), 9) == 1
    assert await store.forget_jobs(at(10), 9) == 0
    assert await store.job("shop", over[1].id) is None
    assert [await store.job("shop", one.id) for one in kept] == kept


async def test_a_job_counts_as_over_from_its_last_write_on(store: Store) -> None:
    await store.put_job(job())
    mine = await store.claim_job(token="w", now=NOW, lease_until=NOW + timedelta(seconds=9))
    assert mine is not None
    later = NOW + timedelta(days=1)
    assert await store.forget_jobs(later, 9) == 0
    assert await store.update_job(replace(mine, status="succeeded", updated=later))
    assert await store.forget_jobs(later, 9) == 0
    assert await store.forget_jobs(later + timedelta(seconds=1), 9) == 1


# ---- keys


async def test_keys_come_back_and_are_changed_in_place(store: Store) -> None:
    key = KeyRecord(
        id="k1",
        tenant="shop",
        name="till",
        digest="d",
        scopes=frozenset({"read", "write"}),
        created=NOW,
        expires=NOW + timedelta(days=1),
    )
    await store.put_key(key)
    await store.put_key(replace(key, id="k2", tenant="other"))
    assert await store.key("k1") == key
    assert await store.key("k9") is None
    assert [one.id for one in await store.keys()] == ["k1", "k2"]
    assert [one.id for one in await store.keys("other")] == ["k2"]
    await store.put_key(replace(key, revoked=NOW), before=key)
    assert await store.keys("shop") == [replace(key, revoked=NOW)]


async def test_a_key_that_another_changed_meanwhile_is_not_written(store: Store) -> None:
    key = KeyRecord(id="k", tenant="shop", name="till", digest="d", scopes=frozenset({"read"}), created=NOW)
    with pytest.raises(ChangedMeanwhileError):
        await store.put_key(replace(key, digest="e"), before=key)
    assert await store.keys() == []
    await store.put_key(key)
    revoked = replace(key, revoked=NOW)
    await store.put_key(revoked, before=key)
    for before in (key, None):
        with pytest.raises(ChangedMeanwhileError):
            await store.put_key(replace(key, digest="e"), before=before)
    assert await store.keys() == [revoked]


# ---- the store as a whole


async def test_jobs_that_are_not_over_are_counted(store: Store) -> None:
    assert await store.jobs_left() == 0
    for tenant in ("shop", "other"):
        await store.put_job(job(tenant=tenant))
    done = job(status="succeeded")
    await store.put_job(done)
    assert await store.jobs_left() == 2
    until = datetime.now(UTC) + timedelta(minutes=1)
    claimed = await store.claim_job(token="t", now=datetime.now(UTC), lease_until=until)
    assert claimed is not None
    assert await store.jobs_left() == 2
    await store.update_job(replace(claimed, status="failed"))
    assert await store.jobs_left() == 1


async def test_a_hold_of_the_trash_is_told_while_it_lasts(store: Store) -> None:
    assert not await store.trash_held()
    await store.hold_trash(datetime.now(UTC) + timedelta(minutes=1))
    assert await store.trash_held()
    await store.hold_trash(datetime.now(UTC) - timedelta(seconds=1))
    assert not await store.trash_held()


async def test_a_note_is_kept_until_another_takes_its_place(store: Store) -> None:
    assert await store.note("migration") is None
    await store.put_note("migration", b"\x00under way")
    await store.put_note("other", b"x")
    assert await store.note("migration") == b"\x00under way"
    await store.put_note("migration", b"over")
    assert await store.note("migration") == b"over"
    await store.put_note("migration", None)
    assert await store.note("migration") is None
    assert await store.note("other") == b"x"


async def test_nothing_needs_repair_after_writes_that_came_to_their_end(store: Store) -> None:
    record = await taught(store)
    await with_shots(store, record, 2)
    with pytest.raises(ChangedMeanwhileError):
        await with_shots(store, record, 2)
    with pytest.raises(QuotaError):
        await store.apply(Change(before=None, after=classifier(), limits=Usage()))
    assert await store.repair("shop", write=True) == Repairs()
