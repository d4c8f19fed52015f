"""A service of one's own for as long as a block lasts."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import sleep

import httpx2

_ADDRESS = re.compile(r"serves on (\S+)")


@contextmanager
def own_server(folder: Path) -> Iterator[str]:
    """`handful serve` on a free port and a folder of data. Gives its address, once it is ready.

    Settings of other services, HANDFUL_STORE_URL for one, are none of its own.
    """
    command = [str(Path(sys.executable).with_name("handful")), "serve", "--port", "0", "--data", str(folder)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HANDFUL_")}
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, env=environment, stderr=said, stdin=subprocess.DEVNULL)
        try:
            while not ready(address := found(said.fileno())):
                if process.poll() is not None:
                    raise SystemExit(f"handful serve ended with {process.returncode}:\n{text(said.fileno())}")
                sleep(0.02)
            yield address
        finally:
            process.terminate()
            process.wait()


def ready(address: str) -> bool:
    """Whether it answers, and its encoder is warm."""
    try:
        return bool(address) and httpx2.get(f"{address}/readyz").is_success
    except httpx2.TransportError:
        return False


def found(file: int) -> str:
    """The address that it has printed, or nothing yet."""
    address = _ADDRESS.search(text(file))
    return address.group(1) if address else ""


def text(file: int) -> str:
    """All that it has said; reading moves nothing that it writes by."""
    return os.pread(file, 65536, 0).decode(errors="replace")
