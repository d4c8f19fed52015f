"""Three servers that share the keys, and pass slots on to each other while scripts write."""

import asyncio
from itertools import count

import pytest
from tests.redis_servers import Clustered, redis_cluster
from tests.storage.redis.conftest import Connect

from handful.errors import StorageError
from handful.storage.redis import connection as connections

pytestmark = pytest.mark.anyio

# Counts in two keys at once; they must never differ.
COUNT = b"redis.call('INCR', KEYS[2]) return redis.call('INCR', KEYS[1])"


@pytest.fixture
def cluster(clustered: Clustered) -> Clustered:
    clustered.empty()
    return clustered


async def test_replies_come_in_order_from_all_servers_each_asked_once(
    cluster: Clustered, connect: Connect
) -> None:
    connection = connect(cluster.url)
    assert connection.clustered
    await connection.check()
    before = connection.trips
    names = [f"hf:{{{n}}}" for n in range(50)]
    assert {cluster.holder(name) for name in names} == set(cluster.servers)
    assert await connection.pipe(*(("SET", name, n) for n, name in enumerate(names))) == [b"OK"] * 50
    assert await connection.pipe(*(("GET", name) for name in names)) == [b"%d" % n for n in range(50)]
    assert connection.trips == before + 6


async def test_a_script_goes_to_the_server_of_its_keys(cluster: Clustered, connect: Connect) -> None:
    connection = connect(cluster.url)
    for name in map(str, range(12)):
        assert await connection.script([name], ["one"]) == 1
        assert cluster.holder(name).command("LLEN", name) == 1


async def test_one_reachable_node_of_the_url_is_enough(cluster: Clustered, connect: Connect) -> None:
    connection = connect(f"redis+cluster://127.0.0.1:1,127.0.0.1:{cluster.servers[1].port}")
    assert await connection.pipe(*(("SET", str(n), n) for n in range(12))) == [b"OK"] * 12


async def test_a_slot_that_moves_under_writes_loses_and_doubles_nothing(
    cluster: Clustered, connect: Connect
) -> None:
    connection = connect(cluster.url, script=COUNT)
    source = cluster.holder("{moving}")
    target = next(one for one in cluster.servers if one is not source)
    pairs = [(f"{{moving}}a{n}", f"{{moving}}b{n}") for n in range(60)]
    counted = dict.fromkeys(pairs, 0)
    for pair in pairs:
        counted[pair] = await connection.script(pair, [])

    async def write(number: int) -> None:
        for step in count():
            pair = pairs[(7 * step + number) % len(pairs)]
            try:
                await connection.script(pair, [])
                counted[pair] += 1
            except StorageError as exc:  # one of them was moved, and the other only seconds later
                assert "is moving these keys" in str(exc)  # noqa: PT017
            if moving.done() and step > 200:
                return

    slot = source.command("CLUSTER", "KEYSLOT", "{moving}")
    moving = asyncio.create_task(asyncio.to_thread(cluster.move, slot, source, target, 0.005))
    async with asyncio.TaskGroup() as group:
        for number in range(4):
            group.create_task(write(number))
    await moving
    assert cluster.holder("{moving}") is target
    assert source.command("CLUSTER", "COUNTKEYSINSLOT", slot) == 0
    for pair, times in counted.items():
        assert await connection.pipe(*(("GET", key) for key in pair)) == [b"%d" % times] * 2


async def test_keys_that_are_on_the_way_are_read_where_they_are(cluster: Clustered, connect: Connect) -> None:
    connection = connect(cluster.url)
    source = cluster.holder("{half}")
    target = next(one for one in cluster.servers if one is not source)
    await connection.pipe(("SET", "{half}a", 1), ("SET", "{half}b", 2))
    slot, ids = source.command("CLUSTER", "KEYSLOT", "{half}"), {}
    for one in (source, target):
        ids[one] = one.command("CLUSTER", "MYID").decode()
    target.command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source])
    source.command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target])
    source.command("MIGRATE", "127.0.0.1", target.port, "{half}a", 0, 5000)
    replies = await connection.pipe(("GET", "{half}a"), ("GET", "{half}b"), ("GET", "{half}c"))
    assert replies == [b"1", b"2", None]
    for one in (target, source):
        one.command("CLUSTER", "SETSLOT", slot, "STABLE")
    assert target.command("CLUSTER", "COUNTKEYSINSLOT", slot) == 1
    source.command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target])
    target.command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source])
    source.command("MIGRATE", "127.0.0.1", target.port, "{half}b", 0, 5000)
    for one in (target, *cluster.servers):
        one.command("CLUSTER", "SETSLOT", slot, "NODE", ids[target])


async def test_a_killed_node_is_an_error_for_its_keys_and_is_found_again(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "PATIENCE_SECONDS", 0.3)
    config = {"appendonly": "yes", "appendfsync": "always", "cluster-require-full-coverage": "no"}
    with redis_cluster(**config) as cluster:
        connection = connect(cluster.url)
        victim = cluster.holder("a")
        other = next(name for name in map(str, range(99)) if cluster.holder(name) is not victim)
        assert await connection.script(["a"], ["one"]) == 1
        victim.kill()
        with pytest.raises(StorageError, match=r"cannot be reached"):
            await connection.script(["a"], ["two"])
        assert await connection.script([other], ["one"]) == 1
        victim.start()
        done = None
        while done is None:
            try:
                done = await connection.script(["a"], ["two"])
            except StorageError:  # a primary waits two seconds before it takes writes again
                await asyncio.sleep(0.05)
        assert done == 2
