"""`handful serve` as a process: how it starts, answers with several workers, and stops."""

import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import httpx2
import pytest

Serving = Callable[..., AbstractContextManager[str]]
_COMMAND = [sys.executable, "-c", "from handful.cli import app; app()"]


def _refused(*arguments: str, **settings: str) -> str:
    """What the command says when it does not start."""
    environment = {**os.environ, **{f"HANDFUL_{name.upper()}": value for name, value in settings.items()}}
    ended = subprocess.run(
        [*_COMMAND, "serve", *arguments], env=environment, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 1
    assert len(ended.stderr.strip().splitlines()) == 1
    return ended.stderr


def test_an_address_of_others_is_refused_without_keys(tmp_path: Path) -> None:
    said = _refused("--host", "0.0.0.0", "--port", "0", "--data", str(tmp_path))
    assert "handful keys create" in said
    assert "--insecure" in said


def test_a_port_that_is_taken_is_said_so(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert port in _refused("--port", port, "--data", str(tmp_path))


def test_a_store_that_cannot_be_opened_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "store.sqlite").write_bytes(b"no database at all" * 100)
    assert "store.sqlite" in _refused("--port", "0", "--data", str(tmp_path))


def test_a_weak_admin_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("short")
    said = _refused("--port", "0", "--data", str(tmp_path), admin_key_file=str(tmp_path / "key"))
    assert "short" not in said.replace(str(tmp_path), "")


def test_the_line_to_paste_works(serving: Serving, tmp_path: Path) -> None:
    with serving(data=tmp_path):
        said = (tmp_path / "log.txt").read_text()
        assert "No API key is needed" in said
        line = re.search(r"^ *(curl .*)$", said, re.MULTILINE)
        assert line is not None
        answer = subprocess.run(line[1], shell=True, capture_output=True, text=True, timeout=30, check=True)
        assert '"label":"sheet of paper"' in answer.stdout


def test_workers_answer_alike_and_count_together(serving: Serving, tmp_path: Path) -> None:
    with serving(data=tmp_path, workers=2, log_format="json") as url:
        body = {"name": "x", "classes": [{"name": "cat"}, {"name": "dog"}]}
        id = httpx2.post(f"{url}/v1/classifiers", json=body).json()["id"]
        row = {"embeddings": [[1.0] + [0.0] * 511]}
        answers = {httpx2.post(f"{url}/v1/classifiers/{id}/classify", json=row).text for _ in range(16)}
        assert len(answers) == 1
        said = httpx2.get(f"{url}/metrics").text
        route = 'method="POST",route="/v1/classifiers/{id}/classify",status="200"'
        assert f"handful_http_requests_total{{{route}}} 16.0" in said


def test_keys_from_the_command_open_the_service(serving: Serving, tmp_path: Path) -> None:
    made = subprocess.run(
        [*_COMMAND, "keys", "create", "mine", "--data", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    secret = made.stdout.strip()
    assert re.fullmatch(r"hfl_[0-9a-z]+_[A-Za-z0-9_\-]{43}", secret)
    with serving(data=tmp_path) as url:
        assert "API keys are needed" in (tmp_path / "log.txt").read_text()
        assert httpx2.get(f"{url}/v1/classifiers").status_code == 401
        head = {"Authorization": f"Bearer {secret}"}
        assert httpx2.get(f"{url}/v1/classifiers", headers=head).status_code == 200
        assert httpx2.get(f"{url}/metrics", headers=head).status_code == 403
    assert secret not in (tmp_path / "log.txt").read_text()
    assert secret.split("_", 2)[2].encode() not in (tmp_path / "store.sqlite").read_bytes()


@contextmanager
def _process(data: Path, **settings: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A server process, listening; and its address."""
    environment = {**os.environ, **{f"HANDFUL_{name.upper()}": value for name, value in settings.items()}}
    log = data / "log.txt"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*_COMMAND, "serve", "--port", "0", "--data", str(data)],
            env=environment,
            stdout=file,
            stderr=file,
        )
        try:
            give_up = time.monotonic() + 60
            while (found := re.search(r"serves on (https?://\S+)", log.read_text())) is None:
                assert time.monotonic() < give_up
                assert process.poll() is None, log.read_text()
                time.sleep(0.02)
            yield process, found[1]
        finally:
            process.kill()
            process.wait()


def test_a_stopping_service_finishes_what_it_has_accepted_and_ends_streams(tmp_path: Path) -> None:
    with _process(tmp_path, job_threads="1") as (process, url), httpx2.Client(timeout=60) as client:
        assert client.get(f"{url}/livez").status_code == 200
        id = client.post(f"{url}/v1/classifiers", json={"name": "x"}).json()["id"]
        shots = [
            {"label": f"c{at % 2}", "embedding": [float(at + place % 7 + 1) for place in range(512)]}
            for at in range(16)
        ]
        client.post(f"{url}/v1/classifiers/{id}/shots", json=shots)
        job = client.post(
            f"{url}/v1/classifiers/{id}/train",
            json={"method": "clip-adapter", "options": {"epochs": 1_000_000}},
        ).json()["id"]
        ended = threading.Event()

        def follow() -> None:
            with httpx2.stream("GET", f"{url}/v1/jobs/{job}/events", timeout=60) as answer:
                for _ in answer.iter_lines():
                    started.set()
            ended.set()

        started = threading.Event()
        follower = threading.Thread(target=follow)
        follower.start()
        assert started.wait(30)
        slow = threading.Thread(target=_slow_request, args=(url, statuses := []))
        slow.start()
        while b"slow" not in b"".join(statuses):
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) in (0, -signal.SIGTERM)
        follower.join(10)
        slow.join(10)
        assert ended.is_set()
        assert b"201 Created" in b"".join(statuses)


def _slow_request(url: str, heard: list[bytes]) -> None:
    """Begins a request, and sends the rest of it while the service is stopping."""
    host, _, port = url.removeprefix("http://").partition(":")
    body = b'{"name": "slow"}'
    head = f"POST /v1/classifiers HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(f"{head}Expect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n".encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 100")  # it was accepted, and its body is awaited
        connection.sendall(body[:4])
        heard.append(b"slow")
        time.sleep(1)
        connection.sendall(body[4:])
        while part := connection.recv(65536):
            heard.append(part)


def test_metrics_have_a_port_of_their_own_where_one_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with _process(tmp_path, monitor_port=str(port)) as (_, url):
        httpx2.get(f"{url}/v1/classifiers")
        assert "handful_http_requests_total" in httpx2.get(f"http://127.0.0.1:{port}/metrics").text
        assert httpx2.get(f"{url}/metrics").status_code == 404


def test_a_certificate_makes_it_https(tmp_path: Path) -> None:
    made = subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-keyout",
            tmp_path / "key.pem",
            "-out",
            tmp_path / "c.pem",
        ],
        capture_output=True,
    )
    if made.returncode:
        pytest.skip("openssl is not there")
    files = {"tls_certificate": str(tmp_path / "c.pem"), "tls_key": str(tmp_path / "key.pem")}
    with _process(tmp_path, **files) as (_, url):
        assert url.startswith("https://")
        trusted = ssl.create_default_context(cafile=tmp_path / "c.pem")
        assert httpx2.get(f"{url}/livez", verify=trusted).status_code == 200
