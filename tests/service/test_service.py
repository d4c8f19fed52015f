"""The service opens at once, and closes when what it accepted is done."""

import asyncio
import threading

import pytest

from handful.errors import StorageError
from handful.service.classifiers import NewClassifier
from handful.service.new_shots import NewShot
from handful.service.service import open_service
from handful.settings import Settings

pytestmark = pytest.mark.anyio


async def test_it_is_open_before_its_encoder_is_warm(opened, tiny_encoder_class):
    may_look = threading.Event()

    class Slow(tiny_encoder_class):
        def encode_images(self, images, **named):
            may_look.wait()
            return super().encode_images(images, **named)

    async with opened(Slow()) as service:
        assert not service.encoding.ready
        await service.classifiers.create("default", NewClassifier(name="x"))
        may_look.set()
        while not service.encoding.ready:
            await asyncio.sleep(0.01)


async def test_pictures_that_were_taken_in_are_encoded_before_it_closes(opened, png):
    async with opened() as service:
        images = [png("red", seed) for seed in range(20)]
        asked = asyncio.create_task(
            service.answers.embed_images("default", None, images, [f"/{at}" for at in range(20)])
        )
        await asyncio.sleep(0)
    assert (await asked).shape == (20, 28)


async def test_a_job_that_was_just_claimed_is_given_back_and_done_after_a_restart(opened, png):
    async with opened() as service:
        id = (await service.classifiers.create("default", NewClassifier(name="x"))).record.id
        await service.shots.add("default", id, [NewShot(label="red", image=png("red"))])
        claim = service.store.claim_job
        claimed = asyncio.Event()

        async def seen(**named):
            job = await claim(**named)
            if job is not None:
                claimed.set()
                await asyncio.sleep(0.05)
            return job

        service.store.claim_job = seen
        job = await service.jobs.submit("default", "evaluate", id, {})
        await claimed.wait()
    async with opened() as service:
        given = await service.jobs.get("default", job.id)
        assert (given.status, given.attempts) in (("queued", 0), ("running", 1))
        async with asyncio.timeout(20):
            *_, last = [state async for state in service.jobs.events("default", job.id)]
        assert last.over


async def test_a_store_that_cannot_be_opened_is_said(tmp_path, tiny_encoder):
    (tmp_path / "store.sqlite").write_bytes(b"no store at all, " * 100)
    with pytest.raises(StorageError, match=r"store\.sqlite"):
        async with open_service(Settings(data_dir=tmp_path), tiny_encoder):
            pass


async def test_pictures_of_what_was_deleted_are_removed(opened, png, monkeypatch):
    monkeypatch.setattr("handful.service.upkeep._EVERY", 0.01)
    async with opened() as service:
        kept, gone = [
            (await service.classifiers.create("default", NewClassifier(name="x"))).record.id for _ in range(2)
        ]
        for id in (kept, gone):
            new = [NewShot(label=label, image=png(label)) for label in ("red", "blue", "green")]
            shots = await service.shots.add("default", id, new)
        await service.classifiers.delete("default", gone)
        shots = (await service.shots.list("default", kept, limit=9)).items
        await service.shots.delete("default", kept, shots[0].record.id)
        await service.classes.delete("default", kept, "blue")
        async with asyncio.timeout(30):
            while await service.store.trash(1):
                await asyncio.sleep(0.01)
        assert await service.blobs.names() == [shots[2].record.blob]


async def test_a_picture_that_cannot_be_removed_holds_up_no_other(opened, png, monkeypatch):
    monkeypatch.setattr("handful.service.upkeep._EVERY", 0.01)
    async with opened() as service:
        id = (await service.classifiers.create("default", NewClassifier(name="x"))).record.id
        new = [NewShot(label="red", image=png("red", seed)) for seed in range(4)]
        shots = await service.shots.add("default", id, new)
        stuck, remove, tried = shots[0].record.blob, service.blobs.remove, []

        async def failing(name):
            if name == stuck and len(tried) < 3:
                tried.append(name)
                raise StorageError("somebody holds it")
            await remove(name)

        monkeypatch.setattr(service.blobs, "remove", failing)
        for shot in shots:
            await service.shots.delete("default", id, shot.record.id)
        async with asyncio.timeout(30):
            while await service.store.trash(1):
                await asyncio.sleep(0.01)
        assert await service.blobs.names() == []
        assert len(tried) == 3
