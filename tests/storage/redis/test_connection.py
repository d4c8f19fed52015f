"""A connection to one Redis server."""

import asyncio
import random
import signal
import time

import pytest
from tests.redis_servers import Server, redis_server
from tests.storage.redis.conftest import Connect
from tests.storage.redis.cutting import cutting

from handful.errors import StorageError
from handful.storage.redis import connection as connections
from handful.storage.redis import pool as pools
from handful.storage.redis.failures import UnconfirmedError

pytestmark = pytest.mark.anyio


async def test_replies_come_in_order_and_in_one_trip(server: Server, connect: Connect) -> None:
    connection = connect(server.url)
    before = connection.trips
    replies = await connection.pipe(
        ("SET", "a", b"\x00\xff"),
        ("GET", "a"),
        ("HSET", "h", "f", 1, "g", 2.5),
        ("HGETALL", "h"),
        ("GET", "z"),
    )
    assert replies == [b"OK", b"\x00\xff", 2, [b"f", b"1", b"g", b"2.5"], None]
    assert connection.trips == before + 1
    assert await connection.pipe() == []


async def test_a_script_takes_one_trip_once_it_is_loaded(server: Server, connect: Connect) -> None:
    connection = connect(server.url)
    server.command("SCRIPT", "FLUSH")
    assert await connection.script(["list"], [b"one"]) == 1
    loaded = connection.trips
    assert await connection.script(["list"], ["two"]) == 2
    assert connection.trips == loaded + 1


async def test_a_script_that_was_forgotten_is_loaded_again(server: Server, connect: Connect) -> None:
    connection = connect(server.url)
    await connection.script(["list"], ["one"])
    server.command("SCRIPT", "FLUSH")
    assert await connection.script(["list"], ["two"]) == 2


async def test_large_values_come_back_whole(server: Server, connect: Connect) -> None:
    value = random.Random(3).randbytes(8_000_000)
    connection = connect(server.url)
    assert await connection.script(["large"], [value]) == 1
    assert await connection.pipe(("LINDEX", "large", 0), ("LLEN", "large")) == [value, 1]


async def test_what_redis_refuses_is_an_error_that_names_the_server(server: Server, connect: Connect) -> None:
    connection = connect(server.url)
    with pytest.raises(StorageError, match=rf"127\.0\.0\.1:{server.port}.*WRONGTYPE"):
        await connection.pipe(("SET", "text", 1), ("GET", "text"), ("HGETALL", "text"))
    assert await connection.pipe(("GET", "text")) == [b"1"]


async def test_no_more_connections_are_made_than_allowed_and_the_rest_wait(
    server: Server, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "MOST", 3)
    connection = connect(server.url)
    before = server.info("total_connections_received")
    replies = await asyncio.gather(*(connection.pipe(("ECHO", str(n))) for n in range(200)))
    assert replies == [[str(n).encode()] for n in range(200)]
    assert server.info("total_connections_received") - before <= 3 + 1  # one asked


