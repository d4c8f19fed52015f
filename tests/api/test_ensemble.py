"""An encoder of two parts in a service, over HTTP, by real towers."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

CLIP = str(Path(__file__).parents[1] / "encoders/fixtures/clip-immich")
SPEC = f"builtin+{CLIP}"


@pytest.fixture(scope="module")
def both(serve: Any) -> Iterator[Any]:
    with serve(encoders=("builtin", CLIP)) as running:
        yield running


def shown(png: Any, colour: str, seed: int) -> dict[str, Any]:
    return {"files": [("files", ("x.png", png(colour, seed=seed)[0], "image/png"))]}


def test_a_classifier_of_two_encoders_is_taught_asked_and_changed_as_any_other(both: Any, png: Any) -> None:
    id = both.taught({"red": png("red", 3), "blue": png("blue", 3)}, encoder=SPEC)
    answer = both.post(f"/v1/classifiers/{id}/classify", **shown(png, "red", 9), data={"explain": 2}).json()
    assert answer["encoder"] == SPEC
    (said,) = answer["predictions"]
    assert said["label"] == "red"
    assert said["neighbours"]
    assert 0 < said["known"] <= 1
    more = {"green": png("green", 2)}
    for picture in more["green"]:
        files = [("files", ("x.png", picture, "image/png"))]
        assert (
            both.post(f"/v1/classifiers/{id}/shots", files=files, data={"label": "green"}).status_code == 201
        )
    again = both.post(f"/v1/classifiers/{id}/classify", **shown(png, "green", 9)).json()
    assert again["predictions"][0]["label"] == "green"


def test_embeddings_are_as_wide_as_both_and_teach_too(both: Any, png: Any) -> None:
    made = both.post("/v1/embeddings", json={"model": SPEC, "input": ["a red thing", "a blue thing"]})
    rows = np.array([item["embedding"] for item in made.json()["data"]], np.float32)
    assert rows.shape == (2, 512 + 12)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-4)
    id = both.classifier(encoder=SPEC)["id"]
    shots = [
        {"label": label, "embedding": base64.b64encode(row.astype("<f4").tobytes()).decode()}
        for label, row in zip(("red", "blue"), rows, strict=True)
    ]
    assert both.post(f"/v1/classifiers/{id}/shots", json=shots).status_code == 201
    asked = both.post(f"/v1/classifiers/{id}/classify", json={"embeddings": rows.tolist()}).json()
    assert [one["label"] for one in asked["predictions"]] == ["red", "blue"]
    narrow = both.post(f"/v1/classifiers/{id}/classify", json={"embeddings": rows[:, :512].tolist()})
    assert narrow.status_code == 422


def test_zero_shot_hears_both(both: Any, png: Any) -> None:
    picture = base64.b64encode(png("red")[0]).decode()
    asked = {"labels": ["tabby cat", "airliner"], "images": [picture], "encoder": SPEC}
    answer = both.post("/v1/zero-shot", json=asked)
    assert answer.status_code == 200, answer.text
    assert sum(one["probability"] for one in answer.json()["predictions"][0]["classes"]) == pytest.approx(1)


def test_an_evaluation_says_what_each_part_is_worth_and_costs(both: Any, png: Any) -> None:
    id = both.taught({"red": png("red", 4), "blue": png("blue", 4)}, encoder=SPEC)
    job = both.ended(both.post(f"/v1/classifiers/{id}/evaluate", json={}).json()["id"])
    found = job["result"]["parts"]
    assert [part["name"] for part in found["parts"]] == ["builtin", CLIP]
    assert sum(part["share"] for part in found["parts"]) == pytest.approx(1)
    assert found["accuracy"]["value"] == job["result"]["accuracy"]["value"]
    for part in found["parts"]:
        gain = part["gain"]
        assert gain["low"] <= gain["value"] <= gain["high"]
        assert gain["value"] == pytest.approx(found["accuracy"]["value"] - part["accuracy"]["value"])
        assert 0 < part["milliseconds"] < found["milliseconds"] * 3
    alone = both.taught({"red": png("red", 2), "blue": png("blue", 2)})
    job = both.ended(both.post(f"/v1/classifiers/{alone}/evaluate", json={}).json()["id"])
    assert job["result"]["parts"] is None


def test_a_head_survives_a_restart_and_an_export(both: Any, serve: Any, png: Any, tmp_path: Path) -> None:
    id = both.taught({"red": png("red", 3), "blue": png("blue", 3)}, encoder=SPEC)
    asked = shown(png, "blue", 11)
    before = both.post(f"/v1/classifiers/{id}/classify", **asked).json()["predictions"]
    package = both.get(f"/v1/classifiers/{id}/export").content
    with serve(encoders=("builtin", CLIP)) as other:
        made = other.post(
            "/v1/classifiers/import", content=package, headers={"Content-Type": "application/zip"}
        )
        assert made.status_code == 201, made.text
        there = other.post(f"/v1/classifiers/{made.json()['id']}/classify", **asked).json()["predictions"]
    assert there[0]["label"] == before[0]["label"] == "blue"
    assert there[0]["probability"] == pytest.approx(before[0]["probability"], abs=1e-6)


def test_parts_that_callers_may_not_name_make_no_ensemble(both: Any) -> None:
    refused = both.post("/v1/classifiers", json={"name": "x", "encoder": "builtin+clip-vit-b-32"})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == "/encoder"
