"""Questions over HTTP: each way to ask gives the same answer."""

import base64
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

Pictures = Callable[..., list[bytes]]
_D = 28  # columns of the encoder of these tests


@pytest.fixture(scope="module")
def colours(served: Any, png: Pictures) -> str:
    return f"/v1/classifiers/{served.taught({'red': png('red', 4), 'blue': png('blue', 4)})}"


def _row(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=_D).astype("<f4")


def test_all_ways_to_send_a_picture_are_answered_alike(served: Any, colours: str, png: Pictures) -> None:
    picture = png("red", seed=7)[0]
    text = base64.b64encode(picture).decode()
    url_safe = base64.urlsafe_b64encode(picture).decode().rstrip("=")
    answers = [
        served.post(f"{colours}/classify", **body)
        for body in (
            {"files": [("files", ("x.png", picture, "image/png"))]},
            {"files": [("files", ("x", picture, "application/octet-stream"))]},
            {"json": {"images": [text]}},
            {"json": {"images": [url_safe]}},
            {"json": {"images": [f"data:image/png;base64,{text}"]}},
            {"content": picture, "headers": {"Content-Type": "image/png"}},
            {
                "content": picture,
                "headers": {"Content-Type": "image/jpeg"},
            },  # the bytes tell, not their label
        )
    ]
    assert [answer.status_code for answer in answers] == [200] * 7
    said = answers[0].json()
    assert all(answer.json() == said for answer in answers)
    (prediction,) = said["predictions"]
    assert prediction["label"] == prediction["classes"][0]["label"] == "red"
    assert prediction["probability"] == prediction["classes"][0]["probability"]
    assert prediction["unknown"] == (prediction["known"] < 0.05)
    assert said.keys() == {"predictions", "version", "encoder"}
    assert prediction.keys() == {"label", "probability", "known", "unknown", "classes"}


def test_all_ways_to_send_embeddings_are_answered_alike(served: Any, colours: str) -> None:
    rows = np.stack([_row(0), _row(1)])
    whole = base64.b64encode(rows.tobytes()).decode()
    each = [base64.b64encode(row.tobytes()).decode() for row in rows]
    answers = [
        served.post(f"{colours}/classify", **body)
        for body in (
            {"json": {"embeddings": rows.tolist()}},
            {"json": {"embeddings": (3 * rows).tolist()}},
            {"json": {"embeddings": whole}},
            {"json": {"embeddings": each}},
            {"content": rows.tobytes(), "headers": {"Content-Type": "application/octet-stream"}},
        )
    ]
    said = [answer.json()["predictions"] for answer in answers]
    assert [answer.status_code for answer in answers] == [200] * 5
    assert all(len(one) == 2 for one in said)
    for one in said:
        for prediction, first in zip(one, said[0], strict=True):
            assert prediction["label"] == first["label"]
            assert prediction["probability"] == pytest.approx(first["probability"], abs=1e-6)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/"),
        ({"images": ["x"], "embeddings": [[1.0] * _D]}, "/"),
        ({"embeddings": []}, "/embeddings"),
        ({"embeddings": [[1.0] * (_D - 1)]}, "/embeddings/0"),
        ({"embeddings": [[1.0] * _D, [1.0]]}, "/embeddings/1"),
        ({"embeddings": [[0.0] * _D]}, "/embeddings"),
        ({"embeddings": [[1e39] * _D]}, "/embeddings"),
        ({"embeddings": [["1"] * _D]}, "/embeddings/0"),
        ({"embeddings": [[True] * _D]}, "/embeddings/0"),
        ({"embeddings": [[None] * _D]}, "/embeddings/0"),
        ({"embeddings": {"a": 1}}, "/embeddings"),
        ({"embeddings": "no base64!"}, "/embeddings"),
        ({"embeddings": [base64.b64encode(b"1234" * _D).decode(), "?"]}, "/embeddings/1"),
        ({"embeddings": base64.b64encode(b"1234" * (_D + 1)).decode()}, "/embeddings"),
        ({"embeddings": base64.b64encode(np.full(_D, np.nan, "<f4").tobytes()).decode()}, "/embeddings"),
        ({"images": []}, None),
        ({"images": "x"}, "/images"),
        ({"images": ["/etc/passwd"]}, "/images/0"),
        ({"images": ["https://example.org/a.png"]}, "/images/0"),
        ({"images": ["file:///etc/passwd"]}, "/images/0"),
        ({"images": [base64.b64encode(b"no picture at all").decode()]}, "/images/0"),
        ({"embeddings": [[1.0] * _D], "top_k": 0}, "/top_k"),
        ({"embeddings": [[1.0] * _D], "top_k": 1001}, "/top_k"),
        ({"embeddings": [[1.0] * _D], "coverage": 1}, "/coverage"),
        ({"embeddings": [[1.0] * _D], "explain": 101}, "/explain/"),
        ({"embeddings": [[1.0] * _D], "colour": "red"}, "/colour"),
    ],
)
def test_what_is_wrong_is_pointed_at(served: Any, colours: str, body: Any, pointer: str | None) -> None:
    answer = served.post(f"{colours}/classify", json=body)
    assert answer.status_code == 422
    said = answer.json()
    assert pointer is None or said["errors"][0]["pointer"].startswith(pointer)
    assert "passwd" not in said["detail"]


