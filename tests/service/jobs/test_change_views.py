"""Another policy of views, for the shots that are there as well."""

import asyncio
from collections import Counter

import numpy as np
import pytest

from handful.adapters.head import Head
from handful.augment import POLICIES
from handful.errors import RequestError
from handful.service.answers import Asked
from handful.service.classifiers import ClassifierPatch, NewClassifier
from handful.service.new_shots import NewShot
from handful.service.support import support_rows

pytestmark = pytest.mark.anyio


def pictures(png, shots=3, first=0):
    return [
        NewShot(label=colour, image=png(colour, seed), pointer=f"/{colour}/{seed}")
        for colour in ("red", "blue")
        for seed in range(first, first + shots)
    ]


async def made(service, png, *, shots=3, row=True, **settings):
    view = await service.classifiers.create("default", NewClassifier(name="views", **settings))
    new = pictures(png, shots)
    if row:
        new.append(NewShot(label="blue", row=[0.0] * 27 + [1.0]))
    await service.shots.add("default", view.record.id, new)
    return view.record.id


async def rows_of(service, id):
    """How many rows each shot has, and all of them."""
    rows = support_rows(await service.store.support("default", id))
    return sorted(Counter(rows.ids).values()), rows


async def changed(service, ended, id, views):
    last = await ended(service, await service.jobs.submit("default", "views", id, {"views": views}))
    assert last.status == "succeeded", last.error
    return last.result


async def test_a_patch_counts_for_shots_that_come_and_the_job_for_those_that_are_there(opened, png, ended):
    async with opened() as service:
        id = await made(service, png)
        before = (await service.classifiers.get("default", id)).record
        await service.classifiers.patch("default", id, ClassifierPatch(views="flip"))
        await service.shots.add("default", id, pictures(png, 1, first=50))
        assert (await rows_of(service, id))[0] == [1] * 7 + [2] * 2
        result = await changed(service, ended, id, "flip")
        assert (await rows_of(service, id))[0] == [1] + [2] * 8  # of the row there is no picture
        after = (await service.classifiers.get("default", id)).record
    assert (after.views, after.shot_count, after.stale) == ("flip", before.shot_count + 2, False)
    assert after.support_version == result["support_version"] > before.support_version
    expected = {"views": "flip", "policy": "flip", "shots": 9, "changed": 6, "without_picture": 1}
    assert {name: result[name] for name in expected} == expected
    assert result["encoded"] == 6 * 2
    assert result["compared"] is None


async def test_plain_pictures_stay_what_they_were_and_none_gives_them_back(opened, png, ended):
    async with opened() as service:
        id = await made(service, png)
        _, plain = await rows_of(service, id)
        answer = await service.answers.classify("default", id, Asked(images=[png("red", 9)]))
        await changed(service, ended, id, "five")
        _, seen = await rows_of(service, id)
        first = [at for at, name in enumerate(seen.ids) if at == 0 or seen.ids[at - 1] != name]
        np.testing.assert_array_equal(seen.X[first], plain.X)
        assert seen.groups == tuple(
            g for g, n in zip(plain.groups, [5, 5, 5, 5, 5, 5, 1], strict=True) for _ in range(n)
        )
        result = await changed(service, ended, id, "none")
        assert (result["changed"], result["encoded"]) == (6, 0)
        _, again = await rows_of(service, id)
        np.testing.assert_array_equal(again.X, plain.X)
        told = await service.answers.classify("default", id, Asked(images=[png("red", 9)]))
    assert told.predictions == answer.predictions
    assert told.version > answer.version


async def test_what_is_so_already_is_left_alone(opened, png, ended):
    async with opened() as service:
        id = await made(service, png, views="flip", row=False)
        before = (await service.classifiers.get("default", id)).record
        result = await changed(service, ended, id, "flip")
        assert (await service.classifiers.get("default", id)).record == before
        assert (result["changed"], result["encoded"], result["without_picture"]) == (0, 0, 0)


