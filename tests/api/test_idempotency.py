"""A request that is sent twice under one Idempotency-Key is done once, and answered twice alike."""

import io
import tarfile
import threading
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

Pictures = Callable[..., list[bytes]]
Ask = Callable[[str, str], dict[str, Any]]


def _key(name: str) -> dict[str, str]:
    return {"Idempotency-Key": name}


def test_a_repeated_write_is_answered_as_before_also_after_a_restart(
    serve: Any, png: Pictures, tmp_path: Any
) -> None:
    with serve(data=tmp_path) as served:
        id = served.classifier()["id"]
        path = f"/v1/classifiers/{id}"
        shots = [
            {"files": [("files", ("x.png", png("red")[0], "image/png"))], "data": {"label": "red"}},
            {"files": [("files", ("other name.png", png("red")[0], "image/png"))], "data": {"label": "red"}},
        ]
        asked: list[tuple[str, str, dict[str, Any]]] = [
            ("POST", "/v1/classifiers", {"json": {"name": "twice"}}),
            ("POST", f"{path}/shots", shots[0]),
            ("PUT", f"{path}/classes/blue", {"json": {"description": "a colour"}}),
            ("POST", f"{path}/classes", {"json": {"classes": [{"name": "green"}]}}),
            ("PATCH", path, {"json": {"name": "renamed"}}),
            ("POST", f"{path}/evaluate", {"json": {}}),
            ("POST", f"{path}/train", {"json": {"method": "tip-f"}}),
            ("DELETE", f"{path}/classes/blue", {}),
        ]
        first = [
            served.client.request(method, where, headers=_key(f"k{at}"), **body)
            for at, (method, where, body) in enumerate(asked)
        ]
        assert all(answer.is_success for answer in first)
        assert all("idempotency-replayed" not in answer.headers for answer in first)
    with serve(data=tmp_path) as served:
        before = served.get(path).json()
        asked[1] = ("POST", f"{path}/shots", shots[1])  # another boundary and file name; the same content
        again = [
            served.client.request(method, where, headers=_key(f"k{at}"), **body)
            for at, (method, where, body) in enumerate(asked)
        ]
        assert [answer.content for answer in again] == [answer.content for answer in first]
        assert [answer.status_code for answer in again] == [answer.status_code for answer in first]
        for name in ("location", "etag", "content-type"):
            assert [a.headers.get(name) for a in again] == [a.headers.get(name) for a in first]
        assert all(answer.headers["idempotency-replayed"] == "true" for answer in again)
        now = served.get(path).json()
        assert {**now, "stale": 0, "head_version": 0} == {**before, "stale": 0, "head_version": 0}
        assert len(served.get("/v1/classifiers").json()["items"]) == 2


def test_another_request_under_the_key_is_refused(served: Any) -> None:
    assert served.post("/v1/classifiers", json={"name": "a"}, headers=_key("one")).status_code == 201
    answer = served.post("/v1/classifiers", json={"name": "b"}, headers=_key("one"))
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid")
    assert "one" in answer.json()["detail"]


def test_json_is_compared_by_what_it_says(served: Any) -> None:
    head = {**_key("two"), "Content-Type": "application/json"}
    first = served.post("/v1/classifiers", content=b'{"name": "a", "method": "lda"}', headers=head)
    again = served.post("/v1/classifiers", content=b'{"method":"lda",\n"name":"a"}', headers=head)
    assert first.json() == again.json()


def test_a_failure_is_not_kept(served: Any) -> None:
    assert served.post("/v1/classifiers", json={"name": ""}, headers=_key("three")).status_code == 422
    assert served.post("/v1/classifiers", json={"name": "x"}, headers=_key("three")).status_code == 201


@pytest.mark.parametrize("key", ["", "x" * 201])
def test_a_key_has_1_to_200_characters(served: Any, key: str) -> None:
    answer = served.post("/v1/classifiers", json={"name": "x"}, headers=_key(key))
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/Idempotency-Key"


def test_of_requests_at_once_one_is_done(served: Any, png: Pictures) -> None:
    id = served.classifier()["id"]
    body = {"files": [("files", ("x.png", png("red")[0], "image/png"))], "data": {"label": "red"}}
    answers: list[httpx2.Response] = []

    def send() -> None:
        with httpx2.Client() as client:
            url = f"{served.url}/v1/classifiers/{id}/shots"
            answers.append(client.post(url, headers=_key("at once"), **body))

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert served.get(f"/v1/classifiers/{id}").json()["shots"] == 1


def test_an_archive_is_imported_once_and_another_under_its_key_refused(served: Any, png: Pictures) -> None:
    id = served.classifier()["id"]
    head = {**_key("archive"), "Content-Type": "application/x-tar"}
    archive, other = _tar({"red/1.png": png("red")[0]}), _tar({"red/2.png": png("red")[0]})
    path = f"/v1/classifiers/{id}/shots"
    first = served.post(path, content=archive, headers=head)
    again = served.post(path, content=archive, headers=head)
    assert (first.status_code, again.content) == (202, first.content)
    assert served.post(path, content=other, headers=head).status_code == 422
    assert served.ended(first.json()["id"])["status"] == "succeeded"
    assert served.get(f"/v1/classifiers/{id}").json()["shots"] == 1


def _tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()
