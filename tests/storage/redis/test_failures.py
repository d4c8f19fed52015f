"""What a Redis refuses is said in words that help, and what passes is waited for."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import redis
from tests.redis_servers import Server, free_port, redis_server, waited_for
from tests.storage.redis.conftest import Connect

from handful.errors import StorageError, StorageFullError
from handful.storage.redis import connection as connections

pytestmark = pytest.mark.anyio

BOTH = pytest.mark.parametrize("version", ["8", "7"])
# As any change: something old goes, and two keys are written.
CHANGE = b"""
redis.call('SET', KEYS[1], ARGV[1])
redis.call('SET', KEYS[2], ARGV[1])
return redis.call('DEL', KEYS[3])
"""


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "PATIENCE_SECONDS", 0.2)


@BOTH
async def test_at_maxmemory_a_write_is_refused_whole_and_reads_go_on(version: str, connect: Connect) -> None:
    with redis_server(version, maxmemory="6mb") as server:
        connection = connect(server.url, script=CHANGE)
        written = 0
        try:
            while written < 1000:
                await connection.script([f"{written} {what}" for what in "abc"], [bytes(100_000)])
                written += 1
        except StorageFullError as exc:
            assert "maxmemory; nothing was written" in str(exc)  # noqa: PT017
        assert 5 < written < 1000
        there = await connection.pipe(*(("EXISTS", f"{written} {what}") for what in "ab"))
        assert there == [0, 0]
        assert server.command("DBSIZE") == 2 * written
        server.command("CONFIG", "SET", "maxmemory", "100mb")
        await connection.script(["a", "b", "c"], [b"again"])


@BOTH
async def test_a_server_that_cannot_save_is_told(version: str, connect: Connect) -> None:
    with redis_server(version, save="3600 1") as server:
        connection = connect(server.url)
        await connection.script(["list"], ["one"])
        shutil.rmtree(server.folder)
        server.command("BGSAVE")
        waited_for(lambda: server.info("rdb_last_bgsave_status") == "err")
        with pytest.raises(StorageError, match=r"cannot save to its disk.*free its disk"):
            await connection.script(["list"], ["two"])
        server.folder.mkdir()


async def test_a_server_that_became_a_replica_is_told(connect: Connect, impatient: None) -> None:
    with redis_server() as server:
        connection = connect(server.url)
        await connection.script(["list"], ["one"])
        server.command("REPLICAOF", "127.0.0.1", free_port())
        with pytest.raises(StorageError, match=r"is a replica, which takes no writes; give the address"):
            await connection.script(["list"], ["two"])
        server.command("REPLICAOF", "NO", "ONE")
        assert await connection.script(["list"], ["two"]) == 2


async def test_too_few_replicas_are_told(connect: Connect) -> None:
    with redis_server(min_replicas_to_write=1) as server:
        connection = connect(server.url)
        with pytest.raises(StorageError, match="fewer replicas than its min-replicas-to-write"):
            await connection.script(["list"], ["one"])


@BOTH
async def test_a_server_that_loads_is_waited_for(version: str, connect: Connect) -> None:
    async with loading(version) as server:
        assert await connect(server.url).script(["list"], ["one"]) == 1


async def test_a_server_that_loads_for_long_is_told(connect: Connect, impatient: None) -> None:
    async with loading("8") as server:
        with pytest.raises(StorageError, match="is loading its data; try again"):
            await connect(server.url).script(["list"], ["one"])


@asynccontextmanager
async def loading(version: str) -> AsyncIterator[Server]:
    """A server in the middle of loading, for about a second."""
    slow = {"key_load_delay": 1000, "loading_process_events_interval_bytes": 1024}
    with redis_server(version, **slow) as server:
        server.command("DEBUG", "POPULATE", 800, "key", 2000)
        started = asyncio.create_task(asyncio.to_thread(server.command, "DEBUG", "RELOAD"))
        await asyncio.to_thread(waited_for, lambda: refuses(server, redis.BusyLoadingError))
        yield server
        await started


async def test_a_server_that_is_busy_with_a_script_is_told(connect: Connect, impatient: None) -> None:
    with redis_server(busy_reply_threshold=50) as server:
        endless = asyncio.create_task(asyncio.to_thread(endless_script, server))
        await asyncio.to_thread(waited_for, lambda: refuses(server, redis.ResponseError))
        connection = connect(server.url)
        with pytest.raises(StorageError, match="is busy with a script; try again"):
            await connection.pipe(("PING",))
        server.command("SCRIPT", "KILL")
        await endless
        assert await connection.script(["list"], ["one"]) == 1


def endless_script(server: Server) -> None:
    with pytest.raises(redis.ResponseError, match="killed by user"):
        server.command("EVAL", "while true do end", 0)


def refuses(server: Server, kind: type[Exception]) -> bool:
    try:
        server.command("GET", "none")
    except kind:
        return True
    return False
