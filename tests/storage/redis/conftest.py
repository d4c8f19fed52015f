"""Connections to real servers."""

from collections.abc import AsyncIterator, Callable

import pytest
from tests.redis_servers import Server

from handful.storage.redis.connection import Connection

# Appends to a list, and says how long it is; stands for any write that must not be done twice.
APPEND = b"redis.call('RPUSH', KEYS[1], ARGV[1]) return redis.call('LLEN', KEYS[1])"

Connect = Callable[..., Connection]


@pytest.fixture
async def connect(anyio_backend: str) -> AsyncIterator[Connect]:
    """Makes connections, which are closed at the end."""
    made = []

    def make(url: str, *, script: bytes = APPEND, wait_replicas: int = 0) -> Connection:
        made.append(Connection(url, script=script, wait_replicas=wait_replicas))
        return made[-1]

    yield make
    for one in made:
        await one.close()


@pytest.fixture(params=["redis_8", "redis_7"])
def server(request: pytest.FixtureRequest) -> Server:
    """An empty one of each version."""
    shared: Server = request.getfixturevalue(request.param)
    shared.command("FLUSHALL")
    return shared
