"""Which servers are refused before anything is given to them."""

import pytest
from tests.redis_servers import Clustered, Server, redis_server
from tests.storage.redis.conftest import Connect

from handful.errors import StorageError
from handful.storage.redis.checks import check_server

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("policy", ["noeviction", "volatile-lru", "volatile-ttl"])
async def test_what_keeps_the_keys_is_taken(policy: str, connect: Connect) -> None:
    with redis_server(maxmemory_policy=policy) as server:
        await connect(server.url).check()


@pytest.mark.parametrize("version", ["8", "7"])
@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-random"])
async def test_a_policy_that_drops_keys_is_refused_with_the_reason(
    version: str, policy: str, connect: Connect
) -> None:
    with redis_server(version, maxmemory_policy=policy) as server:
        connection = connect(server.url)
        with pytest.raises(StorageError, match=f"{policy}, which drops classifiers.*set `maxmemory-policy"):
            await connection.check()


@pytest.mark.parametrize("version", ["8", "7"])
async def test_a_managed_server_that_forbids_config_is_checked_all_the_same(
    version: str, connect: Connect
) -> None:
    forbidden = {"rename_command": 'CONFIG ""', "maxmemory_policy": "allkeys-lfu"}
    with redis_server(version, **forbidden) as server, pytest.raises(StorageError, match="allkeys-lfu"):
        await connect(server.url).check()
    with redis_server(version, rename_command='CONFIG ""') as server:
        await connect(server.url).check()


async def test_a_replica_is_refused_and_its_primary_is_named(connect: Connect) -> None:
    with redis_server() as primary, redis_server(replicaof=f"127.0.0.1 {primary.port}") as replica:
        connection = connect(replica.url)
        with pytest.raises(StorageError, match=rf"is a replica.*give its primary, .*:{primary.port},"):
            await connection.check()


async def test_a_node_of_a_cluster_is_refused_as_the_only_server(
    clustered: Clustered, connect: Connect
) -> None:
    with pytest.raises(StorageError, match=r"a node of a Cluster; begin its URL with redis\+cluster"):
        await connect(clustered.servers[0].url).check()


async def test_a_single_server_is_refused_as_a_cluster(redis_8: Server, connect: Connect) -> None:
    with pytest.raises(StorageError, match="is no Cluster; begin its URL with redis://"):
        await connect(f"redis+cluster://127.0.0.1:{redis_8.port}").check()


def test_an_old_version_is_refused() -> None:
    info = b"# Server\r\nredis_version:6.2.14\r\nrole:master\r\nmaxmemory_policy:noeviction\r\n"
    with pytest.raises(StorageError, match=r"the Redis at h:1 is version 6\.2\.14; update it to 7\.0"):
        check_server("h:1", info, clustered=False)
    check_server("h:1", info.replace(b"6.2.14", b"10.0.1"), clustered=False)


def test_what_tells_no_policy_is_refused() -> None:
    with pytest.raises(StorageError, match="policy unknown"):
        check_server("h:1", b"redis_version:7.2.4\r\nrole:master\r\n", clustered=False)
