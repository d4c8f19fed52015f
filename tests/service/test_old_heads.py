"""Heads that were made of other shots than those there now."""

import pytest

from handful.service.answers import Asked
from handful.service.classifiers import NewClassifier
from handful.service.new_shots import NewShot

pytestmark = pytest.mark.anyio


async def asked(service, id, Q, **options):
    return await service.answers.classify("default", id, Asked(rows=Q), **options)


async def record_of(service, id):
    return (await service.classifiers.get("default", id)).record


async def trained(service, id, method="tip-f"):
    job = await service.jobs.submit("default", "train", id, {"method": method})
    *_, last = [state async for state in service.jobs.events("default", job.id)]
    assert last.status == "succeeded", last.error
    return last.result["version"]


async def add(service, id, label, row):
    await service.shots.add("default", id, [NewShot(label=label, row=row)])


async def test_an_old_head_that_is_activated_answers_as_it_did_and_is_stale_after_the_next_write(
    opened, taught, rows
):
    Q = rows(0, 5, blur=0.8)
    async with opened() as service:
        id = await taught(service)
        before = await asked(service, id, Q)
        await add(service, id, "blue", rows(2)[0])
        after = await asked(service, id, Q)
        view = await service.versions.activate("default", id, before.version)
        assert (view.version, view.active, view.stale) == (before.version, True, False)
        again = await asked(service, id, Q)
        assert again.predictions == before.predictions
        assert again.version == before.version
        await add(service, id, "blue", rows(2)[0])
        record = await record_of(service, id)
        assert (record.head_version, record.stale) == (before.version, True)
        assert (await asked(service, id, Q)).predictions == before.predictions
        (newest, old, oldest) = await service.versions.list("default", id)
        assert (newest.version, newest.active, newest.stale) == (record.support_version, False, False)
        assert (old.version, old.active) == (after.version, False)
        assert (oldest.version, oldest.active, oldest.stale) == (before.version, True, True)
    async with opened() as service:
        assert (await asked(service, id, Q)).predictions == before.predictions


async def test_a_trained_heads_classes_carry_their_new_names(opened, taught, rows):
    async with opened() as service:
        id = await taught(service)
        version = await trained(service, id)
        assert (await asked(service, id, rows(0))).predictions[0].label == "red"
        await service.classes.rename("default", id, "red", "rust")
        answer = await asked(service, id, rows(0))
        assert (answer.version, answer.predictions[0].label) == (version, "rust")
        await service.classes.delete("default", id, "rust")
        answer = await asked(service, id, rows(0))
        assert (answer.version, answer.predictions[0].label) == (version, "red")
        assert (await record_of(service, id)).stale


@pytest.mark.parametrize("method", ["tip", "proker", "tip-f", "clip-adapter", "auto"])
async def test_reasons_of_a_head_that_was_made_of_other_shots_are_shots_of_today(
    opened, taught, rows, method
):
    async with opened() as service:
        id = await taught(
            service, use_text=False, method="auto" if method in ("tip-f", "clip-adapter") else method
        )
        if method in ("tip-f", "clip-adapter"):
            old = await trained(service, id, method)
        else:
            old = (await asked(service, id, rows(0))).version
        first = (await asked(service, id, rows(0), explain=9)).predictions[0]
        assert {near.label for near in first.neighbours} == {"red"}
        red = [view.record.id for view in (await service.shots.list("default", id, limit=9)).items][:4]
        assert {near.shot for near in first.neighbours} <= set(red)
        await service.shots.delete("default", id, red[0])
        await add(service, id, "red", rows(0, seed=8)[0])
        await service.versions.activate("default", id, old)
        now = (await asked(service, id, rows(0), explain=9)).predictions[0]
        left = {
            view.record.id for view in (await service.shots.list("default", id, label="red", limit=9)).items
        }
        assert {near.shot for near in now.neighbours} == left
        assert sum(near.share for near in now.neighbours) == pytest.approx(1)


async def test_reasons_of_a_head_trained_on_views_name_shots(opened, png):
    async with opened() as service:
        id = (await service.classifiers.create("default", NewClassifier(name="x"))).record.id
        new = [NewShot(label=label, image=png(label, seed)) for label in ("red", "blue") for seed in range(3)]
        shots = await service.shots.add("default", id, new)
        for method in ("tip-f", "proker"):
            job = await service.jobs.submit("default", "train", id, {"method": method, "views": "standard"})
            *_, last = [state async for state in service.jobs.events("default", job.id)]
            assert last.status == "succeeded", last.error
            answer = await service.answers.classify(
                "default", id, Asked(images=[png("red", 9)], pointers=["/0"]), explain=9
            )
            assert answer.version == last.result["version"]
            near = {one.shot for one in answer.predictions[0].neighbours}
            assert near == {view.record.id for view in shots if view.label == answer.predictions[0].label}
