"""What tenants hold, counted with each change."""

from collections.abc import Callable

from handful.storage.records import COUNTED, Usage
from handful.storage.redis.commit import Commit, When
from handful.storage.redis.connection import Connection
from handful.storage.redis.layout import usage_key
from handful.storage.store import Change, over_limit


async def read_usage(connection: Connection, tenant: str) -> Usage:
    """One trip."""
    (values,) = await connection.pipe(("HMGET", usage_key(tenant), *COUNTED))
    return Usage(**{name: int(value or 0) for name, value in zip(COUNTED, values, strict=True)})


def count(commit: Commit, tenant: str, change: Change) -> None:
    """What grows is counted before, so that no limit is passed; what only shrinks, after."""
    grown = {name: getattr(change.grown, name) for name in COUNTED}
    when = When.BEFORE if any(number > 0 for number in grown.values()) else When.AFTER
    key = usage_key(tenant)
    for name, number in grown.items():
        if number > 0 and change.limits is not None:
            most = getattr(change.limits, name)
            commit.check(key, "room", name, number, int(most), refused=_refused(name, most), when=When.BEFORE)
    for name, number in grown.items():
        if number:
            commit.do(key, "HINCRBY", name, number, when=when)
            if when is When.BEFORE:
                commit.undo(key, "HINCRBY", name, -number)


def _refused(name: str, most: int) -> Callable[[bytes], Exception]:
    return lambda found: over_limit(name, int(found), most)
