"""A primary under Sentinels that dies, or is replaced, while scripts write to it."""

import asyncio
import signal
from collections.abc import Iterator

import pytest
from tests.redis_servers import SERVICE, Server, Watched, redis_sentinels, waited_for
from tests.storage.redis.conftest import Connect

from handful.errors import StorageError
from handful.storage.redis import connection as connections
from handful.storage.redis import pool as pools
from handful.storage.redis.connection import Connection

pytestmark = pytest.mark.anyio

_WRITERS = 4
_AFTERWARDS = 50  # writes to the new primary, by each


@pytest.fixture(params=["8", "7"])
def watched(request: pytest.FixtureRequest) -> Iterator[Watched]:
    with redis_sentinels(request.param) as all:
        yield all


class Writers:
    """Each appends numbers to a list of its own, and remembers which were acknowledged."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.acknowledged: dict[str, list[int]] = {f"list {n}": [] for n in range(_WRITERS)}
        self.failures: list[StorageError] = []
        self.stopping = asyncio.Event()

    async def write(self, name: str) -> None:
        number, left = 0, _AFTERWARDS
        while left:
            number += 1
            try:
                await self.connection.script([name], [number])
            except StorageError as exc:
                self.failures.append(exc)
                await asyncio.sleep(0.01)
                continue
            self.acknowledged[name].append(number)
            left -= self.stopping.is_set()

    async def all_wrote(self) -> None:
        while not all(len(numbers) > 20 for numbers in self.acknowledged.values()):
            await asyncio.sleep(0.02)

    async def until(self, over: asyncio.Task[None]) -> None:
        async with asyncio.TaskGroup() as group:
            for name in self.acknowledged:
                group.create_task(self.write(name))
            await over
            self.stopping.set()


async def test_what_a_replica_confirmed_survives_the_death_of_the_primary(
    watched: Watched, connect: Connect
) -> None:
    writers = Writers(connect(watched.url, wait_replicas=1))
    await writers.connection.check()

    async def kill() -> None:
        await writers.all_wrote()
        watched.primary.kill()
        await asyncio.to_thread(watched.promoted)
        await asyncio.to_thread(watched.primary.start, replicaof=f"127.0.0.1 {watched.replica.port}")

    await writers.until(asyncio.create_task(kill()))
    assert min(map(len, writers.acknowledged.values())) > _AFTERWARDS
    assert writers.failures
    await all_there(writers, watched.replica)


async def test_a_planned_change_of_the_primary_loses_nothing_that_was_confirmed(
    watched: Watched, connect: Connect
) -> None:
    writers = Writers(connect(watched.url, wait_replicas=1))

    async def replace() -> None:
        await writers.all_wrote()
        await asyncio.to_thread(watched.sentinels[0].command, "SENTINEL", "FAILOVER", SERVICE)
        await asyncio.to_thread(watched.promoted)
        await asyncio.sleep(0.3)  # the old one takes writes, which nobody confirms
        watched.primary.command("REPLICAOF", "127.0.0.1", watched.replica.port)  # Sentinels do in 10 s

    await writers.until(asyncio.create_task(replace()))
    await all_there(writers, watched.replica)


async def all_there(writers: Writers, primary: Server) -> None:
    for name, numbers in writers.acknowledged.items():
        there = list(map(int, primary.command("LRANGE", name, 0, -1)))
        assert set(numbers) <= set(there)
        assert len(there) == len(set(there)), "a write was done twice"
    assert (
        await writers.connection.pipe(*(("EXISTS", name) for name in writers.acknowledged)) == [1] * _WRITERS
    )


async def test_who_still_talks_to_a_demoted_primary_asks_the_sentinels_again(
    watched: Watched, connect: Connect
) -> None:
    connection = connect(watched.url)
    assert await connection.script(["list"], ["one"]) == 1
    waited_for(lambda: watched.replica.command("LLEN", "list") == 1)
    watched.sentinels[0].command("SENTINEL", "FAILOVER", SERVICE)
    await asyncio.to_thread(watched.promoted)
    watched.primary.command("REPLICAOF", "127.0.0.1", watched.replica.port)
    assert await connection.script(["list"], ["two"]) == 2
    assert watched.replica.command("LLEN", "list") == 2


async def test_a_replaced_primary_is_left_while_it_still_takes_writes(
    watched: Watched, connect: Connect
) -> None:
    connection = connect(watched.url)
    await connection.check()
    watched.sentinels[0].command("SENTINEL", "FAILOVER", SERVICE)
    await asyncio.to_thread(watched.promoted)
    while not watched.replica.command("EXISTS", "list"):
        await connection.script(["list"], ["one"])
        await asyncio.sleep(0.02)
    assert watched.primary.info("role") == "master"


async def test_an_unknown_service_is_told(
    watched: Watched, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "PATIENCE_SECONDS", 0.2)
    connection = connect(watched.url.replace(f"/{SERVICE}", "/other").replace("//", "//:secret@"))
    with pytest.raises(StorageError, match="none of these Sentinels names a primary of 'other'") as raised:
        await connection.check()
    assert "secret" not in str(raised.value)


async def test_a_sentinel_that_is_away_is_no_harm(watched: Watched, connect: Connect) -> None:
    watched.sentinels[0].kill()
    connection = connect(watched.url)
    await connection.check()
    assert await connection.script(["list"], ["one"]) == 1


async def test_a_server_that_is_no_sentinel_is_told(
    redis_8: Server, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "PATIENCE_SECONDS", 0.2)
    with pytest.raises(StorageError, match="none of these Sentinels names"):
        await connect(f"redis+sentinel://127.0.0.1:{redis_8.port}/{SERVICE}").check()


async def test_a_primary_that_hangs_is_replaced(
    watched: Watched, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "ANSWER_SECONDS", 0.3)
    connection = connect(watched.url)
    assert await connection.script(["list"], ["one"]) == 1
    waited_for(lambda: watched.replica.command("LLEN", "list") == 1)
    assert watched.primary.process is not None
    watched.primary.process.send_signal(signal.SIGSTOP)
    await asyncio.to_thread(watched.promoted)
    done = None
    while done is None:
        try:
            done = await connection.script(["list"], ["two"])
        except StorageError:
            await asyncio.sleep(0.05)
    assert watched.replica.command("LRANGE", "list", -1, -1) == [b"two"]
