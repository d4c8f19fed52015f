"""handful backup beside a server that is being written to: what is restored is one moment of it, whole."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from typer.testing import Result

import handful
from handful.client import Classifier, Shot

Kept = tuple[Classifier, dict[str, Shot], dict[str, bytes]]  # with shots, and their pictures, by id


def kept(client: handful.Client, id: str) -> Kept:
    shots = {shot.id: shot for shot in client.shots(id)}
    return client.classifier(id), shots, {name: client.shot_image(id, name) for name in shots}


@dataclass
class Writer:
    """Teaches and deletes, one picture at a time, and notes what there was after each write.

    states : by support_version.    enough : is set after the third write.
    """

    client: handful.Client
    id: str
    pictures: list[Path]
    labels: list[str]
    states: dict[int, dict[str, Shot]] = field(default_factory=dict)
    images: dict[str, bytes] = field(default_factory=dict)
    enough: threading.Event = field(default_factory=threading.Event)
    stopped: threading.Event = field(default_factory=threading.Event)
    failures: list[Exception] = field(default_factory=list)

    def run(self) -> None:
        try:
            self._note()
            while not self.stopped.is_set():
                at = len(self.images) % len(self.pictures)
                (shot,) = self.client.add_shots(self.id, [self.pictures[at]], self.labels[at])
                self.images[shot.id] = self.client.shot_image(self.id, shot.id)
                self._note()
                if len(self.images) % 3 == 0:
                    self.client.delete_shot(self.id, next(iter(self.client.shots(self.id))).id)
                    self._note()
                if len(self.states) > 3:
                    self.enough.set()
        except Exception as exc:
            self.failures.append(exc)
            self.enough.set()

    def _note(self) -> None:
        version = self.client.classifier(self.id).support_version
        self.states[version] = {shot.id: shot for shot in self.client.shots(self.id)}


@contextmanager
def writing(writer: Writer) -> Iterator[None]:
    thread = threading.Thread(target=writer.run)
    thread.start()
    try:
        assert writer.enough.wait(60)
        yield
    finally:
        writer.stopped.set()
        thread.join()


def test_a_backup_beside_a_server_that_takes_shots_is_one_moment_of_it(
    run: Callable[..., Result],
    serving: Callable[..., AbstractContextManager[str]],
    tmp_path: Path,
    trashnet_shots: Callable[..., tuple[list[Path], list[str]]],
) -> None:
    first, second, folder = tmp_path / "first", tmp_path / "second", tmp_path / "backup"
    first.mkdir()
    second.mkdir()
    pictures, labels = trashnet_shots(4, classes=["glass", "metal"])
    with serving(data=first) as url, handful.Client(url) as client:
        still = [client.create_classifier(name).id for name in ("waste", "empty")]
        client.add_shots(still[0], pictures, labels)
        before = {id: kept(client, id) for id in still}
        writer = Writer(client, client.create_classifier("busy").id, pictures, labels)
        with writing(writer):
            earliest = max(writer.states)
            taken = run("backup", folder, "--json", "--data", first)
            latest = max(writer.states) + 2  # a write may be there, and not be noted yet
            assert taken.exit_code == 0, taken.stderr
        assert writer.failures == []
        client.delete_classifier(still[0])
    restored = run("restore", folder, "--json", "--data", second)
    assert restored.exit_code == 0, restored.stderr
    assert json.loads(restored.stdout) == json.loads(taken.stdout)
    with serving(data=second) as url, handful.Client(url) as client:
        assert {one.id for one in client.classifiers()} == {*still, writer.id}
        assert {id: kept(client, id) for id in still} == before
        now, shots, images = kept(client, writer.id)
        assert earliest <= now.support_version <= latest
        assert shots == writer.states[now.support_version]
        assert now.shots == len(shots)
        assert images == {name: writer.images[name] for name in shots}
        assert client.classify(writer.id, pictures[:1]).version == now.head_version
        assert client.add_shots(writer.id, pictures[:1], "glass")  # and it goes on
        held = json.loads(taken.stdout)
        assert (held["classifiers"], held["shots"]) == (3, len(pictures) + len(shots))
