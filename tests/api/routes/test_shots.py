"""Labelled pictures over HTTP."""

import base64
import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

Pictures = Callable[..., list[bytes]]


def _files(pictures: list[bytes]) -> list[tuple[str, tuple[str, bytes, str]]]:
    return [("files", (f"{at}.png", picture, "image/png")) for at, picture in enumerate(pictures)]


def test_a_shot_is_answered_with_what_was_sent(served: Any) -> None:
    id = served.classifier()["id"]
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.new("RGB", (40, 20), "red").save(buffer, "JPEG", exif=exif)
    data = buffer.getvalue()
    answer = served.post(
        f"/v1/classifiers/{id}/shots",
        files=_files([data]),
        data={"label": "red", "group": "g", "source_id": "s-1", "metadata": json.dumps({"camera": 3})},
    )
    assert answer.status_code == 201
    (shot,) = answer.json()["shots"]
    assert (shot["width"], shot["height"]) == (20, 40)
    assert shot["sha256"] == hashlib.sha256(data).hexdigest()
    assert (shot["label"], shot["group"], shot["source_id"]) == ("red", "g", "s-1")
    assert shot["metadata"] == {"camera": 3}
    assert served.get(f"/v1/classifiers/{id}/shots/{shot['id']}").json() == shot
    kept = served.get(shot["image"])
    assert Image.open(io.BytesIO(kept.content)).size == (20, 40)
    assert not Image.open(io.BytesIO(kept.content)).getexif()
    small = served.get(shot["image"], params={"size": 16})
    assert Image.open(io.BytesIO(small.content)).size == (8, 16)


def test_labels_are_one_for_all_or_one_for_each(served: Any, png: Pictures) -> None:
    id = served.classifier()["id"]
    path = f"/v1/classifiers/{id}/shots"
    pictures = [*png("red", 2), *png("blue", 1)]
    each = served.post(path, files=_files(pictures), data={"label": ["red", "red", "blue"]})
    assert [shot["label"] for shot in each.json()["shots"]] == ["red", "red", "blue"]
    one = served.post(path, files=_files(pictures[:2]), data={"label": "red"})
    assert [shot["label"] for shot in one.json()["shots"]] == ["red", "red"]
    for labels in (["red", "blue"], []):
        wrong = served.post(path, files=_files(pictures), data={"label": labels})
        assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "/label")
    assert served.get(f"/v1/classifiers/{id}").json()["shots"] == 5


def test_all_shots_of_a_request_are_stored_or_none(served: Any, png: Pictures) -> None:
    id = served.classifier()["id"]
    path = f"/v1/classifiers/{id}/shots"
    wrong = served.post(
        path, files=_files([png("red")[0], b"no picture", png("red")[0]]), data={"label": "red"}
    )
    assert wrong.status_code == 422
    assert wrong.json()["errors"] == [{"detail": wrong.json()["detail"], "pointer": "/files/1"}]
    now = served.get(f"/v1/classifiers/{id}").json()
    assert (now["shots"], now["class_count"], now["support_version"]) == (0, 0, 1)


def test_shots_come_as_json_too(served: Any, png: Pictures) -> None:
    id = served.classifier()["id"]
    path = f"/v1/classifiers/{id}/shots"
    row = np.arange(1, 29, dtype="<f4")
    text = base64.b64encode(png("red")[0]).decode()
    shots = [
        {"label": "red", "image": text},
        {"label": "row", "embedding": row.tolist(), "group": "g"},
        {"label": "row", "embedding": base64.b64encode(row.tobytes()).decode(), "metadata": {"a": 1}},
    ]
    for body in (shots, {"shots": shots}):
        answer = served.post(path, json=body)
        assert answer.status_code == 201
        made = answer.json()["shots"]
        assert [shot["label"] for shot in made] == ["red", "row", "row"]
        assert [(shot["width"] > 0, shot["image"] is None) for shot in made] == [
            (True, False),
            (False, True),
            (False, True),
        ]
        assert made[1]["sha256"] == made[2]["sha256"]
    for wrong, pointer in (
        ([{"label": "x"}], "/0"),
        ([{"label": "x", "image": text, "embedding": row.tolist()}], "/0"),
        ([{"label": "x", "embedding": [1.0]}], "/0"),
        ([{"label": "a/b", "image": text}], "/0"),
        ([{"label": "x", "image": text}, {"label": "x", "image": "?"}], "/1"),
        ([{"label": "x", "image": text, "metadata": {"a": "b" * 1024}}], "/0/metadata"),
        ([{"image": text}], "/0/label"),
        ([{"label": "x", "image": text, "colour": 1}], "/0/colour"),
        ({"shot": []}, "/"),
    ):
        answer = served.post(path, json=wrong)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"].startswith(pointer)
    assert served.post(path, json=[]).status_code == 422


