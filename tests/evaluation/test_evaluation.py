"""An evaluation of embeddings as a whole, as data."""

import json

import numpy as np
import pytest

from handful.evaluation import evaluate, teacher


@pytest.fixture(scope="module")
def found(clouds):
    X, y, centres = clouds(each=10, noise=1.3)
    return evaluate(
        X,
        y,
        class_names=["a", "b", "c", "d"],
        method="prototype",
        shots=[0, 1, 3],
        seeds=3,
        text=centres,
        rivals={"no words": teacher("prototype", X)},
        picture_names=[f"{i}.jpg" for i in range(len(y))],
        settings={"method": "prototype"},
    )


def test_as_dict_is_json_with_accuracy_as_a_share(found):
    said = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert said["accuracy"] == said["measures"]["accuracy"]["value"]
    assert 0.5 < said["accuracy"] < 1
    assert said["judged"] == said["pictures"] == 40
    assert np.sum(said["confusion"]) == 40
    assert len(said["mistakes"]) == round(40 * (1 - said["accuracy"]))
    mistake = said["mistakes"][0]
    assert mistake["label"] != mistake["answer"]
    assert [near["label"] for near in mistake["nearest"]] == [mistake["answer"]] * 3 + [mistake["label"]] * 3
    assert {point["shots"] for point in said["curve"]["points"]} == {0, 1, 3}


def test_a_frame_holds_the_curve_and_the_left_out_pictures(found):
    frame = found.to_frame()
    assert set(frame.contender) == {"left out", "handful", "no words"}
    left_out = frame[frame.contender == "left out"].set_index("measure")
    assert left_out.value["accuracy"] == found.as_dict()["accuracy"]
    assert left_out.shots.isna().all()


def test_words_help_where_they_are_right(found):
    assert found.curve.difference("handful", "no words", 3).value >= 0
    assert found.curve.estimate("handful", 0).value > 0.6


def test_without_texts_there_is_no_point_of_words_alone(clouds):
    X, y, _ = clouds()
    found = evaluate(X, y, class_names="abcd", method="prototype", shots=[0, 1], seeds=2)
    assert found.curve.shots == (1,)


def test_no_shots_make_no_curve(clouds):
    X, y, _ = clouds()
    found = evaluate(X, y, class_names="abcd", method="prototype", shots=[])
    assert found.curve is None
    assert found.as_dict()["curve"] is None
    assert set(found.to_frame().contender) == {"left out"}
