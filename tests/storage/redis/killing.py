"""SIGKILL to Redis, at random moments, while a store writes to it, and what is left.

    python -m tests.storage.redis.killing --rounds 100 --fsync always --version 8

Each round starts Redis on the files that the rounds before have left, writes, folds and sweeps, and kills it.
With appendfsync always every acknowledged write has to be there afterwards; with everysec every one that was
acknowledged `LOST_SECONDS` before; nothing may be half-written. Exits 1 where that is not so.
"""

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.redis_servers import Server, redis_server, waited_for
from tests.storage.crash.checking import check_store
from tests.storage.crash.working import prepare
from tests.storage.redis.writing import Diary, writing

from handful.storage.blobs import Blobs
from handful.storage.open import open_store

LOST_SECONDS = {"always": 0.0, "everysec": 2.0}  # before the end, of acknowledged writes that may be lost
_LONGEST = 0.6  # seconds of writing


def kill_rounds(folder: Path, rounds: int, seed: int, *, fsync: str, version: str) -> int:
    """Writes that were acknowledged. Raises AssertionError for anything lost or half-written."""
    blobs = Blobs(str(folder / "blobs"))
    rng = random.Random(seed)
    diary = Diary()
    with redis_server(version, appendonly="yes", appendfsync=fsync) as server:
        id = asyncio.run(_prepare(server, blobs))
        for number in range(rounds):
            seconds = LOST_SECONDS[fsync] + rng.random() * _LONGEST
            asyncio.run(_write_and_kill(server, blobs, id, rng.getrandbits(32), diary, seconds))
            diary.forget(since=time.monotonic() - LOST_SECONDS[fsync])
            server.start()
            try:
                asyncio.run(check_server(server, blobs, id, diary.lines()))
            except AssertionError as exc:
                raise AssertionError(f"round {number}, seed {seed}, appendfsync {fsync}: {exc}") from exc
    return len(diary.marks())


async def _prepare(server: Server, blobs: Blobs) -> str:
    store = open_store(server.url, blobs)
    id = await prepare(store)
    await store.close()
    waited_for(lambda: server.info("aof_pending_bio_fsync") == 0)
    return id


async def _write_and_kill(
    server: Server, blobs: Blobs, id: str, seed: int, diary: Diary, seconds: float
) -> None:
    store = open_store(server.url, blobs)
    before = len(diary.marks())
    async with writing(store, blobs, id, seed, diary):
        while len(diary.marks()) == before:
            await asyncio.sleep(0.01)
        await asyncio.sleep(seconds)
        server.kill()
        await asyncio.sleep(0.05)  # what was answered is still read
    await store.close()


async def check_server(server: Server, blobs: Blobs, id: str, said: list[str]) -> int:
    store = open_store(server.url, blobs)
    try:
        return await check_store(store, blobs, id, said)
    finally:
        await store.close()


def main() -> int:
    """Exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=None, help="of the moments; unset: another each time")
    parser.add_argument("--fsync", choices=sorted(LOST_SECONDS), default="always")
    parser.add_argument("--version", choices=["7", "8"], default="8", help="of Redis")
    told = parser.parse_args()
    seed = random.SystemRandom().getrandbits(32) if told.seed is None else told.seed
    folder = Path(tempfile.mkdtemp(prefix="handful-kill-"))
    started = time.monotonic()
    try:
        kept = kill_rounds(folder, told.rounds, seed, fsync=told.fsync, version=told.version)
    except AssertionError as exc:
        sys.stdout.write(f"FAILED: {exc}\n")
        return 1
    finally:
        shutil.rmtree(folder)
    sys.stdout.write(
        f"{told.rounds} kills of Redis {told.version}, appendfsync {told.fsync}, seed {seed}: {kept:,} "
        f"acknowledged writes, none lost, nothing half-written ({time.monotonic() - started:.0f} s)\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
