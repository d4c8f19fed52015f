"""A write: checks, then commands. On one server all of it is done at once; on a Cluster, slot after slot."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from handful.errors import HandfulError, StorageError
from handful.storage.redis.connection import Connection
from handful.storage.redis.failures import UnconfirmedError
from handful.storage.redis.layout import TRASH, TRASH_COUNT, slot_tag

Argument = bytes | str | int

_MOST = 1000  # arguments of a command that may have any number: Lua's stack holds some thousands


class When(IntEnum):
    """On a Cluster: before the truth, with it, or after it. On one server all are together."""

    BEFORE = 0
    WITH = 1
    AFTER = 2


@dataclass(slots=True, kw_only=True)
class Check:
    """kind : of commit.lua.    refused : what it found → the error to raise."""

    key: str
    kind: str
    args: tuple[Argument, ...]
    when: When
    refused: Callable[[bytes], Exception]


@dataclass(slots=True, kw_only=True)
class _Command:
    key: str
    name: str
    args: tuple[Argument, ...]
    keys: tuple[str, ...]  # further ones, that its first arguments are the numbers of
    when: When


@dataclass(slots=True)
class Commit:
    """Is filled, then run, once."""

    checks: list[Check] = field(default_factory=list)
    _commands: list[_Command] = field(default_factory=list)
    _undoing: list[_Command] = field(default_factory=list)

    def check(
        self,
        key: str,
        kind: str,
        *args: Argument,
        refused: Callable[[bytes], Exception],
        when: When = When.WITH,
    ) -> Check:
        """Nothing is written unless it holds."""
        check = Check(key=key, kind=kind, args=args, when=when, refused=refused)
        self.checks.append(check)
        return check

    def do(self, key: str, name: str, *args: Argument, when: When = When.WITH) -> None:
        """A command of Redis whose only key comes first."""
        self._commands.append(_Command(key=key, name=name, args=args, keys=(), when=when))

    def do_many(
        self, key: str, name: str, args: Sequence[Argument], *, of: int = 1, when: When = When.WITH
    ) -> None:
        """A command of any number of arguments.    of : so many belong together."""
        step = _MOST // of * of
        for start in range(0, len(args), step):
            self.do(key, name, *args[start : start + step], when=when)

    def undo(self, key: str, name: str, *args: Argument) -> None:
        """What takes back a command of BEFORE where the truth could not be written."""
        self._undoing.append(_Command(key=key, name=name, args=args, keys=(), when=When.BEFORE))

    def edit_page(
        self, key: str, names: str | None, page: bytes, first: int, edits: Sequence[Argument]
    ) -> None:
        """names : key of the index of names.    edits : place, name and rest of each class; b"" drops it."""
        further = () if names is None else (names,)
        args: list[Argument] = [page, 0, first, *edits]
        self._commands.append(_Command(key=key, name="PAGE", args=tuple(args), keys=further, when=When.WITH))

    def trash(self, names: Sequence[str]) -> None:
        """Blobs that nothing names any more."""
        for start in range(0, len(names), _MOST):
            args: tuple[Argument, ...] = (0, *names[start : start + _MOST])
            self._commands.append(
                _Command(key=TRASH, name="TRASH", args=args, keys=(TRASH_COUNT,), when=When.AFTER)
            )

    async def run(self, connection: Connection) -> None:
        """Raises what the first check that does not hold says, and then has written nothing.

        Raises StorageError; UnconfirmedError where it is not known whether the truth was written.
        """
        if not connection.clustered:
            await _run(connection, self.checks, self._commands)
            return
        done: list[str] = []
        for when in When:
            checks = [check for check in self.checks if check.when is when]
            commands = [command for command in self._commands if command.when is when]
            keys = [*(check.key for check in checks), *(command.key for command in commands)]
            tags = list(dict.fromkeys(map(slot_tag, keys)))
            runs = (
                _run(
                    connection,
                    [check for check in checks if slot_tag(check.key) == tag],
                    [command for command in commands if slot_tag(command.key) == tag],
                )
                for tag in tags
            )
            outcomes = await asyncio.gather(*runs, return_exceptions=True)
            failures = [outcome for outcome in outcomes if outcome is not None]
            if when is When.BEFORE:
                done = [tag for tag, outcome in zip(tags, outcomes, strict=True) if outcome is None]
            if failures:
                unknown = when is When.WITH and any(isinstance(one, UnconfirmedError) for one in failures)
                if when is not When.AFTER and not unknown:
                    await self._take_back(connection, done)
                raise _first(failures)

    async def _take_back(self, connection: Connection, tags: Iterable[str]) -> None:
        for tag in tags:
            commands = [command for command in self._undoing if slot_tag(command.key) == tag]
            if commands:
                with suppress(StorageError):  # what is left over is said so by `handful gc`
                    await _run(connection, [], commands)


async def _run(connection: Connection, checks: Sequence[Check], commands: Sequence[_Command]) -> None:
    keys: dict[str, int] = {}

    def number(key: str) -> int:
        return keys.setdefault(key, len(keys) + 1)

    args: list[Argument] = [len(checks)]
    for check in checks:
        args += (check.kind, number(check.key), len(check.args), *check.args)
    args.append(len(commands))
    for command in commands:
        own: Sequence[Argument] = command.args
        if command.keys:
            at = 1 if command.name == "PAGE" else 0
            own = (*own[:at], number(command.keys[0]), *own[at + 1 :])
        args += (command.name, number(command.key), len(own), *own)
    answer: list[Any] | None = await connection.script(list(keys), args)
    if answer is not None:
        place, found = answer
        raise checks[int(place) - 1].refused(found)


def _first(failures: Sequence[BaseException]) -> BaseException:
    """A refusal says more than a server that is away."""
    for one in failures:
        if isinstance(one, HandfulError) and not isinstance(one, StorageError):
            return one
    return failures[0]
