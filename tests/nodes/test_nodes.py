"""Several services over one Redis: what one has acknowledged, all know."""

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import httpx2
import pytest
from tests.nodes.processes import Node, Shared, serve

WIDTH = 512
LABELS = ("red", "green", "blue", "yellow", "grey")


def row(axis: int) -> list[float]:
    """Around an axis, never the same."""
    return [float(at == axis) + random.uniform(-0.01, 0.01) for at in range(WIDTH)]


def new(node: Node) -> str:
    answer = node.client.post("/v1/classifiers", json={"name": "x", "use_text": False, "method": "prototype"})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


class Model:
    """What a classifier holds by its acknowledged writes: the class of each shot, and each class's axis."""

    def __init__(self) -> None:
        self.shots: dict[str, str] = {}
        self.axes: dict[str, int] = {}
        self.free = iter(range(WIDTH))

    def change(self, node: Node, id: str, seed: random.Random) -> httpx2.Response:
        """One write, of those that are possible."""
        label = seed.choice(LABELS)
        what = seed.choice(["add", "add", "add", "delete", "drop", "rename", "put"])
        base = f"/v1/classifiers/{id}"
        if what == "delete" and self.shots:
            shot = seed.choice(list(self.shots))
            del self.shots[shot]
            return node.client.delete(f"{base}/shots/{shot}")
        if what == "drop" and label in self.axes:
            del self.axes[label]
            self.shots = {shot: own for shot, own in self.shots.items() if own != label}
            return node.client.delete(f"{base}/classes/{label}")
        if what == "rename" and label in self.axes:
            to = f"{label} {seed.random()}"
            self.axes = {to if name == label else name: axis for name, axis in self.axes.items()}
            self.shots = {shot: to if own == label else own for shot, own in self.shots.items()}
            return node.client.patch(f"{base}/classes/{label}", json={"name": to})
        if what == "put":
            axis = self.axes.setdefault(label, next(self.free))
            return node.client.put(f"{base}/classes/{label}", json={"description": f"axis {axis}"})
        axis = self.axes.setdefault(label, next(self.free))
        many = [{"label": label, "embedding": row(axis)} for _ in range(seed.choice([1, 2, 12]))]
        answer = node.client.post(f"{base}/shots", json=many)
        self.shots |= {shot["id"]: label for shot in answer.json()["shots"]}
        return answer

    def check(self, node: Node, id: str) -> None:
        """The node knows all of it, and answers by it."""
        told = node.client.get(f"/v1/classifiers/{id}").json()
        held = Counter(self.shots.values())
        assert {one["name"]: one["shots"] for one in told["classes"]} == {
            name: held[name] for name in self.axes
        }
        listed = node.client.get(f"/v1/classifiers/{id}/shots?limit=100").json()["items"]
        assert {shot["id"]: shot["label"] for shot in listed}.items() <= self.shots.items()
        assert len(listed) == min(100, len(self.shots))
        asked = {"embeddings": [row(self.axes[name]) for name in held]}
        answer = node.client.post(f"/v1/classifiers/{id}/classify", json=asked)
        if not held:
            return
        assert answer.status_code == 200, answer.text
        assert answer.json()["version"] == told["head_version"]
        assert [one["label"] for one in answer.json()["predictions"]] == list(held)


@pytest.mark.parametrize("number", range(3))
def test_whatever_one_node_acknowledged_all_know_at_once(nodes: list[Node], number: int) -> None:
    seed = random.Random(number)
    id, model = new(seed.choice(nodes)), Model()
    for _ in range(40):
        answer = model.change(seed.choice(nodes), id, seed)
        assert answer.status_code in (200, 201, 204), answer.text
        model.check(seed.choice(nodes), id)
    for node in nodes:
        model.check(node, id)
    assert seed.choice(nodes).client.delete(f"/v1/classifiers/{id}").status_code == 204
    assert {node.client.get(f"/v1/classifiers/{id}").status_code for node in nodes} == {404}


def test_all_nodes_answer_with_the_same_numbers_whichever_was_asked_first(nodes: list[Node]) -> None:
    id = new(nodes[0])
    shots = [{"label": label, "embedding": row(at)} for at, label in enumerate(LABELS) for _ in range(4)]
    assert nodes[0].client.post(f"/v1/classifiers/{id}/shots", json=shots).status_code == 201
    asked = {"embeddings": [row(at) for at in range(len(LABELS))]}
    with ThreadPoolExecutor() as threads:
        answers = list(
            threads.map(
                lambda node: node.client.post(f"/v1/classifiers/{id}/classify", json=asked).json(), nodes * 4
            )
        )
    assert all(answer == answers[0] for answer in answers)


