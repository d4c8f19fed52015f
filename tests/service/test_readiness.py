"""Whether the service can answer: its encoder is warm, and its store answers."""

import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest

from handful.errors import StorageError
from handful.service import readiness
from handful.service.readiness import Readiness
from handful.storage.sqlite import SqliteStore

pytestmark = pytest.mark.anyio
WARM = SimpleNamespace(ready=True, failure=None)


class Asked(SqliteStore):
    """Counts how often it is asked, and may fail or keep silent."""

    times = 0
    says: Exception | None = None
    silent = False

    async def check(self) -> None:
        self.times += 1
        if self.silent:
            await asyncio.Event().wait()
        if self.says is not None:
            raise self.says


@pytest.fixture
async def store(tmp_path: Path):
    opened = Asked(tmp_path / "store.sqlite")
    yield opened
    await opened.close()


async def test_it_waits_for_the_encoder_and_says_why_there_is_none(store):
    assert await Readiness(store, SimpleNamespace(ready=False, failure=None)).missing() == (
        "the encoder is being loaded"
    )
    broken = SimpleNamespace(ready=False, failure="no such file")
    assert await Readiness(store, broken).missing() == "the encoder cannot be loaded: no such file"


async def test_the_store_is_asked_once_however_many_ask(store):
    ready = Readiness(store, WARM)
    assert set(await asyncio.gather(*(ready.missing() for _ in range(20)))) == {None}
    assert await ready.missing() is None
    assert store.times == 1
    await ready.close()


async def test_what_the_store_says_is_told_until_it_is_well_again(store, monkeypatch):
    monkeypatch.setattr(readiness, "_REMEMBERED", 0.0)
    ready = Readiness(store, WARM)
    store.says = StorageError("the disk is unplugged")
    assert await ready.missing() == "the store cannot be used: the disk is unplugged"
    store.says = None
    await asyncio.sleep(0.01)
    assert await ready.missing() is None
    await ready.close()


async def test_a_store_that_keeps_silent_is_not_waited_for(store, monkeypatch):
    monkeypatch.setattr(readiness, "_PATIENCE", 0.05)
    store.silent = True
    ready = Readiness(store, WARM)
    assert "did not answer within" in str(await ready.missing())
    await ready.close()


async def test_who_goes_away_while_asking_takes_the_answer_from_nobody(store):
    ready = Readiness(store, WARM)
    leaving, staying = (asyncio.create_task(ready.missing()) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying is None
    await ready.close()
