"""compose.yaml, started by scripts/up.sh."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from engine import Image, Podman, free_port, ready, until
from photos import photos

import handful
from handful.errors import ClientError

ROOT = Path(__file__).parents[3]
PROJECT = "handful-tested"


class Stack:
    """All containers of compose.yaml, under a name of their own."""

    def __init__(self, podman: Podman, image: Image, peers: dict[str, str]) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        # Programs of the environment first, and no Docker, which would be preferred.
        programs = os.pathsep.join([str(Path(sys.executable).parent), podman.environment["PATH"]])
        self._environment = podman.environment | peers | {
            "PATH": programs,
            "DOCKER_HOST": "unix:///nowhere",
            "COMPOSE_PROJECT_NAME": PROJECT,
            "HANDFUL_TAG": image.name.partition(":")[2],
            "HTTP_PORT": f"127.0.0.1:{port}",
            "HTTPS_PORT": f"127.0.0.1:{free_port()}",
            "REDIS_MAXMEMORY": "256mb",
            "REDIS_MEMORY": "512m",
            "REDIS_FSYNC": "always",
            "SERVICE_CPUS": "1",
        }  # fmt: skip

    @property
    def key(self) -> str:
        return (ROOT / "deploy" / "secrets" / "admin_key").read_text()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Up, until everything answers; down after the block. Volumes stay."""
        self._run("sh", str(ROOT / "scripts" / "up.sh"))
        try:
            until(lambda: ready(self.url))
            yield
        finally:
            self.down()

    def down(self, *options: str) -> None:
        self._run("podman-compose", "down", *options)

    def _run(self, *command: str) -> None:
        done = subprocess.run(
            command, cwd=ROOT, env=self._environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"


@pytest.fixture
def stack(podman: Podman, image: Image, peers: dict[str, str]) -> Iterator[Stack]:
    stack = Stack(podman, image, peers)
    yield stack
    stack.down("--volumes")


def test_all_of_it_teaches_answers_and_works_on_jobs_and_keeps_it_all(
    stack: Stack, podman: Podman, trashnet: Path
) -> None:
    with stack.running(), handful.Client(stack.url, api_key=stack.key) as client:
        made = client.create_classifier("waste")
        client.add_shots(made.id, *photos(trashnet, 0, 8))
        job = client.wait(client.evaluate(made.id))
        assert job.status == "succeeded", job.error
        asked, truth = photos(trashnet, 40, 50)
        right = [said.label for said in client.classify(made.id, asked).predictions]
        assert sum(said == label for said, label in zip(right, truth, strict=True)) > len(truth) / 2

        services = podman.run(
            "ps", "--filter", f"name={PROJECT}[-_]service", "--format", "{{.Names}}"
        ).split()
        assert len(services) == 2

        shown = podman.run("exec", services[1], "handful", "keys", "create", "camera", "--scope", "read")
        with handful.Client(stack.url, api_key=shown.split()[-1]) as camera:
            assert camera.classify(made.id, asked[:1]).version == client.classifier(made.id).head_version
            with pytest.raises(ClientError):
                camera.create_classifier("of its own")

        podman.run("kill", services[0])
        for _ in range(10):  # the proxy asks the other one
            assert [said.label for said in client.classify(made.id, asked[:1]).predictions] == right[:1]

    with stack.running(), handful.Client(stack.url, api_key=stack.key) as client:
        assert [said.label for said in client.classify(made.id, asked).predictions] == right
        assert client.job(job.id).status == "succeeded"
