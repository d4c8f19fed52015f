"""Processes that are killed while they fold lose nothing, and leave at most blobs that nothing names."""

import asyncio
import random
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.storage.conftest import classifier
from tests.storage.redis.test_folding import Writer, segment_names, swept

from handful.storage.blobs import Blobs
from handful.storage.store import Change, Store

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("store_url", ["redis", "redis-cluster"], indirect=True),
]

_ROOT = Path(__file__).parents[3]
_KILLS = 5
_CLASSIFIERS = 4


async def test_two_folders_that_are_killed_again_and_again_lose_nothing(
    store: Store, store_url: str, blobs: Blobs
) -> None:
    rng = random.Random(store_url.count(","))
    writers = []
    for seed in range(_CLASSIFIERS):
        record = classifier()
        await store.apply(Change(before=None, after=record))
        writers.append(Writer(store, record, seed))
    command = [sys.executable, "-m", "tests.storage.redis.folder", store_url, blobs.url]
    folders = [_started(command), _started(command)]
    try:
        for _ in range(_KILLS):
            await asyncio.to_thread(_running, folders[-1])
            for _ in range(rng.randrange(1, 12)):
                await asyncio.gather(*(writer.write() for writer in writers))
            await asyncio.sleep(rng.random() * 0.02)
            killed = folders.pop(0)
            killed.kill()
            await asyncio.to_thread(killed.communicate)
            await _check(store, writers)
            folders.append(_started(command))
    finally:
        for folder in folders:
            folder.kill()
            folder.communicate()
    late = datetime.now(UTC) + timedelta(days=2)
    while await store.fold(late):
        late += timedelta(days=1)
    await swept(store, blobs)
    await _check(store, writers)
    named = [await store.blob_names("shop", writer.record.id) or frozenset() for writer in writers]
    assert frozenset().union(*named) <= {*await segment_names(blobs)}


async def _check(store: Store, writers: list[Writer]) -> None:
    for writer in writers:
        support = await store.support("shop", writer.record.id)
        assert support is not None
        assert support.classifier == writer.record
        assert support.shots == tuple(writer.shots[name] for name in sorted(writer.shots))


def _started(command: list[str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=_ROOT)


def _running(folder: "subprocess.Popen[str]") -> None:
    """Return once it folds."""
    assert folder.stdout is not None
    assert folder.stdout.readline() == "folding\n"
