"""Writes to a store and its blobs until the process dies, and says before and after each write what it does.

A line of what is said is "asked …" before a write and "done …" once it is acknowledged.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from tests.storage.conftest import classifier, job, shot

from handful.storage.blobs import Blobs, digest_name
from handful.storage.ids import new_ids
from handful.storage.records import ClassifierRecord, ClassRecord, Reply, ShotRecord
from handful.storage.store import Change, ChangedMeanwhileError, Store

TENANT = "shop"
_WRITERS = 3
_STEPS = 4  # of a job

Say = Callable[[str], None]


async def prepare(store: Store) -> str:
    """The classifier that all write to."""
    record = classifier(TENANT, next_class=1, class_count=1)
    await store.apply(Change(before=None, after=record, put_classes=[ClassRecord(key=0, name="roll")]))
    return record.id


async def work(store: Store, blobs: Blobs, id: str, seed: int, say: Say) -> None:
    """Without end."""
    async with asyncio.TaskGroup() as group:
        for number in range(_WRITERS):
            group.create_task(_add_and_delete(store, blobs, id, random.Random(f"{seed} {number}"), say))
        group.create_task(_do_jobs(store, id, say))
        group.create_task(_make_and_remove(store, blobs, say))


async def _add_and_delete(store: Store, blobs: Blobs, id: str, rng: random.Random, say: Say) -> None:
    """Requests of one to three shots, each with a picture and a reply; some shots go again."""
    while True:
        tag = f"{rng.getrandbits(60):x}-{new_ids(1)[0]}"
        shots = []
        for name in new_ids(rng.randint(1, 3)):
            data = rng.randbytes(rng.randint(1, 5000))
            blob = digest_name(f"{TENANT}/{id}/{name}", data, "jpg")
            shots.append(shot(id=name, source_id=tag, blob=blob, blob_bytes=len(data)))
            await blobs.put(blob, data)
        say(f"asked add {tag} {' '.join(one.id for one in shots)}")
        await _changed(store, id, put=shots, tag=tag)
        say(f"done add {tag}")
        if rng.random() < 0.3:
            gone = rng.choice(shots)
            say(f"asked delete {gone.id}")
            await _changed(store, id, drop=[gone])
            say(f"done delete {gone.id}")


async def _do_jobs(store: Store, id: str, say: Say) -> None:
    """Each step of a job adds a shot, and says in the same change how far the job is."""
    while True:
        now = datetime.now(UTC)
        await store.put_job(job(TENANT))
        claimed = await store.claim_job(token=new_ids(1)[0], now=now, lease_until=now + timedelta(hours=1))
        if claimed is None:  # another process was faster
            continue
        for step in range(1, _STEPS + 1):
            claimed = replace(claimed, cursor={"at": step})
            change = {"put": [shot(group=claimed.id)], "job": claimed}
            await _changed(store, id, **change)
            say(f"done step {claimed.id} {step}")
        assert await store.update_job(replace(claimed, status="succeeded"))
        say(f"done job {claimed.id}")


async def _make_and_remove(store: Store, blobs: Blobs, say: Say) -> None:
    """Classifiers that come and go, and the sweeping of what they leave."""
    while True:
        record = classifier("other")
        await store.apply(Change(before=None, after=record))
        say(f"done make {record.id}")
        say(f"asked remove {record.id}")
        await store.apply(Change(before=record, after=None))
        say(f"done remove {record.id}")
        trash = await store.trash(20)
        for one in trash:
            await blobs.remove(one.name)
        await store.forget_trash([one.id for one in trash])


async def _changed(
    store: Store,
    id: str,
    *,
    put: list[ShotRecord] = [],  # noqa: B006
    drop: list[ShotRecord] = [],  # noqa: B006
    tag: str | None = None,
    job: object = None,
) -> ClassifierRecord:
    """As a use case does: read, decide, write, and again where another was faster."""
    reply = None
    if tag is not None:
        expires = datetime.now(UTC) + timedelta(hours=1)
        reply = Reply(tenant=TENANT, key=tag, request="", status=201, body=tag.encode(), expires=expires)
    while True:
        before = await store.classifier(TENANT, id)
        assert before is not None
        after = replace(
            before,
            revision=before.revision + 1,
            shot_count=before.shot_count + len(put) - len(drop),
            image_bytes=before.image_bytes
            + sum(one.blob_bytes for one in put)
            - sum(one.blob_bytes for one in drop),
        )
        change = Change(
            before=before,
            after=after,
            put_classes=[ClassRecord(key=0, name="roll", shots=after.shot_count)],
            put_shots=put,
            drop_shots=[one.id for one in drop],
            reply=reply,
            job=job,  # type: ignore[arg-type]
        )
        try:
            await store.apply(change)
        except ChangedMeanwhileError:
            await asyncio.sleep(0.001)
            continue
        return after
