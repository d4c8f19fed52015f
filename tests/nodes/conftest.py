"""Three services and nothing else, over one Redis and one place for blobs; tests of a module share them."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from tests.nodes.processes import Node, Shared, serve
from tests.redis_servers import Server, redis_server


@pytest.fixture(scope="module")
def redis() -> Iterator[Server]:
    """Durable as it is recommended to be."""
    with redis_server("8", appendonly="yes", appendfsync="everysec") as server:
        yield server


@pytest.fixture(scope="module")
def shared(redis: Server, tmp_path_factory: pytest.TempPathFactory) -> Shared:
    """Settings of every process: the store and the blobs; further ones by name."""
    blobs = tmp_path_factory.mktemp("blobs")

    def settings(**more: object) -> dict[str, object]:
        return {"store_url": redis.url, "blobs_url": blobs, "job_threads": 0, **more}

    return settings


@pytest.fixture(scope="module")
def nodes(shared: Shared, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Node]]:
    """They have folders of their own, as on machines of their own."""
    with ExitStack() as stack:
        running = [stack.enter_context(serve(tmp_path_factory.mktemp("node"), **shared())) for _ in range(3)]
        for node in running:
            node.ready()
        yield running
