"""Writers at once never lose each other's shots."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from tests.storage.adding import SHOTS, add_one
from tests.storage.conftest import classifier

from handful.storage.blobs import Blobs
from handful.storage.records import ClassifierRecord
from handful.storage.store import Change, Store

_PROCESSES = 3
_ROOT = Path(__file__).parents[2]


@pytest.mark.anyio
async def test_no_shot_of_many_writers_in_one_process_is_lost(store: Store) -> None:
    record = classifier()
    await store.apply(Change(before=None, after=record))
    ids = await asyncio.gather(*(add_one(store, record.tenant, record.id) for _ in range(30)))
    await check(store, record, set(ids))


@pytest.mark.anyio
async def test_no_shot_of_many_processes_is_lost(store: Store, store_url: str, blobs: Blobs) -> None:
    record = classifier()
    await store.apply(Change(before=None, after=record))
    command = [sys.executable, "-m", "tests.storage.adding", store_url, blobs.url, record.tenant, record.id]
    writers = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=_ROOT) for _ in range(_PROCESSES)
    ]
    outputs = [(await asyncio.to_thread(writer.communicate))[0] for writer in writers]
    assert [writer.returncode for writer in writers] == [0] * _PROCESSES
    ids = {line for output in outputs for line in output.split()}
    assert len(ids) == _PROCESSES * SHOTS
    await check(store, record, ids)


async def check(store: Store, record: ClassifierRecord, ids: set[str]) -> None:
    support = await store.support(record.tenant, record.id)
    assert support is not None
    assert {one.id for one in support.shots} == ids
    assert support.classifier.shot_count == len(ids)
    assert support.classifier.revision == 1 + len(ids)
    assert (await store.usage(record.tenant)).shots == len(ids)
