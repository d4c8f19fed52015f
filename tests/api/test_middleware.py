"""What happens around every request: ids, lines in the log, counts, compression, and who may call at all."""

import asyncio
import base64
import json
import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx2

from handful.errors import EncoderError
from handful.service.keys import Keys
from handful.service.service import store_of
from handful.settings import Settings

Serving = Callable[..., AbstractContextManager[str]]


def _lines(data: Path) -> list[dict[str, Any]]:
    """Of the log of a server process."""
    said = (data / "log.txt").read_text().splitlines()
    return [json.loads(line) for line in said if line.startswith("{")]


def test_a_request_has_an_id_that_its_answer_and_its_line_bear(serving: Serving, tmp_path: Path) -> None:
    with serving(data=tmp_path, log_format="json") as url:
        named = httpx2.get(f"{url}/v1/classifiers?limit=3", headers={"X-Request-ID": "mine-1"})
        assert named.headers["x-request-id"] == "mine-1"
        odd = httpx2.get(f"{url}/v1/classifiers", headers={"X-Request-ID": "two words"})
        assert re.fullmatch(r"[0-9a-f]{16}", odd.headers["x-request-id"])
        assert httpx2.get(f"{url}/nothing").headers["x-request-id"]
    line = next(line for line in _lines(tmp_path) if line.get("request_id") == "mine-1")
    assert {name: line[name] for name in ("event", "level", "method", "path", "status")} == {
        "event": "request",
        "level": "info",
        "method": "GET",
        "path": "/v1/classifiers",
        "status": 200,
    }
    assert line["ms"] > 0
    assert not [line for line in _lines(tmp_path) if line.get("path") == "/readyz" and line["status"] == 200]


def test_no_secret_is_ever_logged(serving: Serving, tmp_path: Path) -> None:
    secret, other = "a-key-of-the-admin-0123456789", "another-key-that-nobody-made"
    file = tmp_path / "key"
    file.write_text(secret)
    with serving(data=tmp_path, log_format="console", log_level="debug", admin_key_file=file) as url:
        for shown in (secret, other):
            for header in (
                f"Bearer {shown}",
                shown,
                f"Basic {base64.b64encode(f'x:{shown}'.encode()).decode()}",
            ):
                httpx2.get(f"{url}/v1/classifiers?cursor={shown}", headers={"Authorization": header})
                httpx2.post(
                    f"{url}/v1/classifiers/x/train",
                    content=b"{",
                    headers={"Authorization": header, "Content-Type": "application/json"},
                )
    said = (tmp_path / "log.txt").read_text()
    assert "/v1/classifiers/x/train" in said
    assert secret not in said
    assert other not in said
    assert not [
        line for line in said.splitlines() if "request_id" in line and "authorization" in line.lower()
    ]


def test_basic_shows_a_key_as_its_password(serve: Any) -> None:
    with serve(keys={"admin": ("default", "admin")}) as served:
        for auth, status in ((("me", served.keys["admin"]), 200), (("me", "x"), 401), (("me", ""), 401)):
            assert httpx2.get(f"{served.url}/v1/classifiers", auth=auth).status_code == status
        for header in ("Basic ?", "Basic", "Bearer", "Digest x", "hfl_x_y", "Bearer \x80"):
            answer = httpx2.get(
                f"{served.url}/v1/classifiers", headers=[(b"authorization", header.encode("latin-1"))]
            )
            assert answer.status_code == 401


def test_a_revoked_key_stops_working(serve: Any) -> None:
    async def revoke(settings: Settings) -> None:
        store = store_of(settings)
        (key,) = await store.keys()
        await Keys(store).revoke(key.id)
        await store.close()

    with serve(keys={"admin": ("default", "admin")}) as served:
        asyncio.run(revoke(served.settings))  # before this process has seen it
        assert served.get("/v1/classifiers").status_code == 401


def test_large_answers_are_compressed_for_those_who_can_read_them(serve: Any) -> None:
    with serve() as served:
        classes = [{"name": f"class {at}"} for at in range(300)]
        path = f"/v1/classifiers/{served.classifier(classes=classes)['id']}"
        packed = served.get(path, headers={"Accept-Encoding": "gzip"})
        plain = served.get(path, headers={"Accept-Encoding": "identity"})
        assert packed.headers["content-encoding"] == "gzip"
        assert "content-encoding" not in plain.headers
        assert packed.json() == plain.json()
        assert int(packed.headers["content-length"]) < len(plain.content) / 2


