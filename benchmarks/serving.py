"""Servers of one's own: on a free port, watched, and ended by whoever started them."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic, perf_counter, sleep
from types import TracebackType

import httpx2
import psutil

_PATIENCE = 120.0  # seconds until a server that is not ready is given up
_GRACE = 40.0  # seconds that a server has to stop in


class Server:
    """Any server that answers /readyz; it runs as its own process group, so that all of it can be killed.

    command : gets `--port N` appended.    log : what it says goes there.    settings : its environment's.
    """

    def __init__(self, command: Sequence[str], log: Path, settings: Mapping[str, str]) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = log
        self._command = [*command, "--port", str(self.port)]
        self._environment = {**os.environ, **settings}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Start it and wait until it is ready. Returns the seconds that took."""
        begun = perf_counter()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until = monotonic() + _PATIENCE
        while monotonic() < until:
            if self._process.poll() is not None:
                raise SystemExit(f"the server ended with {self._process.returncode}:\n{self.said()}")
            if ready(self.url):
                return perf_counter() - begun
            sleep(0.01)
        raise SystemExit(f"the server was not ready after {_PATIENCE:.0f} s:\n{self.said()}")

    def kill(self) -> None:
        """SIGKILL to all of its processes."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):  # it ended by itself
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """Ask it to stop, and kill it if it does not."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise SystemExit(f"the server did not stop within {_GRACE:.0f} s:\n{self.said()}") from None
        self._process = None

    def resident(self) -> int:
        """Bytes of memory of all its processes; what they share counts once."""
        if self._process is None:
            return 0
        first = psutil.Process(self._process.pid)
        return sum(_own_memory(one) for one in [first, *first.children(recursive=True)])

    def said(self) -> str:
        """The end of its log."""
        return self.log.read_text("utf-8", errors="replace")[-4000:]

    def __enter__(self) -> "Server":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill() if kind else self.stop()


def handful_server(folder: Path, *, workers: int = 1, settings: Mapping[str, str] | None = None) -> Server:
    """`handful serve` on a folder of data; its log is beside it.    settings : further HANDFUL_… by name."""
    command = [*for_life(), str(Path(sys.executable).with_name("handful")), "serve"]
    return Server(
        [*command, "--data", str(folder), "--workers", str(workers)],
        folder.with_name(f"{folder.name}.log"),
        {"HANDFUL_LOG_LEVEL": "warning", "HANDFUL_LOG_FORMAT": "json", **(settings or {})},
    )


def for_life() -> list[str]:
    """What goes before a command that is to end when this process does, however that ends; on Linux."""
    program = shutil.which("setpriv")
    return [program, "--pdeathsig", "TERM"] if program else []


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ready(url: str) -> bool:
    """Whether a server answers, and its encoder is warm."""
    try:
        return httpx2.get(f"{url}/readyz", timeout=5).status_code == httpx2.codes.OK
    except httpx2.TransportError:
        return False


def photos(count: int, *, folder: Path | None = None) -> list[Path]:
    """Photos of the TrashNet sample, taken evenly from its classes."""
    folder = folder or Path(__file__).parents[1] / "examples" / "data" / "trashnet"
    found = sorted(folder.rglob("*.jpg"))
    if len(found) < count:
        raise SystemExit(f"{folder} holds {len(found)} photos of the {count} needed")
    return [found[at * len(found) // count] for at in range(count)]


def _own_memory(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except AttributeError:  # not on Linux
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0
