"""What a crash may leave where keys lie on several servers: counts and lists that tell of no classifier."""

import asyncio
from dataclasses import dataclass

from handful.storage.records import COUNTED, Repairs, Usage
from handful.storage.redis.commit import Commit, When
from handful.storage.redis.connection import Connection
from handful.storage.redis.layout import RECORD, classifier_key, ids_key, usage_key
from handful.storage.redis.pool import Command
from handful.storage.redis.support import record_of
from handful.storage.redis.usage import read_usage
from handful.storage.store import ChangedMeanwhileError

_SETTLED = 5.0  # seconds, in which every write that was under way is over, or has failed
_PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """before, after : what the tenant's count said.    sum : what its classifiers hold.

    dangling : names in its list that are no classifiers.
    """

    before: Usage
    after: Usage
    sum: Usage
    dangling: frozenset[str]

    @property
    def off(self) -> Usage:
        """How much the count is over."""
        return self.after - self.sum


async def repair(connection: Connection, tenant: str, *, write: bool) -> Repairs:
    """As `Store.repair`.

    What two looks find that are some seconds apart, with no write between them, is no write under way.
    """
    first = await _look(connection, tenant)
    if first.off == Usage() and not first.dangling:
        return Repairs()
    await asyncio.sleep(_SETTLED)
    second = await _look(connection, tenant)
    dangling = sorted(first.dangling & second.dangling)
    still = first.before == first.after == second.before == second.after and first.off == second.off
    over = second.off if still else Usage()
    if write:
        for id in dangling:
            await _unlist(connection, tenant, id)
        grown = {name: -getattr(over, name) for name in COUNTED if getattr(over, name)}
        if grown:
            commands: list[Command] = [
                ("HINCRBY", usage_key(tenant), name, number) for name, number in grown.items()
            ]
            await connection.pipe(*commands)
    return Repairs(dangling=len(dangling), over=over)


async def _look(connection: Connection, tenant: str) -> _Look:
    before = await read_usage(connection, tenant)
    total = Usage()
    dangling: set[str] = set()
    after = "-"
    while True:
        (names,) = await connection.pipe(("ZRANGEBYLEX", ids_key(tenant), after, "+", "LIMIT", 0, _PAGE))
        if not names:
            break
        ids = [name.decode() for name in names]
        reads: list[Command] = [("HGET", classifier_key(tenant, id), RECORD) for id in ids]
        for id, value in zip(ids, await connection.pipe(*reads), strict=True):
            if value is None:
                dangling.add(id)
            else:
                total = total + record_of(tenant, id, value).usage
        after = f"({ids[-1]}"
    return _Look(
        before=before,
        after=await read_usage(connection, tenant),
        sum=total,
        dangling=frozenset(dangling),
    )


async def _unlist(connection: Connection, tenant: str, id: str) -> None:
    """Take a name from the list, unless its classifier is there by now."""
    key = classifier_key(tenant, id)

    def made(_: bytes) -> Exception:
        return ChangedMeanwhileError(f"classifier {id} was made meanwhile")

    commit = Commit()
    commit.check(key, "absent", RECORD, refused=made)
    commit.do(ids_key(tenant), "ZREM", id, when=When.AFTER)
    try:
        await commit.run(connection)
    except ChangedMeanwhileError:
        return
    (found,) = await connection.pipe(("HEXISTS", key, RECORD))
    if found:  # made between check and removal, which on a Cluster are two steps
        await connection.pipe(("ZADD", ids_key(tenant), 0, id))
