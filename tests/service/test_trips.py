"""Round trips to Redis that a request takes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.redis_servers import Clustered, Server

from handful.service.answers import Asked
from handful.service.classifiers import NewClassifier
from handful.service.new_shots import NewShot
from handful.service.once import Once, Rendered
from handful.service.service import Service, open_service
from handful.settings import Settings
from handful.storage.redis.store import RedisStore
from handful.storage.store import AnsweredError

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["redis", "redis-cluster"])
def url(request: pytest.FixtureRequest) -> str:
    if request.param == "redis":
        server: Server = request.getfixturevalue("redis_8")
        server.command("FLUSHALL")
        return server.url
    cluster: Clustered = request.getfixturevalue("clustered")
    cluster.empty()
    return cluster.url


@pytest.fixture
def node(
    url: str, tmp_path: Path, tiny_encoder_class: Any, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], AbstractAsyncContextManager[Service]]:
    """A service whose store nobody asks but a test."""
    for every in ("_EVERY", "_FOLDED_EVERY"):
        monkeypatch.setattr(f"handful.service.upkeep.{every}", 1e6)

    @asynccontextmanager
    async def opened() -> AsyncIterator[Service]:
        settings = Settings(data_dir=tmp_path, store_url=url, job_threads=0)
        async with open_service(settings, tiny_encoder_class()) as service:
            await service.keys.exist()
            last = -1
            while last != (last := trips_of(service)):  # what upkeep does at first
                await asyncio.sleep(0.1)
            yield service

    return opened


def trips_of(service: Service) -> int:
    assert isinstance(service.store, RedisStore)
    return service.store.trips


async def trips(service: Service, work: Awaitable[Any]) -> int:
    before = trips_of(service)
    await work
    return trips_of(service) - before


async def test_a_classify_takes_one_and_a_node_that_knows_no_head_gets_it_by_another(node, taught, rows):
    asked = Asked(rows=rows(0))
    async with node() as one, node() as other:
        id = await taught(one)
        await one.answers.classify("default", id, asked)
        await one.heads.settled("default", id)
        assert await trips(one, one.answers.classify("default", id, asked)) == 1
        assert await trips(other, other.answers.classify("default", id, asked)) == 2
        assert await trips(other, other.answers.classify("default", id, asked)) == 1


async def test_adding_shots_takes_three(node, rows, url):
    async with node() as service:
        id = (await service.classifiers.create("default", NewClassifier(name="x"))).record.id
        parts = (
            2 if "cluster" in url else 0
        )  # of the change: what lies in the slots of jobs and of the tenant
        for at, count in enumerate((1, 3, 20)):
            new = [NewShot(label=f"{at}", row=row) for row in rows(at, count)]
            assert await trips(service, service.shots.add("default", id, new)) == 3 + parts


async def test_an_idempotency_key_is_looked_up_beside(node, rows, url):
    async with node() as service:
        id = (await service.classifiers.create("default", NewClassifier(name="x"))).record.id
        new = [NewShot(label="red", row=row) for row in rows(0)]
        once = Once(
            tenant="default",
            key="k",
            request="r",
            expires=datetime.now(UTC) + timedelta(hours=1),
            render=lambda result: Rendered(status=201),
        )
        parts = 3 if "cluster" in url else 0  # as above, and the answer's mark in the tenant's slot
        assert await trips(service, service.shots.add("default", id, new, once)) == 4 + parts
        assert await trips(service, repeated(service.shots.add("default", id, new, once))) == 2


async def repeated(work: Awaitable[Any]) -> None:
    with pytest.raises(AnsweredError):
        await work


async def test_reads_take_few_however_much_there_is(node, taught):
    async with node() as service:
        small = await taught(service, classes=("red", "green"), shots=1)
        large = await taught(service, classes=[f"{at}" for at in range(28)], shots=10)
        for id in (small, large):
            assert await trips(service, service.classifiers.get("default", id)) == 2
            assert await trips(service, service.shots.list("default", id, limit=100)) == 3
