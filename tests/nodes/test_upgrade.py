"""A rolling upgrade: nodes over one store are replaced by newer ones, one after the other, under writes."""

import base64
import signal
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import httpx2
import numpy as np
import pytest
from tests.nodes.processes import PATIENCE, Node, serve, waited_for
from tests.redis_servers import Server

ROOT = Path(__file__).parents[2]
_NEWER = f"""
import sys
sys.path.append({str(ROOT)!r})
from tests.storage.newer_build import become_newer
become_newer()
"""


@dataclass
class Writer:
    """Teaches shots, one by one, at whichever node answers, as behind a proxy; notes what was acknowledged.

    urls : of the nodes that take requests now.    refused : answers that no client should see.
    """

    urls: list[str]
    id: str
    taught: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        rng = np.random.default_rng(0)
        while not self.stopped.is_set():
            row = rng.standard_normal(512).astype("<f4")
            body = {"label": f"c{len(self.taught) % 3}", "embedding": base64.b64encode(row).decode()}
            self.taught.append(self._acknowledged(body, str(uuid4())))

    def _acknowledged(self, shot: dict[str, str], key: str) -> str:
        give_up = time.monotonic() + PATIENCE
        turn = len(self.taught)
        while True:
            url = self.urls[turn % len(self.urls)]
            turn += 1
            try:
                answer = httpx2.post(
                    f"{url}/v1/classifiers/{self.id}/shots",
                    json={"shots": [shot]},
                    headers={"Idempotency-Key": key},
                    timeout=PATIENCE,
                )
            except httpx2.TransportError:  # a node that stops; the next takes it, under the same key
                assert time.monotonic() < give_up
                continue
            if answer.status_code == 201:
                return str(answer.json()["shots"][0]["id"])
            if answer.status_code != 503:
                self.refused.append(answer.text)
            assert time.monotonic() < give_up, answer.text
            time.sleep(0.01)


def shots_of(node: Node, id: str) -> list[str]:
    found, cursor = [], None
    while True:
        query = {"limit": 100, **({} if cursor is None else {"cursor": cursor})}
        page = node.client.get(f"/v1/classifiers/{id}/shots", params=query).json()
        found += [one["id"] for one in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


@pytest.fixture(params=["sqlite", "redis"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, object]:
    """Of every node."""
    shared = {"data_dir": tmp_path / "data", "blobs_url": tmp_path / "data" / "blobs"}
    if request.param == "sqlite":
        return shared
    server: Server = request.getfixturevalue("redis_8")
    server.command("FLUSHALL")
    return {**shared, "store_url": server.url}


@pytest.fixture
def newer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Whether nodes that start from now on are of a newer build."""
    folder = tmp_path / "newer"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(_NEWER)

    def build(is_newer: bool) -> None:
        if is_newer:
            monkeypatch.setenv("PYTHONPATH", str(folder))
        else:
            monkeypatch.delenv("PYTHONPATH", raising=False)

    return build


def test_nodes_are_replaced_one_after_the_other_and_nothing_is_lost_or_refused(
    tmp_path: Path, settings: dict[str, object], newer: Callable[[bool], None]
) -> None:
    with ExitStack() as stack:

        def started() -> Node:
            node = stack.enter_context(serve(tmp_path, **settings))
            node.ready()
            return node

        newer(False)
        nodes = [started(), started()]
        made = nodes[0].client.post("/v1/classifiers", json={"name": "waste"})
        writer = Writer([node.url for node in nodes], made.json()["id"])
        thread = threading.Thread(target=writer.run)
        thread.start()
        try:
            newer(True)
            for place in (0, 1):
                count = len(writer.taught)
                waited_for(lambda count=count: len(writer.taught) > count + 5)  # type: ignore[misc]
                fresh = started()
                writer.urls = [*writer.urls, fresh.url]
                assert nodes[place].stop() in (0, -signal.SIGTERM), nodes[place].said()
                writer.urls = [url for url in writer.urls if url != nodes[place].url]
                nodes[place] = fresh
            count = len(writer.taught)
            waited_for(lambda: len(writer.taught) > count + 5)
        finally:
            writer.stopped.set()
            thread.join()
        assert writer.refused == []
        for node in nodes:
            assert shots_of(node, writer.id) == sorted(writer.taught)
            row = base64.b64encode(np.ones(512, "<f4")).decode()
            answer = node.client.post(f"/v1/classifiers/{writer.id}/classify", json={"embeddings": [row]})
            assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("settings", ["redis"], indirect=True)
def test_a_node_of_the_older_build_can_take_over_again(
    tmp_path: Path, settings: dict[str, object], newer: Callable[[bool], None]
) -> None:
    newer(True)
    with serve(tmp_path, **settings) as node:
        node.ready()
        id = node.client.post("/v1/classifiers", json={"name": "waste"}).json()["id"]
        row = base64.b64encode(np.ones(512, "<f4")).decode()
        body = {"shots": [{"label": "a", "embedding": row}]}
        first = node.client.post(f"/v1/classifiers/{id}/shots", json=body)
        assert first.status_code == 201, first.text
    newer(False)
    with serve(tmp_path, **settings) as node:
        node.ready()
        second = node.client.post(f"/v1/classifiers/{id}/shots", json=body)
        assert second.status_code == 201, second.text
        assert shots_of(node, id) == [one.json()["shots"][0]["id"] for one in (first, second)]


@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
def test_an_older_build_is_refused_by_name_once_a_newer_one_changed_the_schema(
    tmp_path: Path, settings: dict[str, object], newer: Callable[[bool], None]
) -> None:
    newer(True)
    with serve(tmp_path, **settings) as node:
        node.ready()
    newer(False)
    with pytest.raises(AssertionError, match="newer than") as refused, serve(tmp_path, **settings):
        pass
    assert "upgrade Handful" in str(refused.value)
