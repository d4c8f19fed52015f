"""What was acknowledged survives a killed process and a lost power, and nothing is half-written."""

import asyncio
import ctypes.util
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from tests.storage.crash.checking import check
from tests.storage.crash.killing import kill_rounds

from handful.storage.blobs import Blobs

_ROOT = Path(__file__).parents[3]


def test_what_was_acknowledged_survives_sigkill_at_random_moments(tmp_path: Path) -> None:
    assert kill_rounds(tmp_path, rounds=10, seed=4) > 100


@pytest.mark.skipif(ctypes.util.find_library("sqlite3") is None, reason="no SQLite library of the system")
@pytest.mark.parametrize("writes", [1, 7, 40, 90, 200, 350])
def test_what_was_acknowledged_survives_a_lost_power(tmp_path: Path, writes: int) -> None:
    image, said = powerless(tmp_path, writes)
    id, *lines = said
    blobs = Blobs(str(image / "blobs"))
    assert asyncio.run(check(image / "store.sqlite", blobs, id, lines)) == writes


@pytest.mark.skipif(ctypes.util.find_library("sqlite3") is None, reason="no SQLite library of the system")
@pytest.mark.parametrize(
    "harm", ["DELETE FROM shots WHERE id = ?", "UPDATE shots SET record = json_set(record, '$.blob', 'x/y')"]
)
def test_a_loss_would_be_found(tmp_path: Path, harm: str) -> None:
    image, (id, *lines) = powerless(tmp_path, 20)
    disk = sqlite3.connect(image / "store.sqlite", isolation_level=None)
    (last,) = disk.execute("SELECT id FROM shots ORDER BY id DESC LIMIT 1").fetchone()
    disk.execute(harm, (last,) * harm.count("?"))
    disk.close()
    with pytest.raises(AssertionError, match=r"lost|half-written"):
        asyncio.run(check(image / "store.sqlite", Blobs(str(image / "blobs")), id, lines))


def powerless(tmp_path: Path, writes: int) -> tuple[Path, list[str]]:
    """A disk after the power went, and what was said until then."""
    image = tmp_path / "image"
    command = [sys.executable, "-m", "tests.storage.crash.power"]
    ran = subprocess.run(
        [*command, str(tmp_path / "data"), str(image), str(writes), str(writes)],
        capture_output=True,
        text=True,
        cwd=_ROOT,
        timeout=120,
    )
    if "is not the system's" in ran.stderr:
        pytest.skip(ran.stderr.strip())
    assert ran.returncode == 0, ran.stderr
    return image, ran.stdout.splitlines()
