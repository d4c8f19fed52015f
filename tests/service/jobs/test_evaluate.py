"""The leave-one-shot-out report as a job."""

import numpy as np
import pytest

from handful.augment import policy_of
from handful.errors import RequestError
from handful.evaluation.views import CANDIDATES
from handful.service.classifiers import NewClassifier
from handful.service.new_shots import NewShot

pytestmark = pytest.mark.anyio


async def test_a_report_gives_shares_with_intervals_and_counts_by_name(opened, blurred, ended):
    async with opened() as service:
        id, _ = await blurred(service, classes=("red", "green", "blue"), shots=6, blur=0.2)
        result = (await ended(service, await service.jobs.submit("default", "evaluate", id, {}))).result
    accuracy = result["accuracy"]
    assert 0 <= accuracy["low"] <= accuracy["value"] <= accuracy["high"] <= 1
    assert (result["shots"], result["judged"]) == (18, 18)
    assert result["confusion"]["labels"] == ["red", "green", "blue"]
    counts = np.array(result["confusion"]["counts"])
    assert counts.sum() == 18
    assert counts.trace() / 18 == pytest.approx(accuracy["value"])
    assert [one["label"] for one in result["classes"]] == ["red", "green", "blue"]
    assert [one["judged"] for one in result["classes"]] == [6, 6, 6]


async def test_a_shot_under_a_wrong_label_is_suspect(opened, blurred, ended):
    async with opened() as service:
        id, _ = await blurred(service, classes=("red", "green", "blue"), shots=8, blur=0.05)
        (wrong,) = await service.shots.add("default", id, [NewShot(label="green", row=np.eye(28)[0])])
        result = (await ended(service, await service.jobs.submit("default", "evaluate", id, {}))).result
    assert [(one["shot"], one["label"], one["answer"]) for one in result["suspects"]] == [
        (wrong.record.id, "green", "red")
    ]
    assert 0.5 < result["suspects"][0]["probability"] <= 1


async def test_a_classifier_of_lone_shots_cannot_be_evaluated_and_says_what_to_do(opened, blurred, ended):
    async with opened() as service:
        id, _ = await blurred(service, shots=1, use_text=False)
        last = await ended(service, await service.jobs.submit("default", "evaluate", id, {}))
    assert last.status == "failed"
    assert "no shot can be left out" in last.error["detail"]
    assert "add a second shot to a class" in last.error["detail"]


async def test_another_method_is_judged_where_one_is_asked_for(opened, blurred, ended):
    async with opened() as service:
        id, _ = await blurred(service, shots=3)
        job = await service.jobs.submit("default", "evaluate", id, {"method": "prototype"})
        assert (await ended(service, job)).result["method"] == "prototype"


async def taught_pictures(service, png, *, shots=4, **settings):
    view = await service.classifiers.create("default", NewClassifier(name="colours", **settings))
    new = [
        NewShot(label=colour, image=png(colour, seed), pointer=f"/{colour}/{seed}")
        for colour in ("red", "blue")
        for seed in range(shots)
    ]
    await service.shots.add("default", view.record.id, new)
    return view.record.id


async def test_policies_of_views_are_compared_of_kept_pictures(opened, png, ended, warm, tiny_encoder):
    async with opened() as service:
        await warm()
        id = await taught_pictures(service, png)
        seen = tiny_encoder.pictures_seen
        last = await ended(
            service, await service.jobs.submit("default", "evaluate", id, {"views": ["flip", "five"]})
        )
        assert last.status == "succeeded", last.error
        assert tiny_encoder.pictures_seen - seen == 8 * (2 + 5)
        before = (await service.classifiers.get("default", id)).record
        assert (before.views, before.stale) == ("auto", False)  # it says so, and changes nothing
    found = last.result["views"]
    assert [(one["policy"], one["encodings"]) for one in found["policies"]] == [
        ("none", 1),
        ("flip", 2),
        ("five", 5),
    ]
    none, flip, _ = found["policies"]
    assert none["gain"] is None
    assert flip["gain"]["low"] <= flip["gain"]["value"] <= flip["gain"]["high"]
    assert (found["chosen"], found["default"], found["judged"]) == ("none", "none", 8)
    assert "no policy is surely better than none" in found["why"]
    assert found["milliseconds"] > 0
    assert last.result["accuracy"]["value"] == none["accuracy"]["value"]


async def test_all_policies_that_are_worth_it_are_compared_by_the_method_that_is_trained(opened, png, ended):
    async with opened() as service:
        id = await taught_pictures(service, png, shots=3, method="clip-adapter")
        last = await ended(service, await service.jobs.submit("default", "evaluate", id, {"views": "all"}))
    found = last.result["views"]
    assert {one["policy"] for one in found["policies"]} == {*CANDIDATES, policy_of("auto", "clip-adapter")}
    assert found["default"] == policy_of("auto", "clip-adapter")
    assert last.result["method"] == "auto"  # which answers until it is trained


@pytest.mark.parametrize("views", ["some", [], ["sideways"], 3, [["flip"]]])
async def test_what_is_no_list_of_policies_is_refused(opened, blurred, views):
    async with opened() as service:
        id, _ = await blurred(service, shots=1)
        with pytest.raises(RequestError) as refused:
            await service.jobs.submit("default", "evaluate", id, {"views": views})
    assert refused.value.pointer == "/views"


async def test_there_is_nothing_else_to_choose(opened, blurred):
    async with opened() as service:
        id, _ = await blurred(service, shots=1)
        with pytest.raises(RequestError, match="no option 'folds'"):
            await service.jobs.submit("default", "evaluate", id, {"folds": 3})
        with pytest.raises(RequestError, match="there is no method 'magic'"):
            await service.jobs.submit("default", "evaluate", id, {"method": "magic"})
