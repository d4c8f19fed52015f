"""The leave-one-shot-out report as a job."""

import numpy as np
import pytest

from handful.errors import RequestError
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


async def test_there_is_nothing_else_to_choose(opened, blurred):
    async with opened() as service:
        id, _ = await blurred(service, shots=1)
        with pytest.raises(RequestError, match="no option 'folds'"):
            await service.jobs.submit("default", "evaluate", id, {"folds": 3})
        with pytest.raises(RequestError, match="there is no method 'magic'"):
            await service.jobs.submit("default", "evaluate", id, {"method": "magic"})
