"""Podman, as tests use it."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest

_PATIENCE = 120.0  # seconds until something that was started answers


@dataclass(frozen=True)
class Image:
    """A built image, and the lines that its build printed."""

    name: str
    said: list[str]


@dataclass(frozen=True)
class Podman:
    """The command, in an environment in which it can run containers."""

    environment: dict[str, str] = field(repr=False)

    def tried(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Run it, whatever comes of it."""
        command = ["podman", *map(str, arguments)]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)

    def run(self, *arguments: object) -> str:
        """Run it, and give what it prints."""
        done = self.tried(*arguments)
        assert done.returncode == 0, f"podman {arguments}: {done.stderr}"
        return done.stdout.strip()

    @contextmanager
    def container(self, name: str, *arguments: object) -> Iterator[str]:
        """A container in the background, gone with its volumes after the block."""
        self.run("run", "--detach", "--name", name, *arguments)
        try:
            yield name
        except BaseException:
            said = self.tried("logs", name)
            print(f"{name}: {said.stdout}{said.stderr}")  # noqa: T201 # pytest shows it beside the failure
            raise
        finally:
            self.run("rm", "--force", "--time", "5", "--volumes", name)


def usable_podman(image: Image, folder: Path) -> Podman:
    """Podman as it is, or told what some machines need: modest limits, another runtime, names of containers.

    Skips where no container runs at all.
    """
    plain = Podman(dict(os.environ))
    file = folder / "containers.conf"
    file.write_text(
        '[containers]\ndefault_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]\n'
        f'[engine]\nruntime = "{"runc" if shutil.which("runc") else "crun"}"\n'
        '[network]\nnetwork_backend = "netavark"\n'  # the other one gives containers no names
    )
    told = Podman(dict(os.environ, CONTAINERS_CONF=str(file)))
    reasons = []
    for podman in (plain, told):
        done = podman.tried("run", "--rm", "--entrypoint", "true", image.name)
        if done.returncode == 0:
            return podman
        reasons.append(done.stderr.strip())
    pytest.skip(f"no container runs here: {reasons[-1]}")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def until(what: Callable[[], bool]) -> None:
    """Wait until it is so."""
    end = time.monotonic() + _PATIENCE
    while not what():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.2)


def ready(url: str) -> bool:
    """Whether a service answers, and is ready."""
    try:
        return httpx2.get(f"{url}/readyz").is_success
    except httpx2.TransportError:
        return False
