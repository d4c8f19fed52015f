"""SIGKILL to processes that write to one store, at random moments, and what is left of it.

    python -m tests.storage.crash.killing --rounds 200

Each round two processes write to the store that the rounds before have left, until both are killed; then
every acknowledged write has to be there, and nothing may be half-written. Exits 1 where that is not so, and
keeps the folder.
"""

import argparse
import asyncio
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.storage.crash.checking import check
from tests.storage.crash.working import prepare, work

from handful.storage.blobs import Blobs
from handful.storage.open import open_store

_ROOT = Path(__file__).parents[3]
_PROCESSES = 2
_LONGEST = 0.4  # seconds until a process is killed, from its first acknowledged write on
_OF_ONE_STORE = 10  # rounds
_PATIENCE = 60.0  # seconds for that first write


def kill_rounds(folder: Path, rounds: int, seed: int) -> int:
    """Writes that were acknowledged. Raises AssertionError for anything lost or half-written."""
    rng = random.Random(seed)
    acknowledged = 0
    for first in range(0, rounds, _OF_ONE_STORE):  # anew now and then: all that was ever written is checked
        inside = folder / f"from-{first}"
        inside.mkdir()
        acknowledged += _kill(inside, min(_OF_ONE_STORE, rounds - first), rng, f"seed {seed}")
    return acknowledged


def _kill(folder: Path, rounds: int, rng: random.Random, seed: str) -> int:
    file, blobs = folder / "store.sqlite", Blobs(str(folder / "blobs"))

    async def start() -> str:
        store = open_store(f"sqlite:///{file}")
        made = await prepare(store)
        await store.close()
        return made

    id = asyncio.run(start())
    logs: list[Path] = []
    acknowledged = 0
    for number in range(rounds):
        fresh = [folder / f"said-{number}-{one}.txt" for one in range(_PROCESSES)]
        logs += fresh
        _one_round(folder, id, fresh, rng)
        said = [line for log in logs for line in log.read_text().splitlines()]
        try:
            acknowledged = asyncio.run(check(file, blobs, id, said))
        except AssertionError as exc:
            raise AssertionError(f"round {number}, {seed}, in {folder}: {exc}") from exc
    return acknowledged


def _one_round(folder: Path, id: str, logs: list[Path], rng: random.Random) -> None:
    started = []
    for log in logs:
        with log.open("wb") as out:
            command = [
                sys.executable,
                "-m",
                __spec__.name,
                "--victim",
                str(folder),
                id,
                str(rng.getrandbits(32)),
            ]
            started.append((subprocess.Popen(command, stdout=out, cwd=_ROOT), log))
    try:
        for process, log in started:
            give_up = time.monotonic() + _PATIENCE
            while b"done" not in log.read_bytes():
                assert process.poll() is None, f"a writing process failed by itself ({process.returncode})"
                assert time.monotonic() < give_up, "a writing process wrote nothing"
                time.sleep(0.005)
        for process, _ in started:
            time.sleep(rng.random() * _LONGEST / _PROCESSES)
            process.kill()
    finally:
        for process, _ in started:
            process.kill()
            process.wait()


async def _victim(folder: Path, id: str, seed: int) -> None:
    store = open_store(f"sqlite:///{folder / 'store.sqlite'}")
    # One system call for a line, so that what was said is there whatever happens next.
    await work(store, Blobs(str(folder / "blobs")), id, seed, lambda text: _say(f"{text}\n"))


def _say(text: str) -> None:
    os.write(1, text.encode())


def main() -> int:
    """Exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=None, help="of the moments; unset: another each time")
    parser.add_argument("--victim", nargs=3, help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.victim is not None:
        folder, id, seed = told.victim
        asyncio.run(_victim(Path(folder), id, int(seed)))
        return 0
    seed = random.SystemRandom().getrandbits(32) if told.seed is None else told.seed
    folder = Path(tempfile.mkdtemp(prefix="handful-kill-"))
    started = time.monotonic()
    try:
        acknowledged = kill_rounds(folder, told.rounds, seed)
    except AssertionError as exc:
        _say(f"FAILED: {exc}\n")
        return 1
    shutil.rmtree(folder)
    _say(
        f"{told.rounds} rounds of SIGKILL, seed {seed}: {acknowledged:,} acknowledged writes, none lost, "
        f"nothing half-written ({time.monotonic() - started:.0f} s)\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
