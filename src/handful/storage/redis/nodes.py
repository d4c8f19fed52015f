"""Which server holds a key: the one there is, the one that Sentinels name, or one of a Cluster."""

import asyncio
import time
from typing import Any, Protocol

from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.crc import REDIS_CLUSTER_HASH_SLOTS
from redis.exceptions import ConnectionError, RedisError, ResponseError

from handful.storage.redis.pool import CONNECT_SECONDS, LostError, NotSentError, Pool, must_be_primary
from handful.storage.redis.urls import Address, Host

_ASK_SECONDS = 1.0  # so long a replaced primary may get writes, where no replica must confirm them
_FRESH_SECONDS = 0.2  # a map of the slots that is younger is not asked for again


class Nodes(Protocol):
    """Raises NotSentError where no server can be found."""

    async def of(self, slot: int | None) -> Pool:
        """The server of a slot; of any keys, or no keys, for None."""
        ...

    async def at(self, host: Host) -> Pool:
        """The server that a redirection names."""
        ...

    async def all(self) -> list[Pool]:
        """All that hold keys."""
        ...

    async def doubt(self, pool: Pool) -> None:
        """Its server failed, or is not what it was."""
        ...

    def moved(self, slot: int, host: Host) -> None:
        """A server said so."""
        ...

    async def close(self) -> None: ...


class Single:
    def __init__(self, address: Address) -> None:
        self._pool = Pool(address.hosts[0], address)

    async def of(self, slot: int | None) -> Pool:
        return self._pool

    async def at(self, host: Host) -> Pool:
        return self._pool

    async def all(self) -> list[Pool]:
        return [self._pool]

    async def doubt(self, pool: Pool) -> None:
        """There is no other."""

    def moved(self, slot: int, host: Host) -> None:
        """`check` refuses a node of a Cluster as the only server."""

    async def close(self) -> None:
        await self._pool.close()


class Sentinels:
    """The primary of a service; asked for again when it fails or takes no writes, and now and then.

    A primary that was replaced takes writes until it hears of it, which may be ten seconds later; they are
    lost. So long as it is in use, Sentinels are asked in the background, too.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        options: dict[str, Any] = {  # redis-py's
            "username": address.sentinel_username,
            "password": address.sentinel_password,
            "socket_timeout": CONNECT_SECONDS,
            "socket_connect_timeout": CONNECT_SECONDS,
            "retry": Retry(NoBackoff(), 0),  # the next Sentinel is the second try
            **({"ssl": True, **address.tls} if address.tls is not None else {}),
        }
        self._sentinel = Sentinel(  # type: ignore[no-untyped-call]  # redis-py says no types here
            list(address.hosts), sentinel_kwargs=options
        )
        self._pool: Pool | None = None
        self._asking = asyncio.Lock()
        self._asked = 0.0
        self._background: asyncio.Task[None] | None = None

    async def of(self, slot: int | None) -> Pool:
        if self._pool is None:
            async with self._asking:
                if self._pool is None:  # else another task was faster
                    await self._take(await self._named())
                assert self._pool is not None
                return self._pool
        if time.monotonic() - self._asked > _ASK_SECONDS and self._background is None:
            self._background = asyncio.create_task(self._ask())
        return self._pool

    async def at(self, host: Host) -> Pool:
        return await self.of(None)

    async def all(self) -> list[Pool]:
        return [await self.of(None)]

    async def doubt(self, pool: Pool) -> None:
        if self._pool is pool:
            self._pool = None
            await pool.close()

    def moved(self, slot: int, host: Host) -> None:
        """`check` refuses a node of a Cluster behind Sentinels."""

    async def close(self) -> None:
        if self._background is not None:
            self._background.cancel()
            await asyncio.wait([self._background])
        if self._pool is not None:
            await self._pool.close()
        await self._sentinel.aclose()

    async def _ask(self) -> None:
        try:
            async with self._asking:
                await self._take(await self._named())
        except NotSentError:  # while no Sentinel answers, nobody replaces the primary
            self._asked = time.monotonic()
        finally:
            self._background = None

    async def _named(self) -> Host:
        try:
            name, port = await self._sentinel.discover_master(self._address.service)
        except (RedisError, OSError) as exc:  # redis-py's words tell its objects
            named = f"none of these Sentinels names a primary of {self._address.service!r}"
            raise NotSentError(ConnectionError(named)) from exc
        return name, port

    async def _take(self, host: Host) -> None:
        old, self._asked = self._pool, time.monotonic()
        if old is None or old.host != host:
            self._pool = Pool(host, self._address, greet=must_be_primary)
            if old is not None:
                await old.close()


class Cluster:
    """The primaries of a Cluster, by its map of slots."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._hosts: list[Host | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        self._pools: dict[Host, Pool] = {}
        self._asking = asyncio.Lock()
        self._asked = float("-inf")
        self._stale = True
        self._told_by: list[Host] = []

    async def of(self, slot: int | None) -> Pool:
        await self._fresh()
        host = self._hosts[slot] if slot is not None else next(filter(None, self._hosts))
        if host is None:
            self._ask_again()
            raise NotSentError(ConnectionError(f"no server of the Cluster holds slot {slot}"))
        return self._pool_of(host)

    async def at(self, host: Host) -> Pool:
        return self._pool_of(host)

    async def all(self) -> list[Pool]:
        await self._fresh()
        return [self._pool_of(host) for host in sorted({host for host in self._hosts if host})]

    async def doubt(self, pool: Pool) -> None:
        self._ask_again()

    def moved(self, slot: int, host: Host) -> None:
        self._hosts[slot] = host
        self._ask_again()

    async def close(self) -> None:
        for pool in self._pools.values():
            await pool.close()

    def _ask_again(self) -> None:
        self._stale = self._stale or time.monotonic() - self._asked > _FRESH_SECONDS

    def _pool_of(self, host: Host) -> Pool:
        if host not in self._pools:
            self._pools[host] = Pool(host, self._address)
        return self._pools[host]

    async def _fresh(self) -> None:
        """Ask for the map of slots where it is in doubt: who told it last, who is in it, then the URL."""
        if not self._stale:
            return
        async with self._asking:
            if not self._stale:  # another task was faster
                return
            failure: BaseException = ConnectionError("no server of the Cluster answers")
            for host in dict.fromkeys([*self._told_by, *self._pools, *self._address.hosts]):
                try:
                    (reply,) = await self._pool_of(host).exchange([("CLUSTER", "SLOTS")])
                except (NotSentError, LostError) as exc:
                    failure = exc.cause
                    continue
                if isinstance(reply, ResponseError):
                    failure = reply
                elif reply:
                    self._told_by = [host]
                    await self._take(reply, host)
                    return
            raise NotSentError(failure)

    async def _take(self, ranges: list[Any], asked: Host) -> None:
        """A range is [first, last, [host, port, …] of the primary, … of a replica]."""
        hosts: list[Host | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        for first, last, (name, port, *_), *_ in ranges:
            # a server that does not know its own name leaves it to those who reached it
            host = (name.decode() if name and name != b"?" else asked[0], int(port))
            hosts[first : last + 1] = [host] * (last + 1 - first)
        self._hosts, self._asked, self._stale = hosts, time.monotonic(), False
        gone = self._pools.keys() - set(hosts)
        for pool in [self._pools.pop(host) for host in gone]:
            await pool.close()


def nodes_of(address: Address) -> Nodes:
    if address.kind == "sentinel":
        return Sentinels(address)
    return Cluster(address) if address.kind == "cluster" else Single(address)
