"""Slow, huge and hostile requests harm nobody else."""

import base64
import io
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx2
import psutil
import pytest
from PIL import Image

Pictures = Callable[..., list[bytes]]


def _begun(url: str, path: str, kind: str, length: int) -> socket.socket:
    """A connection with a request whose body has only begun."""
    host, _, port = url.removeprefix("http://").partition(":")
    connection = socket.create_connection((host, int(port)))
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
    connection.sendall(head.encode() + b"x")
    return connection


def test_uploads_that_crawl_keep_nobody_waiting(served: Any, png: Pictures) -> None:
    id = served.taught({"red": png("red", 2), "blue": png("blue", 2)})
    path = f"/v1/classifiers/{id}"
    faults = _faults(served)
    with ExitStack() as open_ones:
        for at in range(60):
            where, kind = (
                (f"{path}/classify", "image/png"),
                (f"{path}/shots", "application/zip"),
                ("/v1/classifiers", "application/json"),
                (f"{path}/shots", "multipart/form-data; boundary=x"),
            )[at % 4]
            open_ones.enter_context(_begun(served.url, where, kind, 100_000))
        for _ in range(20):
            asked = {"content": png("red")[0], "headers": {"Content-Type": "image/png"}}
            assert served.post(f"{path}/classify", **asked, timeout=5).status_code == 200
    # What broke off has left nothing behind, and is no fault.
    assert served.get(path).json()["shots"] == 4
    assert _faults(served) == faults


def _faults(served: Any) -> list[str]:
    """Counts of answers that were faults; all services of this process count together."""
    return [line for line in served.get("/metrics").text.splitlines() if 'status="500"' in line]


def test_a_huge_body_keeps_nobody_waiting(serve: Any, png: Pictures) -> None:
    with serve() as served:
        id = served.taught({"red": png("red", 2)})
        text = base64.b64encode(b"x" * 15_000_000).decode()
        bodies = [
            {"json": {"images": [text, text, text]}},
            {"files": [("files", ("x.png", b"x" * 15_000_000, "image/png"))] * 3},
        ]
        stop = threading.Event()

        def flood(body: dict[str, Any]) -> None:
            with httpx2.Client(timeout=60) as client:
                while not stop.is_set():
                    assert (
                        client.post(f"{served.url}/v1/classifiers/{id}/classify", **body).status_code == 422
                    )

        threads = [threading.Thread(target=flood, args=(body,)) for body in bodies]
        for thread in threads:
            thread.start()
        try:
            for _ in range(10):
                answer = served.post(
                    f"/v1/classifiers/{id}/classify",
                    content=png("red")[0],
                    headers={"Content-Type": "image/png"},
                    timeout=10,
                )
                assert answer.status_code == 200
        finally:
            stop.set()
            for thread in threads:
                thread.join()


def _claiming(width: int, height: int) -> bytes:
    """A PNG that claims a size, and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(b"\0" * 10_000))
        + chunk(b"IEND", b"")
    )


def _hostile() -> Iterator[tuple[str, bytes]]:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64)).save(buffer, "JPEG")
    whole = buffer.getvalue()
    yield "nothing", b""
    yield "text", b"<svg onload=alert(1)>"
    yield "a web page", b"<!doctype html><html></html>"
    yield "a pickle", b"\x80\x04\x95cos\nsystem\n(S'true'\ntR."
    yield "50,000 x 50,000", _claiming(50_000, 50_000)
    yield "2^31 pixels wide", _claiming(2**31 - 1, 1)
    yield "no pixel", _claiming(0, 0)
    yield "many megapixels of zeros", _claiming(7_000, 7_000)
    yield "cut off", whole[: len(whole) // 2]
    yield "half of it zeros", whole[:300] + b"\0" * 1000
    yield "a header alone", whole[:20]
    yield "a zip", b"PK\x03\x04" + b"\0" * 100
    yield "a PDF", b"%PDF-1.7\n" + b"\0" * 100
    yield "PostScript", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n"


@pytest.mark.parametrize(
    ("name", "data"), list(_hostile()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_hostile_pictures_end_in_a_named_error(served: Any, png: Pictures, name: str, data: bytes) -> None:
    id = served.taught({"red": png("red", 1)})
    before = psutil.Process().memory_info().rss
    for path in ("classify", "suggest", "shots"):
        files = [("files", ("../../x.png", data, "image/png"))]
        answer = served.post(f"/v1/classifiers/{id}/{path}", files=files, data={"label": "x"})
        assert answer.status_code == 422
        said = answer.json()
        assert said["errors"][0]["pointer"] == "/files/0"
        assert "Traceback" not in said["detail"]
    assert served.get(f"/v1/classifiers/{id}").json()["shots"] == 1
    assert psutil.Process().memory_info().rss - before < 400e6


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "..\\x", "a" * 100_000, "a\0b.png", "<script>", "\u202egnp.exe", ""]
)
def test_names_of_files_mean_nothing(served: Any, png: Pictures, name: str) -> None:
    id = served.classifier()["id"]
    boundary = b"--x\r\n"
    disposition = f'Content-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode()
    label = b'Content-Disposition: form-data; name="label"\r\n\r\nred\r\n'
    body = boundary + label + boundary + disposition + png("red")[0] + b"\r\n--x--\r\n"
    answer = served.post(
        f"/v1/classifiers/{id}/shots",
        content=body,
        headers={"Content-Type": "multipart/form-data; boundary=x"},
    )
    assert answer.status_code in (201, 400, 422)
    assert len(answer.content) < 5_000


def test_too_many_waiting_pictures_are_turned_away_with_a_time(
    serve: Any, tiny_encoder_class: Any, png: Pictures
) -> None:
    gate = threading.Event()

    class Slow(tiny_encoder_class):  # type: ignore[misc]  # of the fixture
        def encode_images(self, images: Any, **named: Any) -> Any:
            gate.wait(30)
            return super().encode_images(images, **named)

    with serve(encoder=Slow(), queue_images=4, until="/livez") as served:
        id = served.classifier(classes=[{"name": "red"}, {"name": "blue"}])["id"]
        statuses: list[httpx2.Response] = []

        def ask(picture: bytes) -> None:
            statuses.append(
                httpx2.post(
                    f"{served.url}/v1/classifiers/{id}/classify",
                    content=picture,
                    headers={"Content-Type": "image/png"},
                    timeout=60,
                )
            )

        threads = [threading.Thread(target=ask, args=(picture,)) for picture in png("red", 12)]
        for thread in threads:
            thread.start()
        give_up = time.monotonic() + 30
        while len(statuses) < 8 and time.monotonic() < give_up:
            time.sleep(0.01)
        gate.set()
        for thread in threads:
            thread.join()
        away = [answer for answer in statuses if answer.status_code == 503]
        assert sorted({answer.status_code for answer in statuses}) == [200, 503]
        assert len(away) == 8
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in away)
        assert all(answer.json()["type"] == "/problems/busy" for answer in away)