def test_writers_at_every_node_lose_nothing_of_each_other(nodes: list[Node]) -> None:
    id = new(nodes[0])

    def write(number: int) -> list[str]:
        node = nodes[number % len(nodes)]
        made = []
        for _ in range(10):
            many = [{"label": LABELS[number % 5], "embedding": row(number)}]
            answer = node.client.post(f"/v1/classifiers/{id}/shots", json=many)
            assert answer.status_code == 201, answer.text
            made.append(answer.json()["shots"][0]["id"])
        return made

    with ThreadPoolExecutor(6) as threads:
        made = [shot for some in threads.map(write, range(6)) for shot in some]
    told = nodes[1].client.get(f"/v1/classifiers/{id}").json()
    listed = nodes[2].client.get(f"/v1/classifiers/{id}/shots?limit=100").json()["items"]
    assert told["shots"] == len(made)
    assert {shot["id"] for shot in listed} == set(made)


def test_a_request_that_is_sent_to_several_nodes_at_once_is_done_once(nodes: list[Node]) -> None:
    for turn in range(5):
        head = {"Idempotency-Key": f"turn {turn}"}
        with ThreadPoolExecutor() as threads:
            answers = list(
                threads.map(
                    lambda node, head=head: node.client.post(  # type: ignore[misc]
                        "/v1/classifiers", json={"name": "once"}, headers=head
                    ),
                    nodes * 2,
                )
            )
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.json()["id"] for answer in answers}) == 1
        again = nodes[turn % 3].client.post("/v1/classifiers", json={"name": "once"}, headers=head)
        assert again.headers["Idempotency-Replayed"] == "true"
        other = nodes[turn % 3].client.post("/v1/classifiers", json={"name": "other"}, headers=head)
        assert other.status_code == 422
    page = nodes[0].client.get("/v1/classifiers?limit=100").json()["items"]
    assert sum(one["name"] == "once" for one in page) == 5


def test_what_a_killed_node_had_acknowledged_is_there(
    nodes: list[Node], shared: Shared, tmp_path: Path
) -> None:
    id, enough = new(nodes[0]), Event()
    acknowledged: list[str] = []

    def write(node: Node, number: int) -> None:
        while True:
            many = [
                {"label": LABELS[number % 5], "embedding": row(number)} for _ in range(1 + number % 2 * 9)
            ]
            try:
                answer = node.client.post(f"/v1/classifiers/{id}/shots", json=many)
            except httpx2.TransportError:
                return
            assert answer.status_code == 201, answer.text
            acknowledged.extend(shot["id"] for shot in answer.json()["shots"])
            if len(acknowledged) > 100:
                enough.set()

    with serve(tmp_path, **shared()) as doomed, ThreadPoolExecutor(4) as threads:
        doomed.ready()
        writers = [threads.submit(write, doomed, number) for number in range(4)]
        assert enough.wait(60)
        doomed.kill()
        for writer in writers:
            writer.result()
    there: set[str] = set()
    cursor: str | None = ""
    while cursor is not None:
        page = nodes[1].client.get(f"/v1/classifiers/{id}/shots?limit=100{cursor}").json()
        there |= {shot["id"] for shot in page["items"]}
        cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
    told = nodes[2].client.get(f"/v1/classifiers/{id}").json()
    assert set(acknowledged) <= there
    assert told["shots"] == len(there) == sum(one["shots"] for one in told["classes"])
    asked = {"embeddings": [row(number) for number in range(4)]}
    said = nodes[0].client.post(f"/v1/classifiers/{id}/classify", json=asked).json()
    assert [one["label"] for one in said["predictions"]] == list(LABELS[:4])


def test_a_limit_of_requests_holds_over_all_nodes(
    shared: Shared, tmp_path_factory: pytest.TempPathFactory
) -> None:
    limited = shared(tenant_requests_per_second=0.02)  # one in 50 s
    with (
        serve(tmp_path_factory.mktemp("limited"), **limited) as one,
        serve(tmp_path_factory.mktemp("limited"), **limited) as other,
    ):
        one.ready()
        other.ready()
        assert one.client.get("/v1/classifiers").status_code == 200
        refused = one.client.get("/v1/classifiers")
        assert (refused.status_code, refused.headers["Content-Type"]) == (429, "application/problem+json")
        # The other may take one before it hears of the first.
        answers = [other.client.get("/v1/classifiers").status_code for _ in range(2)]
        assert answers in ([200, 429], [429, 429])
