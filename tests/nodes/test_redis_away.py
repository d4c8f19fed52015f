"""Redis goes away and comes back: answers say so meanwhile, and nobody has to do anything afterwards."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from tests.nodes.processes import Node, serve, waited_for, worker
from tests.redis_servers import Server, redis_server

_LINES = 6000


@pytest.fixture
def server() -> Iterator[Server]:
    with redis_server("8", appendonly="yes", appendfsync="always") as running:
        yield running


@pytest.fixture
def node(server: Server, tmp_path: Path) -> Iterator[Node]:
    with serve(tmp_path, store_url=server.url, job_threads=0) as running:
        running.ready()
        yield running


def is_away(answer: httpx2.Response) -> bool:
    """It says so, as problems are said."""
    assert answer.status_code == 503, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert int(answer.headers["Retry-After"]) >= 1
    assert "Redis" in answer.json()["detail"]
    return True


def test_answers_are_503_while_redis_is_away_and_all_is_there_afterwards(server: Server, node: Node) -> None:
    id = node.client.post("/v1/classifiers", json={"name": "x"}).json()["id"]
    shots = [{"label": str(at), "embedding": [float(at == axis) for axis in range(512)]} for at in range(4)]
    assert node.client.post(f"/v1/classifiers/{id}/shots", json=shots).status_code == 201
    asked = {"embeddings": [shot["embedding"] for shot in shots]}
    before = node.client.post(f"/v1/classifiers/{id}/classify", json=asked).json()
    server.kill()
    assert is_away(node.client.post(f"/v1/classifiers/{id}/classify", json=asked))
    assert is_away(node.client.post("/v1/classifiers", json={"name": "lost"}))
    assert node.client.get("/livez").status_code == 200
    waited_for(lambda: node.client.get("/readyz").status_code == 503)
    assert is_away(node.client.get("/readyz"))
    server.start()
    waited_for(lambda: node.client.get("/readyz").status_code == 200)
    assert node.client.post(f"/v1/classifiers/{id}/classify", json=asked).json() == before
    assert node.client.post("/v1/classifiers", json={"name": "y"}).status_code == 201
    names = [one["name"] for one in node.client.get("/v1/classifiers").json()["items"]]
    assert names == ["x", "y"]


def test_a_job_goes_on_where_it_was_when_redis_comes_back(server: Server, node: Node, tmp_path: Path) -> None:
    lines = "".join(json.dumps({"name": str(at)}) + "\n" for at in range(_LINES))
    head = {"Content-Type": "application/x-ndjson"}
    job = node.client.post("/v1/import", content=lines, headers=head).json()["id"]
    with worker(tmp_path, store_url=server.url, job_lease_seconds=3) as working:
        waited_for(lambda: node.client.get(f"/v1/jobs/{job}").json()["progress"] > 0)
        server.kill()
        waited_for(
            lambda: "a heartbeat failed" in working.said() or "waits for its storage" in working.said()
        )
        server.start()
        waited_for(lambda: node.client.get("/readyz").status_code == 200)
        assert node.ended(job)["result"]["classifiers"] == _LINES
    assert int(server.command("ZCARD", "hf:{default}:ids")) == _LINES


def test_a_service_and_a_worker_start_while_redis_is_away_and_are_ready_once_it_is_there(
    server: Server, tmp_path: Path
) -> None:
    server.kill()
    told = {"store_url": server.url}
    with serve(tmp_path, **told) as node, worker(tmp_path, **told) as working:
        assert "The store is away" in node.said()
        assert node.client.get("/livez").status_code == 200
        assert is_away(node.client.get("/v1/classifiers"))
        for one in (node, working):
            waited_for(lambda one=one: "Redis" in one.client.get("/readyz").text)  # type: ignore[misc]
        server.start()
        for one in (node, working):
            one.ready()
        assert node.client.post("/v1/classifiers", json={"name": "x"}).status_code == 201


def test_a_redis_that_would_lose_classifiers_is_refused_at_the_start(tmp_path: Path) -> None:
    with redis_server("8", maxmemory_policy="allkeys-lru") as server:
        for command in (serve, worker):
            with (
                pytest.raises(AssertionError, match="eviction policy allkeys-lru"),
                command(tmp_path, store_url=server.url),
            ):
                pass
