"""Jobs over HTTP: started, followed, cancelled."""

import json
import threading
from collections.abc import Callable
from typing import Any

import httpx2

Pictures = Callable[..., list[bytes]]


def _events(served: Any, job: str) -> list[dict[str, Any]]:
    with httpx2.stream("GET", f"{served.url}/v1/jobs/{job}/events", timeout=30) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        return [json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: ")]


def test_a_trained_head_answers_until_it_is_stale_and_says_so(served: Any, png: Pictures) -> None:
    id = served.taught({"red": png("red", 4), "blue": png("blue", 4)})
    path = f"/v1/classifiers/{id}"
    answer = served.post(f"{path}/train", json={"method": "tip-f"})
    assert answer.status_code == 202
    job = answer.json()
    assert (job["kind"], job["classifier"], job["status"]) == ("train", id, "queued")
    events = _events(served, job["id"])
    assert events[-1]["status"] == "succeeded"
    assert [event["progress"] for event in events] == sorted(event["progress"] for event in events)
    result = events[-1]["result"]
    assert result["method"] == "tip-f"
    now = served.get(path).json()
    assert (now["head_version"], now["stale"]) == (result["version"], False)
    served.post(
        f"{path}/shots", files=[("files", ("x.png", png("green")[0], "image/png"))], data={"label": "green"}
    )
    now = served.get(path).json()
    assert (now["head_version"], now["stale"]) == (result["version"], True)
    versions = served.get(f"{path}/versions").json()["items"]
    assert [one["version"] for one in versions if one["active"]] == [result["version"]]
    closed = now["support_version"]
    activated = served.post(f"{path}/versions/{closed}/activate")
    assert activated.json()["active"]
    assert served.get(path).json()["stale"] is False
    assert served.post(f"{path}/versions/999/activate").status_code == 404


def test_events_end_also_when_opened_late(served: Any, png: Pictures) -> None:
    id = served.taught({"red": png("red", 3), "blue": png("blue", 3)})
    job = served.post(f"/v1/classifiers/{id}/evaluate").json()["id"]
    ended = served.ended(job)
    assert _events(served, job) == [ended]
    assert 0 <= ended["result"]["accuracy"]["value"] <= 1
    assert {"low", "high"} <= ended["result"]["accuracy"].keys()


def test_a_job_that_cannot_be_done_says_why(served: Any) -> None:
    id = served.classifier()["id"]
    job = served.post(f"/v1/classifiers/{id}/evaluate", json={}).json()["id"]
    ended = served.ended(job)
    assert ended["status"] == "failed"
    assert ended["error"]["detail"]
    assert ended["error"].keys() >= {"type", "title", "status", "detail"}


def test_what_a_job_cannot_do_is_refused_before_it_starts(served: Any) -> None:
    id = served.classifier()["id"]
    for body, pointer in (
        ({"method": "magic"}, "/method"),
        ({"method": "tip-f", "options": {"magic": 1}}, "/options/magic"),
        ({"views": "magic"}, "/views"),
        ({"colour": 1}, "/colour"),
    ):
        answer = served.post(f"/v1/classifiers/{id}/train", json=body)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)


def test_views_are_compared_and_changed_over_http(served: Any, png: Pictures) -> None:
    id = served.taught({"red": png("red", 3), "blue": png("blue", 3)})
    path = f"/v1/classifiers/{id}"
    job = served.post(f"{path}/evaluate", json={"views": ["flip"]}).json()["id"]
    compared = served.ended(job)["result"]["views"]
    assert [one["policy"] for one in compared["policies"]] == ["none", "flip"]
    assert compared["chosen"] == "none"
    answer = served.post(f"{path}/views", json={"views": "flip"})
    assert (answer.status_code, answer.json()["kind"]) == (202, "views")
    assert answer.headers["location"] == f"/v1/jobs/{answer.json()['id']}"
    assert served.ended(answer.json()["id"])["result"]["changed"] == 6
    assert served.get(path).json()["views"] == "flip"
    for body, pointer in (({"views": "sideways"}, "/views"), ({}, "/views"), ({"colour": 1}, "/views")):
        refused = served.post(f"{path}/views", json=body)
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, pointer)


def test_a_job_is_cancelled(served: Any, png: Pictures) -> None:
    id = served.taught({"red": png("red", 4), "blue": png("blue", 4)})
    job = served.post(
        f"/v1/classifiers/{id}/train", json={"method": "clip-adapter", "options": {"epochs": 100_000}}
    ).json()["id"]
    seen: list[dict[str, Any]] = []
    follower = threading.Thread(target=lambda: seen.extend(_events(served, job)))
    follower.start()
    assert served.delete(f"/v1/jobs/{job}").status_code == 200
    assert served.ended(job)["status"] == "cancelled"
    follower.join()
    assert seen[-1]["status"] == "cancelled"
    assert served.delete(f"/v1/jobs/{job}").json()["status"] == "cancelled"


def test_lines_of_json_become_classifiers(serve: Any) -> None:
    lines = [json.dumps({"name": f"c{at}", "classes": [{"name": "red"}]}) for at in range(3)]
    with serve() as served:
        answer = served.post(
            "/v1/import",
            content="\n".join([*lines, "no json"]).encode(),
            headers={"Content-Type": "application/x-ndjson"},
        )
        assert answer.status_code == 202
        ended = served.ended(answer.json()["id"])
        assert ended["result"]["classifiers"] == 3
        assert ended["result"]["failed"][0]["line"] == 4
        assert [one["name"] for one in served.get("/v1/classifiers").json()["items"]] == ["c0", "c1", "c2"]
