"""Needs Podman, podman-compose and Caddy; `make test-image` brings them and runs these tests."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

_HERE = Path(__file__).parent
ROOT = _HERE.parents[2]
sys.path[:0] = [str(_HERE), str(ROOT / "scripts")]

from engine import Image, Podman, usable_podman  # noqa: E402 # where the path above leads

TAG = "handful:tested"


@pytest.fixture(scope="session")
def image() -> Image:
    """The image, as `make image` builds it, and what it said."""
    command = [sys.executable, str(ROOT / "scripts" / "image.py"), "--engine", "podman", "--tag", TAG]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return Image(TAG, done.stdout.splitlines())


@pytest.fixture(scope="session")
def podman(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Podman:
    """Podman, configured as this machine needs it to run containers."""
    return usable_podman(image, tmp_path_factory.mktemp("podman"))


@pytest.fixture(scope="session")
def peers(podman: Podman, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Images of Redis and of the proxy, by the variables of compose.yaml that name them."""
    from peers import peer_images

    return peer_images(podman, tmp_path_factory.mktemp("peers"))


@pytest.fixture
def network(podman: Podman) -> Iterator[str]:
    """A network of a test's own."""
    podman.run("network", "create", "handful-tested")
    yield "handful-tested"
    podman.run("network", "rm", "--force", "handful-tested")
