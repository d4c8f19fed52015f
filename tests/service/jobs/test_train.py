"""Training as a job."""

import asyncio

import pytest

from handful.adapters import training
from handful.augment import POLICIES, policy_of
from handful.errors import NotFoundError, RequestError
from handful.service.answers import Asked
from handful.service.classifiers import NewClassifier
from handful.service.new_shots import NewShot

pytestmark = pytest.mark.anyio


async def test_a_trained_head_answers_at_once_and_says_that_it_is_stale_after_the_next_shot(
    opened, blurred, ended
):
    async with opened() as service:
        id, _ = await blurred(service)
        job = await service.jobs.submit("default", "train", id, {"method": "tip-f"})
        last = await ended(service, job)
        assert last.status == "succeeded"
        assert last.result["method"] == "tip-f"
        assert last.result["seconds"] >= 0
        record = (await service.classifiers.get("default", id)).record
        assert record.head_version == last.result["version"] == record.revision
        assert not record.stale
        kept, _ = await service.store.head("default", id, record.head_version)
        assert (kept.method, kept.trained, kept.held) == ("tip-f", True, True)
        answer = await service.answers.classify("default", id, Asked(rows=[[1.0] + [0.0] * 27]))
        assert (answer.version, answer.predictions[0].label) == (record.head_version, "red")
        await service.shots.add("default", id, [NewShot(label="red", row=[1.0] + [0.0] * 27)])
        record = (await service.classifiers.get("default", id)).record
        assert (record.head_version, record.stale) == (last.result["version"], True)


async def test_a_shot_that_comes_while_it_trains_makes_the_new_head_stale_from_the_start(
    opened, blurred, ended, monkeypatch
):
    from handful.service.jobs import train

    async with opened() as service:
        id, shots = await blurred(service)
        fit, loop = train.fit_head, asyncio.get_running_loop()

        def meanwhile(*given, **named):
            late = service.shots.add("default", id, [NewShot(label="blue", row=[0.0] * 27 + [1.0])])
            asyncio.run_coroutine_threadsafe(late, loop).result()
            return fit(*given, **named)

        monkeypatch.setattr(train, "fit_head", meanwhile)
        last = await ended(
            service, await service.jobs.submit("default", "train", id, {"method": "clip-adapter"})
        )
        record = (await service.classifiers.get("default", id)).record
        assert (last.status, record.shot_count) == ("succeeded", len(shots) + 1)
        assert (record.head_version, record.stale) == (last.result["version"], True)


async def test_training_is_cancelled_in_the_middle_and_leaves_no_head(opened, blurred, monkeypatch):
    monkeypatch.setattr(training, "_PATIENCE", 10**9)
    async with opened() as service:
        id, _ = await blurred(service, shots=20, blur=0.6)
        before = (await service.classifiers.get("default", id)).record
        job = await service.jobs.submit(
            "default", "train", id, {"method": "clip-adapter", "options": {"epochs": 100_000}}
        )
        async for state in service.jobs.events("default", job.id):
            if state.status == "running":
                await service.jobs.cancel("default", job.id)
        assert state.status == "cancelled"
        assert (await service.classifiers.get("default", id)).record == before
        assert await service.store.heads("default", id) == []


async def pictured(service, png, **settings):
    """A classifier of four pictures each of two colours, and of a row."""
    view = await service.classifiers.create("default", NewClassifier(name="views", **settings))
    new = [
        NewShot(label=colour, image=png(colour, seed), pointer=f"/{colour}/{seed}")
        for colour in ("red", "blue")
        for seed in range(4)
    ]
    row = [0.0] * 27 + [1.0]
    await service.shots.add("default", view.record.id, [*new, NewShot(label="blue", row=row)])
    return view.record.id


@pytest.mark.parametrize(
    ("settings", "request_", "policy", "rows", "encoded"),
    [
        ({}, {}, policy_of("auto", "tip-f"), None, None),  # the method's own
        ({}, {"views": "five"}, "five", 8 * 5 + 1, 8 * 5),  # of the row there is no picture
        ({}, {"views": "none"}, "none", 9, 0),
        ({"views": "five"}, {}, "five", 8 * 5 + 1, 0),  # the classifier's own, which are there already
        ({"views": "five"}, {"views": "none"}, "none", 9, 0),  # the plain ones of those
        ({"views": "five"}, {"views": "flip"}, "flip", 8 * 2 + 1, 8 * 2),
        ({"views": "colour-matters"}, {"views": "orientation-matters"}, None, 8 * 9 + 1, 8 * 9),
    ],
)
async def test_a_head_is_trained_on_the_views_that_its_policy_asks_for(
    opened, png, ended, warm, tiny_encoder, settings, request_, policy, rows, encoded
):
    async with opened() as service:
        await warm()
        id = await pictured(service, png, **settings)
        seen = tiny_encoder.pictures_seen
        job = await service.jobs.submit("default", "train", id, {"method": "tip-f", **request_})
        last = await ended(service, job)
        assert last.status == "succeeded", last.error
        assert last.result["views"] == (policy or request_["views"])
        each = POLICIES[last.result["views"]].count
        assert last.result["rows"] == (8 * each + 1 if rows is None else rows)
        expected = (8 * each if each > 1 else 0) if encoded is None else encoded
        assert tiny_encoder.pictures_seen - seen == expected


async def test_no_policy_of_that_name_is_trained_by(opened, png):
    async with opened() as service:
        id = await pictured(service, png)
        with pytest.raises(RequestError, match="no policy of views 'light'; choose one of auto, none, flip"):
            await service.jobs.submit("default", "train", id, {"method": "tip-f", "views": "light"})


@pytest.mark.parametrize(
    ("request_", "pointer", "says"),
    [
        ({"method": "magic"}, "/method", "there is no method 'magic'; choose one of auto"),
        ({"method": "tip-f", "options": {"colour": 3}}, "/options/colour", "has no option 'colour'; it has"),
        ({"method": "tip-f", "options": {"epochs": -1}}, "/options", "epochs"),
        ({"method": "tip-f", "options": {"epochs": "many"}}, "/options/epochs", "give a number"),
        ({"method": "tip-f", "views": "sideways"}, "/views", "no policy of views 'sideways'"),
    ],
)
async def test_what_cannot_be_trained_is_said_before_there_is_a_job(opened, blurred, request_, pointer, says):
    async with opened() as service:
        id, _ = await blurred(service, shots=1)
        with pytest.raises(RequestError, match=says) as caught:
            await service.jobs.submit("default", "train", id, request_)
        assert caught.value.pointer == pointer


async def test_another_tenants_classifier_cannot_be_trained(opened, blurred):
    async with opened() as service:
        id, _ = await blurred(service, shots=1)
        with pytest.raises(NotFoundError, match=f"there is no classifier {id!r}"):
            await service.jobs.submit("other", "train", id, {"method": "tip-f"})


async def test_a_classifier_without_anything_to_train_on_says_so(opened, ended):

    async with opened() as service:
        view = await service.classifiers.create("default", NewClassifier(name="empty"))
        last = await ended(
            service, await service.jobs.submit("default", "train", view.record.id, {"method": "tip-f"})
        )
        assert last.status == "failed"
        assert "has no class that it could answer with" in last.error["detail"]
