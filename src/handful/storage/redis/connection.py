"""One connection to a Redis of any shape: reads in one trip, writes by one script."""

import asyncio
import hashlib
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from redis.backoff import ExponentialWithJitterBackoff
from redis.crc import key_slot
from redis.exceptions import AskError, MovedError, NoScriptError, RedisError, ResponseError

from handful.errors import StorageError
from handful.storage.redis.checks import check_server
from handful.storage.redis.failures import UnconfirmedError, as_storage_error, is_final, passes
from handful.storage.redis.nodes import nodes_of
from handful.storage.redis.pool import Command, LostError, NotSentError, Pool
from handful.storage.redis.urls import Host, parse, shown

PATIENCE_SECONDS = 2.5  # a restart on a small file; longer than that, callers rather hear of it
WAIT_MILLISECONDS = 1000  # replicas of one data centre confirm in one
_BACKOFF = ExponentialWithJitterBackoff(base=0.01, cap=0.3)

_KEY_AT = {"EVAL": 3, "EVALSHA": 3, "MEMORY": 2, "OBJECT": 2}  # in others it comes first
_KEYLESS = {"CLUSTER", "CONFIG", "DBSIZE", "INFO", "PING", "ROLE", "SCRIPT", "TIME", "WAIT"}


@dataclass(slots=True, kw_only=True, eq=False)
class _Request:
    """Commands for one slot that are sent together.    again : they may be executed twice."""

    commands: list[Command]
    slot: int | None
    again: bool
    script: bool = False
    load: bool = False
    asking: Host | None = None
    replies: list[Any] | None = None
    trouble: BaseException | None = None


