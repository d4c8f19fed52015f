"""A few connections to one Redis server, and one trip over one of them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import hiredis
from redis.asyncio.connection import Connection as Wire
from redis.asyncio.connection import SSLConnection
from redis.exceptions import AuthenticationError, BusyLoadingError, ConnectionError, RedisError, ResponseError
from redis.exceptions import TimeoutError as SlowError

from handful.storage.redis.urls import Address, Host

Command = tuple[str | bytes | int | float, ...]

CONNECT_SECONDS = 1.0  # a handshake in a data centre takes milliseconds; longer means: away
ANSWER_SECONDS = 5.0  # Redis stalls for up to two seconds where a slow disk holds up its fsync
WAIT_SECONDS = 2.5  # for a free connection
MOST = 32  # connections to a server: a process with one event loop rarely fills ten


class NotSentError(Exception):
    """No connection could be had: nothing was executed."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(str(cause))
        self.cause = cause


class LostError(Exception):
    """The connection was lost, or slow, after something was sent: it may have been executed."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(str(cause))
        self.cause = cause


class Pool:
    """Connections to one server; callers beyond `MOST` wait for their turn.

    greet : called with each new connection; raises a RedisError where the server is not the right one.
    """

    def __init__(
        self, host: Host, address: Address, *, greet: Callable[[Wire], Awaitable[None]] | None = None
    ) -> None:
        self.host = host
        self._address = address
        self._greet = greet
        self._idle: list[Wire] = []
        self._room = asyncio.Semaphore(MOST)
        self._closed = False

    async def exchange(self, commands: Sequence[Command]) -> list[Any]:
        """One trip. What Redis refuses is answered as a ResponseError in its place.

        Raises NotSentError or LostError.
        """
        async with self._connection() as wire:
            replies: list[Any] = []
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    packed = b"".join(map(_packed, commands))
                    await wire.send_packed_command(packed, check_health=False)
                    for _ in commands:
                        replies.append(await _reply(wire))
            except TimeoutError as exc:
                await wire.disconnect(nowait=True)
                raise LostError(SlowError(f"no answer within {ANSWER_SECONDS} s")) from exc
            except (BusyLoadingError, AuthenticationError) as exc:  # redis-py hangs up on these
                raise (LostError if replies else NotSentError)(exc) from exc
            except (RedisError, OSError) as exc:
                raise LostError(exc) from exc
            return replies

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Wire]:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._room.acquire()
        except TimeoutError:
            busy = RedisError(f"all {MOST} connections were busy for {WAIT_SECONDS} s")
            raise NotSentError(busy) from None
        wire = self._idle.pop() if self._idle else _wire(self.host, self._address)
        try:
            await self._connected(wire)
            yield wire
        finally:  # without an await before it is back, so that no cancellation loses one
            self._idle.append(wire)
            self._room.release()
            if self._closed:
                await self.close()

    async def _connected(self, wire: Wire) -> None:
        try:
            if wire.is_connected and not await wire.can_read():  # else closed by the server, or out of step
                return
            await wire.disconnect(nowait=True)
            async with asyncio.timeout(CONNECT_SECONDS):
                await wire.connect()  # type: ignore[no-untyped-call]  # redis-py says no types here
                if self._greet is not None:
                    await self._greet(wire)
        except TimeoutError as exc:
            await wire.disconnect(nowait=True)
            raise NotSentError(SlowError(f"no connection within {CONNECT_SECONDS} s")) from exc
        except (RedisError, OSError) as exc:
            await wire.disconnect(nowait=True)
            raise NotSentError(exc) from exc

    async def close(self) -> None:
        """Connections that are in use are closed when they come back."""
        self._closed = True
        while self._idle:
            await self._idle.pop().disconnect()


def _packed(command: Command) -> bytes:
    packed: bytes = hiredis.pack_command(command)  # type: ignore[arg-type]  # says 1-tuple, means any
    return packed


async def _reply(wire: Wire) -> Any:
    try:
        return await wire.read_response()
    except ResponseError as exc:
        return exc


async def must_be_primary(wire: Wire) -> None:
    """For `greet`: Sentinels may name a server that was demoted a moment ago."""
    await wire.send_command("ROLE", check_health=False)
    role = await wire.read_response()
    if role[0] != b"master":
        raise ConnectionError("it is a replica now")


def _wire(host: Host, address: Address) -> Wire:
    """Not connected yet; TCP keepalive, of redis-py's own intervals, finds out what vanished silently."""
    options: dict[str, Any] = {  # redis-py's
        "host": host[0],
        "port": host[1],
        "db": address.database,
        "username": address.username,
        "password": address.password,
        "protocol": 2,  # plain replies, one round trip less to connect
        "socket_timeout": None,  # Pool has its own; redis-py's may swallow a cancellation on Python 3.11
        "socket_connect_timeout": CONNECT_SECONDS,
    }
    if address.tls is None:
        return Wire(**options)
    return SSLConnection(**options, **address.tls)
