"""One writer for all of a process: what waits goes into one commit, and nobody suffers for another."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from handful.errors import StorageError
from handful.storage.sqlite import schema
from handful.storage.sqlite.writer import Writer

pytestmark = pytest.mark.anyio


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(schema, "_PATIENCE", 0.05)
    schema.migrate(tmp_path / "store.sqlite")
    return tmp_path / "store.sqlite"


@pytest.fixture
async def writer(file: Path, anyio_backend: str) -> AsyncIterator[Writer]:
    writing = Writer(file, idle=lambda disk: False)
    yield writing
    await writing.close()


def bury(number: int) -> Callable[[sqlite3.Connection], Any]:
    """A small write that may be made once."""
    return lambda disk: disk.execute("INSERT INTO graves (classifier) VALUES (?)", (number,))


def graves(file: Path) -> list[int]:
    disk = sqlite3.connect(file)
    found = [number for (number,) in disk.execute("SELECT classifier FROM graves ORDER BY classifier")]
    disk.close()
    return found


async def together(
    writer: Writer, *works: Callable[[sqlite3.Connection], Any]
) -> tuple[list[Any], list[str]]:
    """Outcomes of operations that wait at the same time; what SQLite was told from the first of them on."""
    said: list[str] = []
    go = threading.Event()

    def hold(disk: sqlite3.Connection) -> None:
        go.wait()
        disk.set_trace_callback(said.append)

    held = asyncio.ensure_future(writer(hold))
    waiting = [asyncio.ensure_future(writer(work)) for work in works]
    await asyncio.sleep(0)  # all of them are in the queue
    go.set()
    await held
    return await asyncio.gather(*waiting, return_exceptions=True), said


async def test_operations_that_wait_together_share_a_commit(writer: Writer, file: Path) -> None:
    _, said = await together(writer, *(bury(number) for number in range(50)))
    assert graves(file) == list(range(50))
    assert 1 <= said.count("COMMIT") <= 2  # the operation that held them up may have one of its own


async def test_what_an_operation_raises_undoes_it_alone(writer: Writer, file: Path) -> None:
    def fails(disk: sqlite3.Connection) -> None:
        bury(2)(disk)
        raise LookupError("not this one")

    outcomes, _ = await together(writer, bury(1), fails, bury(3))
    assert isinstance(outcomes[1], LookupError)
    assert graves(file) == [1, 3]


async def test_an_operation_that_the_database_refuses_takes_no_other_with_it(
    writer: Writer, file: Path
) -> None:
    outcomes, _ = await together(writer, bury(1), bury(2), bury(1), bury(3))
    assert [isinstance(one, StorageError) for one in outcomes] == [False, False, True, False]
    assert graves(file) == [1, 2, 3]


async def test_no_one_waits_for_ever_whatever_an_operation_raises(writer: Writer, file: Path) -> None:
    class OutOfTheOrdinary(BaseException):
        pass

    def fails(disk: sqlite3.Connection) -> None:
        bury(2)(disk)
        raise OutOfTheOrdinary

    with pytest.raises(OutOfTheOrdinary):
        await writer(fails)
    await writer(bury(3))
    assert graves(file) == [3]


async def test_while_another_process_writes_all_that_wait_are_told_at_once(
    writer: Writer, file: Path
) -> None:
    other = sqlite3.connect(file, isolation_level=None)
    said: list[str] = []
    await writer(lambda disk: disk.set_trace_callback(said.append))
    other.execute("BEGIN IMMEDIATE")
    waiting = [asyncio.ensure_future(writer(bury(number))) for number in range(20)]
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    other.execute("ROLLBACK")
    other.close()
    assert all(isinstance(one, StorageError) and "try again" in str(one) for one in outcomes)
    assert said.count("BEGIN IMMEDIATE") < 5  # not once for each, since each waits for long
    await writer(bury(1))
    assert graves(file) == [1]


async def test_a_write_goes_on_when_nobody_waits_for_it_any_more(writer: Writer, file: Path) -> None:
    waiting = asyncio.ensure_future(writer(bury(1)))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await writer(bury(2))
    assert graves(file) == [1, 2]


async def test_closing_finishes_what_waits_and_takes_no_more(file: Path, anyio_backend: str) -> None:
    writer = Writer(file, idle=lambda disk: False)
    waiting = [asyncio.ensure_future(writer(bury(number))) for number in range(20)]
    await asyncio.sleep(0)
    closing = asyncio.ensure_future(writer.close())
    await asyncio.sleep(0)
    with pytest.raises(StorageError, match="closed"):
        await writer(bury(99))
    await closing
    await asyncio.gather(*waiting)
    assert graves(file) == list(range(20))


async def test_upkeep_gets_its_turn_while_writes_keep_coming(file: Path, anyio_backend: str) -> None:
    turns: list[int] = []

    def idle(disk: sqlite3.Connection) -> bool:
        turns.append(1)
        return True

    writer = Writer(file, idle=idle)
    number = 0
    while len(turns) < 3:
        await writer(bury(number := number + 1))
    await writer.close()
    assert graves(file) == list(range(1, number + 1))
