"""What an archive holds, as its reader found it."""

from collections.abc import Callable
from dataclasses import dataclass

from handful.sources import printable

ReadMember = Callable[[], bytes | str]  # the bytes, or what is wrong with them


@dataclass(frozen=True, slots=True)
class Member:
    """A plain file in an archive.    size : as the archive claims.    read : at once, or never."""

    name: str
    size: int
    read: ReadMember


def shown(name: str) -> str:
    """An entry's name in messages."""
    return f"the entry {printable(name)!r}"
