"""What was acknowledged survives a killed Redis and a lost power, as far as appendfsync promises."""

import asyncio
import os
import random
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.redis_servers import Server, redis_server
from tests.storage.crash.working import prepare
from tests.storage.redis.killing import LOST_SECONDS, check_server, kill_rounds
from tests.storage.redis.writing import Diary, writing

from handful.storage.blobs import Blobs
from handful.storage.open import open_store

_APART = {"auto_aof_rewrite_percentage": 0}  # one file, which only grows


@pytest.mark.parametrize("version", ["8", "7"])
@pytest.mark.parametrize("fsync", ["always", "everysec"])
def test_what_was_acknowledged_survives_sigkill_of_redis(tmp_path: Path, fsync: str, version: str) -> None:
    rounds = {"always": 5, "everysec": 2}[fsync]
    assert kill_rounds(tmp_path, rounds, seed=4, fsync=fsync, version=version) > 20


@pytest.mark.parametrize("version", ["8", "7"])
def test_with_always_the_end_of_the_file_may_be_lost_behind_the_last_acknowledged_write(
    tmp_path: Path, version: str
) -> None:
    with redis_server(version, appendonly="yes", appendfsync="always", **_APART) as server:
        story = written(server, tmp_path, seconds=1)
        last, end = int(story.diary.marks()[-1]), story.sizes[-1][1]
        for at in {last, end, *random.Random(1).choices(range(last, end + 1), k=4)}:
            story.check_cut(at, until=at)


@pytest.mark.parametrize("version", ["8", "7"])
def test_with_everysec_only_the_last_seconds_are_lost_and_blobs_are_there_for_what_is_not(
    tmp_path: Path, version: str
) -> None:
    lost = LOST_SECONDS["everysec"]
    with redis_server(version, appendonly="yes", appendfsync="everysec", **_APART) as server:
        story = written(server, tmp_path, seconds=lost + 1, mark=time.monotonic)
        end = story.sizes[-1][0]
        cuts = [(then, size) for then, size in story.sizes if then > end - lost]
        for then, size in [cuts[0], *random.Random(1).sample(cuts, 4)]:
            story.check_cut(size, until=then - lost)


def test_a_cut_before_an_acknowledged_write_would_be_found(tmp_path: Path) -> None:
    with redis_server(appendonly="yes", appendfsync="always", **_APART) as server:
        story = written(server, tmp_path, seconds=1)
        marks = story.diary.marks()
        with pytest.raises(AssertionError):
            story.check_cut(int(marks[len(marks) // 2]), until=marks[-1])


@dataclass
class Story:
    """What was written to a Redis that is killed by now.

    sizes : of its append-only file, each with the second, the last at the end.
    """

    server: Server
    id: str
    blobs: Blobs
    diary: Diary
    file: Path
    sizes: list[tuple[float, int]]

    def check_cut(self, at: int, until: float) -> None:
        """Raises AssertionError where what was acknowledged until a mark is not in the file's first bytes."""
        folder, whole = self.file.parent, self.server.folder / "whole"
        if not whole.exists():
            shutil.copytree(folder, whole)
        shutil.rmtree(folder)
        shutil.copytree(whole, folder)
        os.truncate(self.file, at)
        self.server.start()
        try:
            asyncio.run(check_server(self.server, self.blobs, self.id, self.diary.lines(until)))
        finally:
            self.server.kill()


def written(server: Server, folder: Path, seconds: float, mark: Callable[[], float] | None = None) -> Story:
    """A Redis that is killed under writes; what was acknowledged is marked by the file's size."""
    file = server.folder / "appendonlydir" / "appendonly.aof.1.incr.aof"
    blobs = Blobs(str(folder / "blobs"))
    diary = Diary(mark or (lambda: file.stat().st_size))
    sizes = []

    async def write() -> str:
        store = open_store(server.url, blobs)
        id = await prepare(store)
        async with writing(store, blobs, id, 1, diary):
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                sizes.append((time.monotonic(), file.stat().st_size))
                await asyncio.sleep(0.02)
            server.kill()
        await store.close()
        return id

    id = asyncio.run(write())
    sizes.append((time.monotonic(), file.stat().st_size))
    return Story(server, id, blobs, diary, file, sizes)