@pytest.mark.parametrize("count", [0, 1, 4, 4 * _D - 4, 4 * _D + 4, 4 * _D + 1])
def test_bytes_that_are_no_whole_rows_are_invalid(served: Any, colours: str, count: int) -> None:
    head = {"Content-Type": "application/octet-stream"}
    assert served.post(f"{colours}/classify", content=b"x" * count, headers=head).status_code == 422


@pytest.mark.parametrize("spare", range(4))
def test_a_picture_that_is_sent_as_numbers_is_told_how(
    served: Any, colours: str, png: Pictures, spare: int
) -> None:
    picture = png("red")[0]
    picture += bytes(-len(picture) % 4 + spare)
    head = {"Content-Type": "application/octet-stream"}
    answer = served.post(f"{colours}/classify", content=picture, headers=head)
    assert answer.status_code == 422
    assert "or this PNG as image/*" in answer.json()["detail"]


def test_a_body_of_the_type_that_curl_takes_by_itself_is_told_why(served: Any, colours: str) -> None:
    for head, said in (
        ({"Content-Type": "application/x-www-form-urlencoded"}, "(curl says this unless a header says"),
        ({}, "the body has no Content-Type; send application/json"),
    ):
        answer = served.post(f"{colours}/classify", content=b"x", headers=head)
        assert answer.status_code == 415
        assert said in answer.json()["detail"]


def test_labels_of_a_form_are_fields_or_stand_between_commas(served: Any, png: Pictures) -> None:
    files = {"files": [("files", ("x.png", png("red")[0], "image/png"))]}
    for labels in (["red", "blue"], ["red,blue"], [" blue, red,"]):
        answer = served.post("/v1/zero-shot", data={"labels": labels}, **files)
        (prediction,) = answer.json()["predictions"]
        assert [one["label"] for one in prediction["classes"]] == ["red", "blue"]
    assert served.post("/v1/zero-shot", data={"labels": " , "}, **files).status_code == 422


def test_options_come_by_query_form_or_json(served: Any, colours: str, png: Pictures) -> None:
    row = _row().tolist()
    files = {"files": [("files", ("x.png", png("red")[0], "image/png"))]}
    for answer in (
        served.post(f"{colours}/classify?top_k=1&explain=2", json={"embeddings": [row]}),
        served.post(f"{colours}/classify", json={"embeddings": [row], "top_k": 1, "explain": 2}),
        served.post(f"{colours}/classify?explain=2", data={"top_k": "1"}, **files),
    ):
        (prediction,) = answer.json()["predictions"]
        assert len(prediction["classes"]) == 1
        assert len(prediction["neighbours"]) <= 2
    assert served.post(f"{colours}/classify?top_k=x", json={"embeddings": [row]}).status_code == 422
    assert served.post(f"{colours}/classify?top_k=0", **files).status_code == 422


def test_neighbours_lead_to_their_thumbnails(served: Any, colours: str, png: Pictures) -> None:
    picture = png("blue", seed=5)[0]
    answer = served.post(
        f"{colours}/classify?explain=true", content=picture, headers={"Content-Type": "image/png"}
    )
    near = answer.json()["predictions"][0]["neighbours"]
    assert [one["share"] for one in near] == sorted((one["share"] for one in near), reverse=True)
    assert {one["label"] for one in near} == {"blue"}
    image = served.get(near[0]["image"])
    assert image.headers["content-type"] == "image/jpeg"
    assert image.content.startswith(b"\xff\xd8")


def test_coverage_adds_a_set_or_says_that_shots_are_too_few(served: Any, colours: str, png: Pictures) -> None:
    body = {"content": png("red")[0], "headers": {"Content-Type": "image/png"}}
    assert "red" in served.post(f"{colours}/classify?coverage=0.6", **body).json()["predictions"][0]["set"]
    few = served.post(f"{colours}/classify?coverage=0.99", **body)
    assert (few.status_code, few.json()["type"]) == (409, "/problems/conflict")


def test_a_classifier_with_no_class_has_no_answer_yet(served: Any, png: Pictures) -> None:
    id = served.classifier()["id"]
    answer = served.post(
        f"/v1/classifiers/{id}/classify", content=png("red")[0], headers={"Content-Type": "image/png"}
    )
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/conflict")


def test_a_classifier_of_words_alone_answers_at_once(served: Any, png: Pictures) -> None:
    id = served.classifier(classes=[{"name": "red"}, {"name": "blue"}])["id"]
    answer = served.post(
        f"/v1/classifiers/{id}/classify", content=png("blue")[0], headers={"Content-Type": "image/png"}
    )
    assert answer.json()["predictions"][0]["label"] == "blue"