class Connection:
    """One per process and event loop. Connects when it is first used, and again, with back-off.

    url : see urls.parse.    wait_replicas : so many must confirm a script's writes.
    script : the Lua of `script`, commit.lua of this folder unless given.
    clustered : whether keys of several hash tags may lie on several servers.
    trips : round trips so far; those that are made at once, to servers of a Cluster, count one each.

    Raises StorageError for a malformed URL. No error shows a password.
    """

    def __init__(self, url: str, *, wait_replicas: int = 0, script: bytes | None = None) -> None:
        self._address = parse(url)
        self._nodes = nodes_of(self._address)
        self._wait_replicas = wait_replicas
        self._script = script or files("handful.storage.redis").joinpath("commit.lua").read_bytes()
        self._digest = hashlib.sha1(self._script, usedforsecurity=False).hexdigest()
        self.clustered = self._address.kind == "cluster"
        self.trips = 0

    async def check(self) -> None:
        """Raises StorageError where it cannot be used, or would lose what it is given."""
        await self.pipe(("PING",))  # with patience: it may be starting, too
        try:
            for pool in await self._nodes.all():
                (reply,) = await self._exchange(pool, [("INFO", "everything")])
                if isinstance(reply, RedisError):
                    raise as_storage_error(shown(pool.host), reply)
                check_server(shown(pool.host), reply, clustered=self.clustered)
        except (NotSentError, LostError) as exc:
            raise as_storage_error(str(self._address), exc.cause) from exc

    async def pipe(self, *commands: Command) -> list[Any]:
        """The replies, in order, as Redis sends them (RESP 2: bytes, int, None, lists). One trip.

        For reads, and for writes that may be done twice: what was lost is sent again.
        A command's keys come first in it, and share a hash tag. Raises StorageError for the first that fails.
        """
        requests = [_Request(commands=[one], slot=self._slot(one), again=True) for one in commands]
        await self._answer(requests)
        return [request.replies[0] for request in requests if request.replies is not None]

    async def script(self, keys: Sequence[str], args: Sequence[bytes | str | int]) -> Any:
        """What the script answers, once as many replicas as wanted have its writes. One trip.

        keys : of one hash tag.
        Raises UnconfirmedError where it may have been executed, or not; then it is not sent again.
        Raises StorageError, or StorageFullError, where nothing was executed.
        """
        slot = key_slot(keys[0].encode()) if self.clustered else None
        commands: list[Command] = [("EVALSHA", self._digest, len(keys), *keys, *args)]
        if self._wait_replicas:
            commands.append(("WAIT", self._wait_replicas, WAIT_MILLISECONDS))
        request = _Request(commands=commands, slot=slot, again=False, script=True)
        await self._answer([request])
        reply, *confirmed = request.replies or [None]
        if confirmed and (isinstance(confirmed[0], RedisError) or confirmed[0] < self._wait_replicas):
            raise UnconfirmedError(
                f"the Redis at {self._address} has the write, but of {self._wait_replicas} replicas that "
                f"should confirm it these did within {WAIT_MILLISECONDS} ms: {confirmed[0]}; look at them"
            )
        return reply

    async def close(self) -> None:
        await self._nodes.close()

    def _slot(self, command: Command) -> int | None:
        name = str(command[0]).upper()
        if not self.clustered or name in _KEYLESS:
            return None
        key = command[_KEY_AT.get(name, 1)]
        return key_slot(key if isinstance(key, bytes) else str(key).encode())

    async def _answer(self, requests: list[_Request]) -> None:
        """Send, and send again what was refused for the moment, until each has its replies."""
        give_up = time.monotonic() + PATIENCE_SECONDS
        pending, tries = requests, 0
        while pending:
            if tries:
                # the first redirection, or reload of the script, is followed at once
                at_once = tries == 1 and all(_is_redirected(request) for request in pending)
                await asyncio.sleep(0 if at_once else _BACKOFF.compute(tries))
            await self._round(pending)
            pending = [request for request in pending if request.replies is None]
            for request in pending:
                if not _may_pass(request) or time.monotonic() > give_up:
                    raise self._failure(request)
            tries += 1

    async def _round(self, requests: list[_Request]) -> None:
        by_pool: dict[Pool, list[_Request]] = defaultdict(list)
        for request in requests:
            try:
                if request.asking is not None:
                    by_pool[await self._nodes.at(request.asking)].append(request)
                else:
                    by_pool[await self._nodes.of(request.slot)].append(request)
            except NotSentError as exc:
                request.trouble = exc
        if len(by_pool) == 1:
            ((pool, together),) = by_pool.items()
            await self._trip(pool, together)
        else:
            async with asyncio.TaskGroup() as group:
                for pool, together in by_pool.items():
                    group.create_task(self._trip(pool, together))

    async def _trip(self, pool: Pool, requests: list[_Request]) -> None:
        commands: list[Command] = []
        for request in requests:
            if request.load:
                commands.append(("SCRIPT", "LOAD", self._script))
            for command in request.commands:
                if request.asking is not None and command[0] != "WAIT":
                    commands.append(("ASKING",))
                commands.append(command)
        try:
            replies = iter(await self._exchange(pool, commands))
        except (NotSentError, LostError) as exc:
            await self._nodes.doubt(pool)
            for request in requests:
                request.trouble, request.asking = exc, None
            return
        for request in requests:
            taken = []
            if request.load:
                next(replies)
            for command in request.commands:
                if request.asking is not None and command[0] != "WAIT":
                    next(replies)
                taken.append(next(replies))
            await self._take(pool, request, taken)

    async def _take(self, pool: Pool, request: _Request, replies: list[Any]) -> None:
        request.asking, request.load, request.trouble = None, False, None
        first = replies[0]
        if not isinstance(first, ResponseError):
            request.replies = replies
            return
        request.trouble = first
        if isinstance(first, NoScriptError):
            request.load = True
        elif isinstance(first, AskError):
            host = (first.host or pool.host[0], first.port)
            if isinstance(first, MovedError):
                self._nodes.moved(first.slot_id, host)
            else:
                request.asking = host
        elif passes(first):
            await self._nodes.doubt(pool)

    async def _exchange(self, pool: Pool, commands: list[Command]) -> list[Any]:
        self.trips += 1
        return await pool.exchange(commands)

    def _failure(self, request: _Request) -> StorageError:
        trouble = request.trouble
        assert trouble is not None
        cause = trouble.cause if isinstance(trouble, NotSentError | LostError) else trouble
        told = as_storage_error(str(self._address), cause)
        if isinstance(trouble, LostError) and not request.again:
            told = UnconfirmedError(f"{told} (what was to be written may be, or not)")
        told.__cause__ = cause
        return told


def _is_redirected(request: _Request) -> bool:
    return request.load or isinstance(request.trouble, AskError)


def _may_pass(request: _Request) -> bool:
    trouble = request.trouble
    if isinstance(trouble, NotSentError):
        return not is_final(trouble.cause)
    if isinstance(trouble, LostError):
        return request.again
    return isinstance(trouble, ResponseError) and (_is_redirected(request) or passes(trouble))