def test_counts_bear_route_templates_and_no_names(serve: Any, png: Callable[..., list[bytes]]) -> None:
    with serve() as served:
        id = served.taught({"red": png("red", 2)})
        served.post(
            f"/v1/classifiers/{id}/classify", content=png("red")[0], headers={"Content-Type": "image/png"}
        )
        served.get("/nothing/at/all")
        answer = served.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain")
        said = answer.text
        assert id not in said
        assert "/nothing" not in said
        route = 'method="POST",route="/v1/classifiers/{id}/classify"'
        assert f"handful_http_request_seconds_count{{{route}}}" in said
        assert f'handful_http_requests_total{{{route},status="200"}}' in said
        for name in (
            "handful_classify_seconds_bucket",
            "handful_encoder_queue_seconds_bucket",
            "handful_encoder_batch_images_bucket",
            "handful_heads_cached_bytes",
            "handful_decode_seconds_sum",
        ):
            assert name in said


def test_probes_answer_without_a_key_and_metrics_do_not(serve: Any) -> None:
    with serve(keys={"admin": ("default", "admin"), "write": ("default", "write")}) as served:
        for path in ("/healthz", "/livez", "/readyz", "/health", "/ping"):
            assert httpx2.get(served.url + path).json()["status"] == "ok"
        assert httpx2.get(f"{served.url}/metrics").status_code == 401
        assert served.get("/metrics", headers=served.as_key("write")).status_code == 403
        assert served.get("/metrics").status_code == 200


def test_metrics_and_docs_are_not_there_where_nobody_wants_them(serve: Any) -> None:
    with serve(metrics=False, docs=False) as served:
        assert [served.get(path).status_code for path in ("/metrics", "/docs", "/openapi.json")] == [404] * 3
    with serve(monitor_port=1) as served:  # which `handful serve` opens
        assert served.get("/metrics").status_code == 404


def test_a_service_that_cannot_get_ready_says_why(serve: Any, tiny_encoder_class: Any) -> None:
    class Damaged(tiny_encoder_class):  # type: ignore[misc]  # of the fixture
        def encode_images(self, *_: Any, **__: Any) -> Any:
            raise EncoderError("the weights are damaged")

    with serve(encoder=Damaged(), until="/livez") as served:
        give_up = time.monotonic() + 30
        while "damaged" not in (answer := served.get("/readyz")).json()["detail"]:
            assert time.monotonic() < give_up
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert answer.headers["content-type"] == "application/problem+json"


def test_without_keys_only_this_machine_and_its_own_pages_are_answered(serve: Any) -> None:
    with serve() as served:
        for host in ("localhost", "localhost:8000", "127.0.0.1", "[::1]:9"):
            assert served.get("/v1/classifiers", headers={"Host": host}).status_code == 200
        for host in ("attacker.example", "localhost.attacker.example", "[", "192.168.0.9"):
            answer = served.get("/v1/classifiers", headers={"Host": host})
            assert (answer.status_code, answer.json()["type"]) == (403, "/problems/forbidden")
        for origin in ("https://attacker.example", "null", "http://localhost.attacker.example"):
            answer = served.post("/v1/classifiers", json={"name": "x"}, headers={"Origin": origin})
            assert answer.status_code == 403
            assert "access-control-allow-origin" not in answer.headers
        own = served.post("/v1/classifiers", json={"name": "x"}, headers={"Origin": "http://localhost:3000"})
        assert own.status_code == 201
        assert len(served.get("/v1/classifiers").json()["items"]) == 1


def test_web_pages_that_are_named_may_call(serve: Any) -> None:
    page = "https://app.example"
    with serve(cors_origins=(page,)) as served:
        answer = served.get("/v1/classifiers", headers={"Origin": page})
        assert answer.headers["access-control-allow-origin"] == page
        asked = {"Origin": page, "Access-Control-Request-Method": "PATCH"}
        assert served.client.options("/v1/classifiers/x", headers=asked).status_code == 200
        other = served.get("/v1/classifiers", headers={"Origin": "https://other.example"})
        assert "access-control-allow-origin" not in other.headers


def test_docs_come_from_here_alone(served: Any) -> None:
    page = served.get("/docs")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert not re.search(r"https?://", page.text)
    for name in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        assert served.get(f"/{name}").status_code == 200
    described = served.get("/openapi.json").json()
    assert described["openapi"].startswith("3.1")
    for methods in described["paths"].values():
        for operation in methods.values():
            assert operation["description"]
            body = operation.get("requestBody", {}).get("content", {})
            assert all("schema" in kind for kind in body.values())