def test_zero_shot_keeps_nothing(served: Any, png: Pictures) -> None:
    before = len(served.get("/v1/classifiers").json()["items"])
    picture = png("green")[0]
    by_json = served.post(
        "/v1/zero-shot",
        json={
            "labels": ["red", "green"],
            "images": [base64.b64encode(picture).decode()],
            "templates": "plain",
        },
    )
    by_form = served.post(
        "/v1/zero-shot",
        data={"labels": ["red", "green"], "templates": "plain"},
        files=[("files", ("x.png", picture, "image/png"))],
    )
    assert by_json.json() == by_form.json()
    assert by_json.json()["predictions"][0]["label"] == "green"
    assert by_json.json()["version"] == 0
    assert len(served.get("/v1/classifiers").json()["items"]) == before
    again = served.post(
        "/v1/zero-shot", json={"labels": ["red", "red"], "images": [base64.b64encode(picture).decode()]}
    )
    assert (again.status_code, again.json()["errors"][0]["pointer"]) == (422, "/labels")


def test_suggestions_name_every_picture_once(served: Any, colours: str, png: Pictures) -> None:
    pictures = [*png("red", 3, seed=3), *png("green", 3, seed=3)]
    files = [("files", ("x.png", picture, "image/png")) for picture in pictures]
    items = served.post(f"{colours}/suggest", files=files).json()["items"]
    assert sorted(item["index"] for item in items) == list(range(6))
    assert all(item["reason"] and 0 <= item["score"] <= 1 for item in items)


def test_too_many_pictures_or_rows_are_too_large(serve: Any, png: Pictures) -> None:
    with serve(request_max_images=2, request_max_rows=3, image_max_bytes=5_000) as served:
        path = f"/v1/classifiers/{served.classifier(classes=[{'name': 'red'}])['id']}/classify"
        files = [("files", ("x.png", picture, "image/png")) for picture in png("red", 3)]
        assert served.post(path, files=files[:2]).status_code == 200
        assert served.post(path, files=files).status_code == 413
        texts = [base64.b64encode(picture).decode() for picture in png("red", 3)]
        assert served.post(path, json={"images": texts}).status_code == 413
        assert served.post(path, json={"embeddings": [_row().tolist()] * 4}).status_code == 413
        head = {"Content-Type": "application/octet-stream"}
        assert served.post(path, content=_row().tobytes() * 4, headers=head).status_code == 413
        large = [("files", ("x.png", b"\x89PNG" + b" " * 5_000, "image/png"))]
        answer = served.post(path, files=[files[0], *large])
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (413, "/files/1")


def test_where_the_time_went_is_said(served: Any, colours: str, png: Pictures) -> None:
    answer = served.post(
        f"{colours}/classify", content=png("red", seed=99)[0], headers={"Content-Type": "image/png"}
    )
    parts = [part.split(";dur=") for part in answer.headers["server-timing"].split(", ")]
    assert [name for name, _ in parts] == ["decode", "queue", "encode", "score"]
    assert all(float(spent.split(";")[0]) >= 0 for _, spent in parts)
    assert parts[2][1].endswith(';desc="1 encoded"')


@pytest.mark.parametrize(("views", "each"), [("none", 1), ("flip", 2), ("five", 5)])
def test_a_picture_is_answered_by_several_views_and_their_number_is_said(
    served: Any, colours: str, png: Pictures, views: str, each: int
) -> None:
    pictures = png("red", 2, seed=100 + each)
    files = [("files", ("x.png", picture, "image/png")) for picture in pictures]
    answer = served.post(f"{colours}/classify", params={"views": views}, files=files)
    assert [one["label"] for one in answer.json()["predictions"]] == ["red", "red"]
    assert f'desc="{2 * each} encoded"' in answer.headers["server-timing"]
    body = {"images": [base64.b64encode(picture).decode() for picture in pictures], "views": views}
    again = served.post(f"{colours}/classify", json=body)
    assert again.json() == answer.json()
    assert 'desc="0 encoded"' in again.headers["server-timing"]  # they are remembered


def test_views_that_pictures_are_not_asked_by_are_refused_and_each_counts(serve: Any, png: Pictures) -> None:
    with serve(request_max_images=4) as served:
        path = f"/v1/classifiers/{served.classifier(classes=[{'name': 'red'}])['id']}/classify"
        files = [("files", ("x.png", picture, "image/png")) for picture in png("red", 3)]
        for views, some in (("strong", 1), ("sideways", 1), ("five", 1), ("flip", 3)):
            answer = served.post(path, params={"views": views}, files=files[:some])
            assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/views")
        assert served.post(path, params={"views": "flip"}, files=files[:2]).status_code == 200
        answer = served.post(path, json={"embeddings": [_row().tolist()], "views": "flip"})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/views")
