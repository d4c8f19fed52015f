"""Training as a job."""

import asyncio

import pytest

from handful.adapters import training
from handful.errors import NotFoundError, RequestError
from handful.service.answers import Asked
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


async def test_views_are_made_of_kept_pictures_alone(opened, png, ended, tiny_encoder):
    from handful.service.classifiers import NewClassifier

    async with opened() as service:
        view = await service.classifiers.create("default", NewClassifier(name="views"))
        id = view.record.id
        new = [
            NewShot(label=colour, image=png(colour, seed), pointer=f"/{colour}/{seed}")
            for colour in ("red", "blue")
            for seed in range(4)
        ]
        row = [0.0] * 27 + [1.0]
        await service.shots.add("default", id, [*new, NewShot(label="blue", row=row)])
        seen = tiny_encoder.pictures_seen
        request = {"method": "tip-f", "views": "light"}
        with pytest.raises(RequestError, match="no policy of views 'light'"):
            await service.jobs.submit("default", "train", id, request)
        job = await service.jobs.submit("default", "train", id, {"method": "tip-f", "views": "standard"})
        last = await ended(service, job)
        assert last.status == "succeeded", last.error
        assert tiny_encoder.pictures_seen >= seen + 2 * len(new)


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
    from handful.service.classifiers import NewClassifier

    async with opened() as service:
        view = await service.classifiers.create("default", NewClassifier(name="empty"))
        last = await ended(
            service, await service.jobs.submit("default", "train", view.record.id, {"method": "tip-f"})
        )
        assert last.status == "failed"
        assert "has no class that it could answer with" in last.error["detail"]
