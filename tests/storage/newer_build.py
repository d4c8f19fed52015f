"""A build that does not exist yet: records have a field more, SQLite a column and a table more.

Run by a process of its own before anything of Handful is used:

newer_build.become_newer()
"""

from collections.abc import Callable
from typing import Any

from handful.storage.redis import codec as packed
from handful.storage.sqlite import codec as lines
from handful.storage.sqlite import schema

LATER = (
    "ALTER TABLE shots ADD COLUMN colour TEXT; ALTER TABLE classifiers ADD COLUMN colour TEXT;"
    "CREATE TABLE colours (name TEXT PRIMARY KEY)"
)


def become_newer() -> None:
    """From now on this process writes what this build does not know."""
    for kept in (packed.CLASSIFIER, packed.CLASS, packed.SHOT, packed.HEAD, packed.JOB, packed.KEY):
        kept.values = _with_more(kept.values)  # type: ignore[method-assign]
    for line in (lines.CLASSIFIER, lines.CLASS, lines.SHOT, lines.HEAD, lines.JOB, lines.KEY):
        line.write = _with_member(line.write)  # type: ignore[method-assign]
    schema._MIGRATIONS = (*schema._MIGRATIONS, LATER)  # type: ignore[assignment]
    schema.VERSION = len(schema._MIGRATIONS)


def become_another_format() -> None:
    """From now on this process writes a format that this build cannot read."""
    packed.VERSION = 2


def _with_more(values: Callable[[Any], list[Any]]) -> Callable[[Any], list[Any]]:
    return lambda record: [*values(record), {"colour": "blue"}]


def _with_member(write: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
    return lambda record: write(record)[:-1] + b',"colour":"blue"}'