def test_the_next_answer_counts_a_new_shot(served: Any, png: Pictures) -> None:
    id = served.taught({"red": png("red", 3)})
    asked = {"content": png("blue", seed=4)[0], "headers": {"Content-Type": "image/png"}}
    before = served.post(f"/v1/classifiers/{id}/classify", **asked).json()
    assert before["predictions"][0]["label"] == "red"
    served.post(f"/v1/classifiers/{id}/shots", files=_files(png("blue", 3)), data={"label": "blue"})
    after = served.post(f"/v1/classifiers/{id}/classify", **asked).json()
    assert after["predictions"][0]["label"] == "blue"
    assert after["version"] == served.get(f"/v1/classifiers/{id}").json()["head_version"] > before["version"]


def test_shots_are_listed_relabelled_and_deleted(served: Any, png: Pictures) -> None:
    id = served.taught({"red": png("red", 3), "blue": png("blue", 2)})
    path = f"/v1/classifiers/{id}/shots"
    reds = served.get(path, params={"label": "red"}).json()["items"]
    assert [shot["label"] for shot in reds] == ["red"] * 3
    assert served.get(path, params={"label": "green"}).status_code == 404
    moved = served.patch(f"{path}/{reds[0]['id']}", json={"label": "green"})
    assert (moved.json()["label"], moved.json()["id"]) == ("green", reds[0]["id"])
    assert served.delete(f"{path}/{reds[1]['id']}").status_code == 204
    assert served.get(f"{path}/{reds[1]['id']}").status_code == 404
    assert served.get(reds[1]["image"]).status_code == 404
    counts = {one["name"]: one["shots"] for one in served.get(f"/v1/classifiers/{id}").json()["classes"]}
    assert counts == {"red": 1, "blue": 2, "green": 1}
    seen, cursor = [], None
    while True:
        page = served.get(path, params={"limit": 3, **({"cursor": cursor} if cursor else {})}).json()
        seen += [shot["id"] for shot in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == 4


def test_an_archive_of_class_folders_is_a_job(served: Any, png: Pictures) -> None:
    id = served.classifier()["id"]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for label in ("red", "blue"):
            for at, picture in enumerate(png(label, 2)):
                archive.writestr(f"colours/{label}/{at}.png", picture)
        archive.writestr("colours/red/notes.txt", "no picture")
    answer = served.post(
        f"/v1/classifiers/{id}/shots",
        content=buffer.getvalue(),
        headers={"Content-Type": "application/zip"},
    )
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    assert job["kind"] == "import-shots"
    ended = served.ended(job["id"])
    assert (ended["status"], ended["progress"], ended["error"]) == ("succeeded", 1.0, None)
    assert served.get(f"/v1/classifiers/{id}").json()["shots"] == 4


def test_pictures_are_not_kept_where_nobody_wants_them(serve: Any, png: Pictures) -> None:
    with serve(keep_images=False) as served:
        id = served.taught({"red": png("red", 1)})
        (shot,) = served.get(f"/v1/classifiers/{id}/shots").json()["items"]
        assert shot["image"] is None
        assert served.get(f"/v1/classifiers/{id}/shots/{shot['id']}/image").status_code == 404