async def test_policies_that_make_as_many_views_are_told_apart(opened, png, ended):
    same = [name for name, policy in POLICIES.items() if policy.count == 9]
    async with opened() as service:
        id = await made(service, png, views=same[0], row=False)
        _, one = await rows_of(service, id)
        await changed(service, ended, id, same[1])
        _, other = await rows_of(service, id)
    assert one.X.shape == other.X.shape
    assert np.abs(one.X - other.X).max() > 1e-3


async def test_the_shots_themselves_choose_and_noise_chooses_nothing(opened, png, ended):
    async with opened() as service:
        id = await made(service, png, shots=4, row=False)
        before = (await service.classifiers.get("default", id)).record
        result = await changed(service, ended, id, "choose")
        assert (await service.classifiers.get("default", id)).record == before
    assert (result["views"], result["policy"], result["changed"]) == ("auto", "none", 0)
    assert result["compared"]["chosen"] == "none"
    assert "no policy is surely better" in result["compared"]["why"]
    assert len(result["compared"]["policies"]) == 4


async def test_shots_that_come_meanwhile_are_seen_likewise(opened, png, ended, monkeypatch):
    async with opened() as service:
        id = await made(service, png, row=False)
        late = asyncio.Event()
        to = service.classifiers._changes.to  # the one instance of all use cases

        async def slow(tenant, classifier, decide, once=None, **more):
            if not late.is_set() and decide.__qualname__.startswith("ChangeViews"):
                late.set()
                await service.shots.add("default", id, pictures(png, 1, first=50))
            return await to(tenant, classifier, decide, once, **more)

        monkeypatch.setattr(service.classifiers._changes, "to", slow)
        result = await changed(service, ended, id, "five")
        assert late.is_set()
        assert (await rows_of(service, id))[0] == [5] * 8
        assert result["changed"] == 8


async def test_a_classifier_that_answers_meanwhile_changes_all_rows_at_once(opened, png, ended):
    async with opened() as service:
        id = await made(service, png, shots=6, row=False)
        seen = set()
        job = await service.jobs.submit("default", "views", id, {"views": "standard"})
        async for state in service.jobs.events("default", job.id):
            seen |= set((await rows_of(service, id))[0])
            answer = await service.answers.classify("default", id, Asked(images=[png("red", 9)]))
            assert answer.predictions[0].label == "red"
            status = state.status
        assert status == "succeeded"
        assert {1, 12} >= seen
        assert (await rows_of(service, id))[0] == [12] * 12


@pytest.mark.parametrize("views", ["sideways", None, 3, ["flip"]])
async def test_what_is_no_policy_is_refused(opened, png, views):
    async with opened() as service:
        id = await made(service, png, shots=1)
        with pytest.raises(RequestError) as refused:
            await service.jobs.submit("default", "views", id, {"views": views})
        assert refused.value.pointer == "/views"


async def test_more_views_than_memory_holds_are_refused_and_say_so(opened, png, ended, monkeypatch):
    monkeypatch.setattr("handful.service.jobs.shot_views._MOST_BYTES", 1000)
    async with opened() as service:
        id = await made(service, png)
        last = await ended(service, await service.jobs.submit("default", "views", id, {"views": "strong"}))
    assert last.status == "failed"
    assert "7 shots" in last.error["detail"]
    assert "fewer views" in last.error["detail"]


async def test_above_the_bound_of_frozen_statistics_the_next_answer_counts_other_rows_too(opened, png, ended):
    async with opened(exact_classes=1) as service:
        id = await made(service, png, row=False)
        before = await service.heads.ready((await service.classifiers.get("default", id)).record)
        await service.heads.settled("default", id)
        await changed(service, ended, id, "flip")
        record = (await service.classifiers.get("default", id)).record
        after = await service.heads.ready(record)
        fitted = await service.heads.recipe(await service.heads.support(record))
        assert after.version == record.support_version > before.version
        np.testing.assert_array_equal(
            after.head.scorer.rows, (await asyncio.to_thread(_whole, fitted)).scorer.rows
        )
        assert not np.array_equal(after.head.scorer.rows, before.head.scorer.rows)


def _whole(recipe):
    """The head of all shots, as it is kept."""
    return Head.from_bytes(recipe.made()[1], recipe.encoder.background)