async def test_who_waits_too_long_for_a_connection_is_told(
    server: Server, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in [("MOST", 1), ("WAIT_SECONDS", 0.1)]:
        monkeypatch.setattr(pools, name, value)
    monkeypatch.setattr(connections, "PATIENCE_SECONDS", 0.1)
    connection = connect(server.url)
    slow = asyncio.create_task(connection.pipe(("DEBUG", "SLEEP", 1)))
    await asyncio.sleep(0.05)
    with pytest.raises(StorageError, match="all 1 connections were busy"):
        await connection.pipe(("PING",))
    assert await slow == [b"OK"]


async def test_requests_that_are_cancelled_leave_no_reply_for_others(
    server: Server, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "MOST", 2)
    connection, rng = connect(server.url), random.Random(1)
    for round in range(30):
        tasks = [asyncio.create_task(connection.pipe(("ECHO", f"{round} {n}"))) for n in range(8)]
        await asyncio.sleep(rng.random() * 0.002)
        for one in rng.sample(tasks, 4):
            one.cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        for n, reply in enumerate(done):
            assert isinstance(reply, asyncio.CancelledError) or reply == [f"{round} {n}".encode()]


async def test_a_cancelled_request_ends_also_where_its_reply_comes_at_that_moment(
    server: Server, connect: Connect
) -> None:
    connection, rng = connect(server.url), random.Random(2)

    async def forever() -> None:
        while True:
            await connection.pipe(("PING",))

    for _ in range(30):
        task = asyncio.create_task(forever())
        await asyncio.sleep(rng.random() * 0.003)
        time.sleep(0.002)  # replies wait while the loop is busy
        task.cancel()
        await asyncio.wait([task], timeout=10)
        assert task.cancelled()


async def test_connections_that_the_server_closed_are_made_anew(server: Server, connect: Connect) -> None:
    connection = connect(server.url)
    await asyncio.gather(*(connection.pipe(("PING",)) for _ in range(3)))
    server.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    await asyncio.sleep(0.05)
    assert [await connection.script(["list"], [n]) for n in range(3)] == [1, 2, 3]


async def test_a_read_is_sent_again_when_its_reply_is_lost(server: Server, connect: Connect) -> None:
    server.command("SET", "a", "b")
    async with cutting(server.port, replies=1) as proxy:
        connection = connect(f"redis://127.0.0.1:{proxy.port}")
        assert await connection.pipe(("GET", "a")) == [b"b"]
        assert proxy.cut == 1


async def test_a_write_is_not_sent_again_when_its_reply_is_lost(server: Server, connect: Connect) -> None:
    connection = connect(server.url)
    await connection.script(["other"], ["loaded"])
    async with cutting(server.port, replies=1) as proxy:
        cut = connect(f"redis://127.0.0.1:{proxy.port}")
        with pytest.raises(UnconfirmedError, match="may be, or not"):
            await cut.script(["list"], ["one"])
        assert await cut.script(["list"], ["two"]) == 2


async def test_a_killed_server_is_an_error_and_is_found_again(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "PATIENCE_SECONDS", 0.5)
    with redis_server(appendonly="yes", appendfsync="always") as server:
        connection = connect(server.url)
        assert await connection.script(["list"], ["one"]) == 1
        server.kill()
        with pytest.raises(StorageError, match="cannot be reached"):
            await connection.pipe(("LLEN", "list"))
        with pytest.raises(StorageError, match="cannot be reached") as raised:
            await connection.script(["list"], ["lost"])
        assert not isinstance(raised.value, UnconfirmedError)  # it was not executed
        server.start()
        assert await connection.script(["list"], ["two"]) == 2


async def test_a_server_that_starts_within_patience_is_waited_for(connect: Connect) -> None:
    with redis_server() as server:
        connection = connect(server.url)
        server.kill()
        waiting = asyncio.create_task(connection.check())
        writing = asyncio.create_task(connection.script(["list"], ["one"]))
        await asyncio.sleep(0.3)
        await asyncio.to_thread(server.start)
        await waiting
        assert await writing == 1


async def test_a_server_that_hangs_is_an_error_in_time(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "ANSWER_SECONDS", 0.3)
    monkeypatch.setattr(connections, "PATIENCE_SECONDS", 0.5)
    with redis_server() as server:
        connection = connect(server.url)
        await connection.script(["list"], ["one"])
        assert server.process is not None
        server.process.send_signal(signal.SIGSTOP)
        with pytest.raises(UnconfirmedError, match="does not answer in time"):
            await connection.script(["list"], ["two"])
        with pytest.raises(StorageError, match="does not answer in time"):
            await connection.pipe(("LLEN", "list"))
        server.process.send_signal(signal.SIGCONT)
        assert await connection.pipe(("LLEN", "list")) == [2]  # it was written: so it says


async def test_a_write_that_no_replica_confirms_is_told(
    server: Server, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "WAIT_MILLISECONDS", 100)
    connection = connect(server.url, wait_replicas=2)
    with pytest.raises(UnconfirmedError, match=r"of 2 replicas .*: 0; look"):
        await connection.script(["list"], ["one"])


async def test_a_closed_connection_lets_go_of_what_is_still_in_use(server: Server, connect: Connect) -> None:
    connection = connect(server.url)
    slow = asyncio.create_task(connection.pipe(("DEBUG", "SLEEP", 0.2)))
    await asyncio.sleep(0.05)
    await connection.close()
    assert await slow == [b"OK"]
