"""`handful worker` beside a service that works on no jobs itself."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.nodes.processes import Node, serve, waited_for, worker
from tests.redis_servers import Server

_LINES = 6000  # of an import that takes some seconds


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("worker")


@pytest.fixture(scope="module")
def service(folder: Path) -> Iterator[Node]:
    with serve(folder, job_threads=0) as node:
        node.ready()
        yield node


def lines(count: int) -> bytes:
    return "".join(json.dumps({"name": str(at)}) + "\n" for at in range(count)).encode()


def submitted(service: Node, count: int) -> str:
    head = {"Content-Type": "application/x-ndjson"}
    answer = service.client.post("/v1/import", content=lines(count), headers=head)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def progress(service: Node, job: str) -> float:
    return float(service.client.get(f"/v1/jobs/{job}").json()["progress"])


def told_of(service: Node, job: str) -> str:
    return service.client.get(f"/v1/jobs/{job}").text


def names(service: Node) -> list[str]:
    found, cursor = [], ""
    while True:
        page = service.client.get(f"/v1/classifiers?limit=100{cursor}").json()
        found += [one["name"] for one in page["items"]]
        if page["next_cursor"] is None:
            return found
        cursor = f"&cursor={page['next_cursor']}"


def test_jobs_wait_for_a_worker_which_shows_that_it_is_there(service: Node, folder: Path) -> None:
    job = submitted(service, 3)
    time.sleep(1.5)  # a service that works on jobs looks for them each second
    assert service.client.get(f"/v1/jobs/{job}").json()["status"] == "queued"
    with worker(folder) as node:
        assert service.ended(job)["result"]["classifiers"] == 3
        node.ready()
        assert node.client.get("/livez").status_code == 200
        said = node.client.get("/metrics").text
        assert 'handful_jobs_total{kind="import-classifiers",status="succeeded"} 1.0' in said
        assert node.client.get("/v1/classifiers").status_code == 404
        assert node.stop() == 0


def test_a_worker_that_stops_gives_its_job_back_and_another_goes_on(service: Node, folder: Path) -> None:
    job = submitted(service, _LINES)
    with worker(folder) as first:
        waited_for(lambda: progress(service, job) > 0, lambda: told_of(service, job))
        assert first.stop() == 0
    left = service.client.get(f"/v1/jobs/{job}").json()
    assert (left["status"], 0 < left["progress"] < 1) == ("queued", True)
    with worker(folder):
        assert service.ended(job)["result"]["classifiers"] == _LINES


@pytest.mark.parametrize(("fate", "kind"), [("killed", "sqlite"), ("killed", "redis"), ("paused", "redis")])
def test_a_worker_that_is_silent_loses_its_job_to_another_after_the_lease(
    tmp_path: Path, redis_8: Server, fate: str, kind: str
) -> None:
    redis_8.command("FLUSHALL")
    url = redis_8.url if kind == "redis" else f"sqlite:///{tmp_path}/store.sqlite"
    told = {"store_url": url, "job_lease_seconds": 3}  # a machine under load is late with its heartbeats
    with serve(tmp_path, job_threads=0, store_url=url) as service, worker(tmp_path, **told) as first:
        service.ready()
        job = submitted(service, _LINES)
        waited_for(lambda: progress(service, job) > 0, lambda: told_of(service, job))
        first.process.send_signal(signal.SIGKILL if fate == "killed" else signal.SIGSTOP)
        with worker(tmp_path, **told):
            there = progress(service, job)
            waited_for(lambda: progress(service, job) > there, lambda: told_of(service, job))
            if fate == "paused":
                first.process.send_signal(signal.SIGCONT)  # it does not know that it was silent
            assert service.ended(job)["result"]["classifiers"] == _LINES
            if fate == "paused":
                assert first.stop() == 0
                assert "job ended" not in first.said()
        assert sorted(names(service), key=int) == [str(at) for at in range(_LINES)]


def test_a_port_that_is_taken_and_a_store_that_is_none_are_said_so(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for given, expected in (
            ({"HANDFUL_MONITOR_PORT": port}, f"cannot listen on 127.0.0.1:{port}"),
            ({"HANDFUL_STORE_URL": "carrier-pigeon://loft"}, "carrier-pigeon"),
        ):
            ended = subprocess.run(
                [sys.executable, "-c", "from handful.cli import app; app()", "worker", "--data", tmp_path],
                env={**os.environ, **given},
                capture_output=True,
                text=True,
                timeout=60,
            )
            assert ended.returncode == 1
            assert expected in ended.stderr
