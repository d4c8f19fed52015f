"""SIGKILL of a real server at random moments loses nothing that was acknowledged."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_ten_kills_of_the_server_lose_nothing_and_leave_nothing_half_written() -> None:
    """More of them in `make soak`, which keeps what it found in benchmarks/results/service_kill.json."""
    script = str(ROOT / "benchmarks" / "service_kill.py")
    done = subprocess.run(
        [sys.executable, script, "--rounds", "10", "--no-result"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "shots acknowledged" in done.stdout
