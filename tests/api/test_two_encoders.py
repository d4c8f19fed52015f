"""Two encoders in one service, over HTTP."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from handful.service.encoding import encoders


@pytest.fixture
def two(serve: Any) -> Iterator[Any]:
    """The one of colours is the default; builtin may be named besides, and goes soon."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("HANDFUL_ENCODER", "tiny")
        with serve(encoders_idle_minutes=0.01) as running:
            yield running


def loaded(served: Any) -> dict[str, int]:
    items = served.get("/v1/encoders").json()["items"]
    return {one["name"]: one["loaded_bytes"] for one in items if one["loaded_bytes"]}


def metric(served: Any, name: str) -> float:
    return next(
        float(line.split()[1])
        for line in served.get("/metrics").text.splitlines()
        if line.startswith(f"{name} ")
    )


def wait_until(what: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 30
    while not what():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def test_each_classifier_is_answered_by_its_own_encoder(two: Any, png: Any) -> None:
    images = {"red": png("red", 2), "blue": png("blue", 2)}
    before = metric(two, "handful_encoder_loads_total"), metric(two, "handful_encoder_unloads_total")
    asked = {"files": [("files", ("x.png", png("red", seed=9)[0], "image/png"))]}
    ids = {name: two.taught(images, encoder=name) for name in ("tiny", "builtin")}
    for _ in range(2):
        for name, id in ids.items():
            answer = two.post(f"/v1/classifiers/{id}/classify", **asked).json()
            assert (answer["encoder"], answer["predictions"][0]["label"]) == (name, "red")
        assert loaded(two)["builtin"] > 0
        wait_until(lambda: not loaded(two))  # unused, it leaves; the service is ready all the same
        assert two.get("/readyz").status_code == 200
        asked = {"files": [("files", ("x.png", png("red", seed=10)[0], "image/png"))]}
    assert metric(two, "handful_encoder_loads_total") >= before[0] + 2
    assert metric(two, "handful_encoder_unloads_total") >= before[1] + 2
    assert metric(two, "handful_encoders_loaded_bytes") == 0


def test_a_caller_makes_the_server_read_no_path_and_fetch_no_repository(
    two: Any, png: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []
    monkeypatch.setattr(encoders, "load_encoder", lambda name, **options: tried.append(name))
    for name in (str(tmp_path), "./models", "org/model", "org/model@v1", "clip-vit-b-32", "tiny+org/model"):
        refused = two.post("/v1/classifiers", json={"name": "x", "encoder": name})
        assert refused.status_code == 422
        assert refused.json()["errors"][0]["pointer"] == "/encoder"
        assert "there is tiny, builtin: who runs the service lists more in HANDFUL_ENCODERS" in refused.text
        assert two.post("/v1/embeddings", json={"model": name, "input": "red"}).status_code == 404
    assert tried == []


def test_other_requests_are_answered_while_an_encoder_is_being_found(
    two: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, began, real = threading.Event(), threading.Event(), encoders.load_encoder

    def slow(name: str, **options: Any) -> Any:
        began.set()
        assert go.wait(30)
        return real(name, **options)

    monkeypatch.setattr(encoders, "load_encoder", slow)
    answers: list[httpx2.Response] = []
    waiting = threading.Thread(
        target=lambda: answers.append(
            httpx2.post(f"{two.url}/v1/classifiers", json={"name": "x", "encoder": "builtin"}, timeout=30)
        )
    )
    waiting.start()
    try:
        assert began.wait(30)
        assert two.classifier()["encoder"] == "tiny"
        assert two.get("/readyz").status_code == 200
        assert not answers
    finally:
        go.set()
        waiting.join()
    assert (answers[0].status_code, answers[0].json()["encoder"]) == (201, "builtin")
