"""Requests whose sender gives up: at whatever moment, all of a request is there, or none."""

import asyncio

import pytest

from handful.service.answers import Asked
from handful.service.classifiers import NewClassifier
from handful.service.new_shots import NewShot

pytestmark = pytest.mark.anyio


async def cancelled_after(work, turns):
    """Cancel work after so many turns of the event loop, or look at it after its end."""
    task = asyncio.create_task(work)
    for _ in range(turns):
        await asyncio.sleep(0.0005)
    task.cancel()
    return (await asyncio.gather(task, return_exceptions=True))[0]


async def test_shots_are_there_with_their_pictures_or_not_at_all(opened, png):
    async with opened() as service:
        id = (await service.classifiers.create("default", NewClassifier(name="x"))).record.id
        acknowledged = 0
        for turns in range(0, 60, 2):
            new = [NewShot(label="red", image=png("red", 2 * turns + at)) for at in range(2)]
            outcome = await cancelled_after(service.shots.add("default", id, new), turns)
            acknowledged += 2 * (not isinstance(outcome, BaseException))
        (last,) = await service.shots.add("default", id, [NewShot(label="blue", image=png("blue"))])
        shots, cursor = [], None
        while True:
            page = await service.shots.list("default", id, limit=100, cursor=cursor)
            shots += page.items
            if (cursor := page.next_cursor) is None:
                break
        assert len(shots) % 2 == 1
        assert len(shots) >= acknowledged + 1
        assert shots[-1].record.id == last.record.id
        for view in shots:
            assert await service.blobs.get(view.record.blob) is not None
        found = await service.classifiers.get("default", id)
        assert found.record.shot_count == len(shots)
        assert sum(one.shots for one in found.classes) == len(shots)
        assert found.record.image_bytes == sum(view.record.blob_bytes for view in shots)
        answer = await service.answers.classify("default", id, Asked(images=[png("blue", 1)]))
        assert answer.predictions[0].label == "blue"


async def test_writers_that_wait_for_one_that_gave_up_get_their_turns(opened, taught, rows):
    async with opened() as service:
        id = await taught(service, shots=1)
        waiting = [
            asyncio.create_task(service.shots.add("default", id, [NewShot(label="red", row=rows(0)[0])]))
            for _ in range(12)
        ]
        await asyncio.sleep(0)
        for task in waiting[::2]:
            task.cancel()
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(not isinstance(outcome, BaseException) for outcome in outcomes[1::2])
        record = (await service.classifiers.get("default", id)).record
        assert 2 + 6 <= record.shot_count <= 2 + 12
        support = await service.store.support("default", id)
        assert len(support.shots) == record.shot_count


async def test_a_change_on_its_way_to_the_disk_keeps_its_picture(opened, png, monkeypatch):
    async with opened() as service:
        id = (await service.classifiers.create("default", NewClassifier(name="x"))).record.id
        apply, begun = service.store.apply, asyncio.Event()

        async def noted(change):
            writing = asyncio.create_task(apply(change))
            await asyncio.sleep(0)
            begun.set()
            await asyncio.shield(writing)

        monkeypatch.setattr(service.store, "apply", noted)
        adding = asyncio.create_task(
            service.shots.add("default", id, [NewShot(label="red", image=png("red"))])
        )
        await begun.wait()
        adding.cancel()
        await asyncio.gather(adding, return_exceptions=True)
        async with asyncio.timeout(30):
            while not (there := (await service.shots.list("default", id, limit=9)).items):
                await asyncio.sleep(0.005)
        (shot,) = there
        assert (await service.shots.image("default", id, shot.record.id))[:2] == b"\xff\xd8"
