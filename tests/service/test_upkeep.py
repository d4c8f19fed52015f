"""What upkeep forgets while the service runs."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from handful.encoders import Encoder
from handful.errors import StorageError
from handful.service.classifiers import NewClassifier
from handful.service.service import open_service, store_of
from handful.service.transfer.uploads import FOLDER
from handful.service.upkeep import Upkeep
from handful.settings import Settings
from handful.storage.ids import new_id
from handful.storage.records import JobRecord
from handful.storage.sqlite import SqliteStore

_PATIENCE = 30.0  # seconds


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.anyio
async def test_jobs_that_have_long_been_over_are_forgotten_with_their_uploads(
    tmp_path: Path, tiny_encoder_class: Callable[[], Encoder]
) -> None:
    settings = Settings(data_dir=tmp_path, job_days=2)
    now = datetime.now(UTC)
    over = JobRecord(
        tenant="default",
        id=new_id(),
        kind="evaluate",
        classifier=None,
        status="succeeded",
        request={},
        created=now - timedelta(days=9),
        updated=now - timedelta(days=3),
    )
    old = [replace(over, id=new_id()) for _ in range(450)]  # several writes of upkeep
    recent = replace(over, id=new_id(), updated=now - timedelta(days=1))
    store = store_of(settings)
    await asyncio.gather(*(store.put_job(job) for job in (*old, recent)))
    await store.close()
    upload = tmp_path / "blobs" / FOLDER / "default" / old[0].id
    upload.parent.mkdir(parents=True)
    upload.write_bytes(b"an archive")

    async with open_service(settings, tiny_encoder_class()) as service, asyncio.timeout(_PATIENCE):
        while any([await service.store.job("default", job.id) for job in old]):
            await asyncio.sleep(0.01)
        assert await service.jobs.get("default", recent.id) == recent
    assert not upload.exists()


@pytest.mark.anyio
async def test_held_trash_waits_until_it_is_let_go(
    tmp_path: Path, tiny_encoder_class: Callable[[], Encoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handful.service.upkeep._EVERY", 0.01)
    async with open_service(Settings(data_dir=tmp_path), tiny_encoder_class()) as service:
        id = (await service.classifiers.create("default", NewClassifier(name="x"))).record.id
        await service.blobs.put(f"default/{id}/shot.jpg", b"a picture")
        await service.store.hold_trash(datetime.now(UTC) + timedelta(hours=1))
        await service.classifiers.delete("default", id)
        await asyncio.sleep(0.2)  # many turns of upkeep
        assert await service.blobs.names() == [f"default/{id}/shot.jpg"]
        await service.store.hold_trash(datetime.now(UTC))
        async with asyncio.timeout(_PATIENCE):
            while await service.blobs.names() or await service.store.trash(1):
                await asyncio.sleep(0.01)


@pytest.mark.anyio
async def test_what_was_written_lately_is_packed_while_that_gets_any_further(
    tmp_path: Path, tiny_encoder_class: Callable[[], Encoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    left = [0, 5, 3, 1, 1, 4, 0]  # what each call leaves
    asked, enough = [], asyncio.Event()

    async def fold(self: SqliteStore, now: datetime) -> int:
        if len(asked) - asked.count("pause") == len(left):
            enough.set()
            return 0
        asked.append(left[len(asked) - asked.count("pause")])
        return asked[-1]

    class Pauses:
        @staticmethod
        def uniform(least: float, most: float) -> float:
            asked.append("pause")
            return 0.0

    async def never(self: Upkeep) -> None:
        await enough.wait()

    monkeypatch.setattr(SqliteStore, "fold", fold)
    monkeypatch.setattr(Upkeep, "_tidy", never)
    monkeypatch.setattr("handful.service.upkeep.random", Pauses)
    async with open_service(Settings(data_dir=tmp_path), tiny_encoder_class()), asyncio.timeout(_PATIENCE):
        await enough.wait()
    assert asked[:12] == [0, "pause", 5, "pause", 3, 1, 1, "pause", 4, "pause", 0, "pause"]


@pytest.mark.anyio
async def test_upkeep_goes_on_after_a_fault(
    tmp_path: Path, tiny_encoder_class: Callable[[], Encoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = iter([StorageError("away"), KeyError("a bug")])
    enough = asyncio.Event()

    async def fold(self: SqliteStore, now: datetime) -> int:
        for fault in faults:
            raise fault
        enough.set()
        return 0

    monkeypatch.setattr(SqliteStore, "fold", fold)
    monkeypatch.setattr("handful.service.upkeep._EVERY", 0.01)
    monkeypatch.setattr("handful.service.upkeep._FOLDED_EVERY", 0.01)
    async with open_service(Settings(data_dir=tmp_path), tiny_encoder_class()), asyncio.timeout(_PATIENCE):
        await enough.wait()
