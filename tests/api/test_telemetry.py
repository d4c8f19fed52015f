"""OpenTelemetry: what a receiver of OTLP is told, and that nothing is measured unless somebody asks."""

import os
import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from handful.api import telemetry

Serving = Callable[..., AbstractContextManager[str]]
_ROUTE = "/v1/zero-shot"


class Receiver(ThreadingHTTPServer):
    """Keeps what exporters send.    bodies : by path."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.bodies: dict[str, list[bytes]] = defaultdict(list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def spans(self) -> list[Any]:
        said = [ExportTraceServiceRequest.FromString(body) for body in self.bodies["/v1/traces"]]
        return [
            span
            for one in said
            for of in one.resource_spans
            for scope in of.scope_spans
            for span in scope.spans
        ]

    def metrics(self) -> dict[str, Any]:
        said = [ExportMetricsServiceRequest.FromString(body) for body in self.bodies["/v1/metrics"]]
        return {
            metric.name: metric
            for one in said
            for of in one.resource_metrics
            for scope in of.scope_metrics
            for metric in scope.metrics
        }

    def resource(self) -> dict[str, str]:
        said = ExportTraceServiceRequest.FromString(self.bodies["/v1/traces"][0])
        return attributes(said.resource_spans[0].resource)


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.bodies[self.path].append(body)  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


def attributes(of: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in of.attributes}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    return monkeypatch


def test_a_receiver_is_told_of_routes_and_of_the_parts_of_a_request(
    serving: Serving, trashnet: Path, receiver: Receiver, clean: pytest.MonkeyPatch
) -> None:
    clean.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
    picture = next((trashnet / "glass").iterdir())
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with serving() as url:
        id = httpx2.post(f"{url}/v1/classifiers", json={"name": "secret name"}).json()["id"]
        asked = httpx2.post(
            url + _ROUTE,
            data={"labels": ["glass", "metal"]},
            files={"files": picture.read_bytes()},
            headers={"traceparent": parent},
            timeout=60,
        )
        assert asked.status_code == 200, asked.text
        assert httpx2.get(f"{url}/v1/classifiers/{id}").status_code == 200
        assert httpx2.get(f"{url}/healthz").status_code == 200
    spans = receiver.spans()
    by_name = {span.name: span for span in spans}
    assert sorted(by_name) == sorted(
        ["POST /v1/classifiers", "GET /v1/classifiers/{id}", f"POST {_ROUTE}", "decode", "encode", "score"]
    )
    request = by_name[f"POST {_ROUTE}"]
    assert request.trace_id.hex() == parent.split("-")[1]
    assert request.parent_span_id.hex() == parent.split("-")[2]
    assert attributes(request)["http.route"] == _ROUTE
    for part in ("decode", "encode", "score"):
        span = by_name[part]
        assert (span.trace_id, span.parent_span_id) == (request.trace_id, request.span_id)
        assert request.start_time_unix_nano < span.start_time_unix_nano < span.end_time_unix_nano
        assert span.end_time_unix_nano < request.end_time_unix_nano
    assert by_name["decode"].end_time_unix_nano < by_name["encode"].end_time_unix_nano
    assert attributes(by_name["GET /v1/classifiers/{id}"])["http.route"] == "/v1/classifiers/{id}"
    assert "secret name" not in str(spans)

    seconds = receiver.metrics()["http.server.request.duration"]
    assert seconds.unit == "s"
    points = {attributes(point)["http.route"]: point for point in seconds.histogram.data_points}
    assert points.keys() == {"/v1/classifiers", "/v1/classifiers/{id}", _ROUTE}
    assert points[_ROUTE].count == 1
    assert attributes(points[_ROUTE])["http.response.status_code"] == 200

    resource = receiver.resource()
    assert resource["service.name"] == "handful"
    assert re.fullmatch(r"[0-9a-f-]{36}", resource["service.instance.id"])
    assert receiver.bodies.keys() == {"/v1/traces", "/v1/metrics"}  # no log records


def test_without_a_word_in_the_environment_nothing_is_asked_for(clean: pytest.MonkeyPatch) -> None:
    assert telemetry.telemetry()["auto_configure"] is False
    clean.setenv("OTEL_SERVICE_NAME", "shop")
    clean.setenv("OTEL_TRACES_EXPORTER", "none")
    assert telemetry.telemetry()["auto_configure"] is False
    clean.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:1")
    clean.setenv("OTEL_SDK_DISABLED", "true")
    assert telemetry.telemetry()["auto_configure"] is False


def test_an_exporter_by_name_sends_where_the_standard_says(clean: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"):
        clean.setenv(name, "")  # so that it is as before afterwards
        clean.delenv(name)
    clean.setenv("OTEL_TRACES_EXPORTER", "otlp")
    clean.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=shop,service.instance.id=3")
    assert telemetry.telemetry()["auto_configure"] is True
    assert os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://localhost:4318"
    assert "OTEL_SERVICE_NAME" not in os.environ
    assert os.environ["OTEL_RESOURCE_ATTRIBUTES"] == "service.name=shop,service.instance.id=3"


@pytest.mark.parametrize("missing", ["opentelemetry.sdk", "opentelemetry.exporter"])
def test_what_is_asked_for_and_not_installed_is_said_with_the_command_that_installs_it(
    clean: pytest.MonkeyPatch, missing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def find_spec(name: str) -> object:
        if name == missing:
            return None
        if name.startswith(f"{missing}."):
            raise ModuleNotFoundError(f"No module named {missing!r}", name=missing)
        return object()

    clean.setattr(telemetry, "find_spec", find_spec)
    clean.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:1")
    assert telemetry.telemetry()["auto_configure"] is False
    assert "pip install 'handful[otel]'" in capsys.readouterr().out
