"""Real processes: `handful serve` and `handful worker`, over one store and one place for blobs."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

Shared = Callable[..., dict[str, object]]  # settings of every process; further ones by name
PATIENCE = 60.0  # seconds
_COMMAND = [sys.executable, "-c", "from handful.cli import app; app()"]
_SERVES = re.compile(r"serves on (https?://\S+)")
_WORKS = re.compile(r"Probes and counts: (http://[^/]+)/")


@dataclass
class Node:
    """A process.    url : of its service, or of a worker's probes.    client : asks it."""

    process: "subprocess.Popen[bytes]"
    log: Path
    url: str
    client: httpx2.Client

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    def ready(self) -> None:
        """Return once it is."""
        waited_for(lambda: self.process.poll() is not None or self._asked("/readyz") == 200, self.said)
        assert self.process.poll() is None, self.said()

    def said(self) -> str:
        """Its log."""
        return self.log.read_text()

    def ended(self, job: str) -> dict[str, Any]:
        """The job in its final state."""
        states: list[dict[str, Any]] = []

        def over() -> bool:
            states.append(self.client.get(f"/v1/jobs/{job}").json())
            return states[-1]["status"] in ("succeeded", "failed", "cancelled")

        waited_for(over, lambda: str(states[-1]))
        return states[-1]

    def _asked(self, path: str) -> int:
        try:
            return self.client.get(path).status_code
        except httpx2.TransportError:
            return 0


def waited_for(condition: Callable[[], bool], told: Callable[[], str] = lambda: "in vain") -> None:
    """Return once it holds.    told : what else to say where it never does."""
    give_up = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < give_up, told()
        time.sleep(0.01)


@contextmanager
def serve(folder: Path, **settings: object) -> Iterator[Node]:
    """A service that listens; not yet ready.    folder : of its log and data, unless settings say."""
    with _running("serve", folder, _SERVES, **{"port": 0, **settings}) as node:
        yield node


@contextmanager
def worker(folder: Path, **settings: object) -> Iterator[Node]:
    """A worker that takes jobs, with probes."""
    with _running("worker", folder, _WORKS, **{"monitor_port": 0, **settings}) as node:
        yield node


@contextmanager
def _running(command: str, folder: Path, listens: re.Pattern[str], **settings: object) -> Iterator[Node]:
    told = {f"HANDFUL_{name.upper()}": str(value) for name, value in {"data_dir": folder, **settings}.items()}
    number = len(list(folder.glob("*.log")))
    log = folder / f"{command}-{number}.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*_COMMAND, command],
            env={**os.environ, "HANDFUL_ENCODER_THREADS": "1", **told},
            stdout=file,
            stderr=file,
        )
    try:
        waited_for(
            lambda: process.poll() is not None or listens.search(log.read_text()) is not None, log.read_text
        )
        found = listens.search(log.read_text())
        assert found is not None, log.read_text()
        with httpx2.Client(base_url=found[1], timeout=PATIENCE) as client:
            yield Node(process, log, found[1], client)
    finally:
        process.kill()
        process.wait()
