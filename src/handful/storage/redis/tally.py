"""Counts that all processes of a Redis share."""

from collections.abc import Mapping
from datetime import timedelta

from handful.storage.redis.connection import Connection
from handful.storage.redis.layout import count_key
from handful.storage.redis.pool import Command


async def tally(
    connection: Connection, more: Mapping[tuple[str, str], int], *, keep: timedelta
) -> dict[tuple[str, str], int]:
    """As `Store.tally`, in one trip. What got lost on its way back is added twice."""
    commands: list[Command] = []
    for (tenant, name), number in more.items():
        key = count_key(tenant, name)
        if number:
            commands += [("INCRBY", key, number), ("PEXPIRE", key, round(1000 * keep.total_seconds()))]
        else:
            commands.append(("GET", key))
    answers = iter(await connection.pipe(*commands))
    sums = {}
    for counted, number in more.items():
        sums[counted] = int(next(answers) or 0)
        if number:
            next(answers)
    return sums
