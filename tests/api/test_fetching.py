"""Pictures at web addresses: from hosts that are named alone, no private one, in bounded time and size."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from handful.api.fetching import fetch
from handful.errors import RequestError, TooLargeError

Pictures = Callable[..., list[bytes]]


class _Host(BaseHTTPRequestHandler):
    picture = b""
    asked: list[str] = []  # noqa: RUF012  # of a test

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path.startswith("/to?"):
            self.send_response(302)
            self.send_header("Location", self.path[4:])
            self.end_headers()
            return
        self.send_response(404 if self.path == "/missing" else 200)
        self.send_header("Content-Length", str(len(self.picture)))
        self.end_headers()
        self.wfile.write(self.picture)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def host(png: Pictures) -> Iterator[str]:
    """Where pictures are, as `127.0.0.1:PORT`."""
    _Host.picture, _Host.asked = png("red")[0], []
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Host)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def _fetched(url: str, *hosts: str, most: int = 10_000) -> bytes:
    return asyncio.run(fetch(url, hosts=hosts, most=most, pointer="/images/0"))


def test_an_address_is_fetched_for_questions_and_shots(serve: Any, host: str) -> None:
    with serve(fetch_hosts=(host,)) as served:
        id = served.classifier()["id"]
        shot = {"label": "red", "image": f"http://{host}/a.png"}
        assert served.post(f"/v1/classifiers/{id}/shots", json=[shot]).status_code == 201
        answer = served.post(
            f"/v1/classifiers/{id}/classify",
            json={"images": [f"http://{host}/b.png", f"HTTP://{host}/c.png"]},
        )
        assert [one["label"] for one in answer.json()["predictions"]] == ["red", "red"]
        for wrong in (f"http://{host}/missing", f"http://{host}1/a.png", "http://localhost/a.png"):
            refused = served.post(
                f"/v1/classifiers/{id}/classify", json={"images": [f"http://{host}/", wrong]}
            )
            assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/images/1")


def test_nothing_is_fetched_where_no_host_is_named(served: Any, host: str) -> None:
    answer = served.post("/v1/zero-shot", json={"labels": ["red"], "images": [f"http://{host}/a.png"]})
    assert answer.status_code == 422
    assert "HANDFUL_FETCH_HOSTS" in answer.json()["detail"]
    assert _Host.asked == []


@pytest.mark.parametrize(
    "url",
    [
        "http://{host}/to?http://127.0.0.1:1/x",
        "http://{host}/to?http://169.254.169.254/latest/meta-data",
        "http://{host}/to?file:///etc/passwd",
        "http://{host}/to?//example.org/x",
        "http://me:secret@{host}/x",
        "http://127.1:80/x",
        "http://[::1]/x",
        "http://2130706433/x",
        "ftp://{host}/x",
        "http:///x",
        "http://[/x",
    ],
)
def test_an_address_that_is_not_allowed_is_refused(host: str, url: str) -> None:
    with pytest.raises(RequestError) as refused:
        _fetched(url.format(host=host), host)
    assert refused.value.pointer == "/images/0"
    assert "secret" not in str(refused.value)


def test_redirects_are_followed_only_so_far(host: str) -> None:
    assert _fetched(f"http://{host}/to?/a.png", host) == _Host.picture
    endless = "/to?" * 9 + "/a.png"
    with pytest.raises(RequestError, match="redirects"):
        _fetched(f"http://{host}{endless}", host)


def test_a_name_at_a_private_address_is_refused(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def resolved(*_: Any, **__: Any) -> list[tuple[Any, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", int(host.rpartition(":")[2])))]

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    with pytest.raises(RequestError, match="private"):
        _fetched("http://pictures.example/x", "pictures.example")
    assert _Host.asked == []


def test_a_picture_that_is_too_large_is_not_read_to_its_end(host: str) -> None:
    with pytest.raises(TooLargeError):
        _fetched(f"http://{host}/a.png", host, most=len(_Host.picture) - 1)
