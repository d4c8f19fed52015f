"""The one writer of a process: what waits is written together, and reaches the disk once."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic
from typing import Any, TypeVar

from anyio import to_thread

from handful.errors import StorageError
from handful.storage.sqlite.failures import as_storage_error
from handful.storage.sqlite.schema import connect

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

_TOGETHER = 256  # operations of a transaction, at most
_BREATH = 0.03  # seconds between chunks of upkeep, in which other processes, which poll, get their turn


@dataclass(frozen=True, slots=True)
class _Waiting:
    work: Work[Any]  # Any: each operation has its own result
    done: asyncio.Future[Any]


class Writer:
    """A thread with the writing connection. Each operation is atomic; many share a commit.

    idle : a chunk of upkeep, done between writes; says whether there is more.
    """

    def __init__(self, file: Path, *, idle: Work[bool]) -> None:
        self._file = file
        self._idle = idle
        self._queue: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._disk = connect(file, writes=True)
        self._closed = False
        self._thread = Thread(target=self._run, name="handful-store", daemon=True)
        self._thread.start()

    async def __call__(self, work: Work[T]) -> T:
        """Run an operation; it is on the disk when this returns. What it raises undoes it alone."""
        if self._closed:
            raise StorageError(f"the store {self._file} is closed")
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._queue.put(_Waiting(work, done))
        return await asyncio.shield(done)

    async def close(self) -> None:
        """Finish what waits, then let go."""
        self._closed = True
        self._queue.put(None)
        await to_thread.run_sync(self._thread.join)

    def _run(self) -> None:
        more, due = True, monotonic()
        last = False
        while not last:
            try:
                first = self._queue.get(timeout=max(0.0, due - monotonic()) if more else None)
            except Empty:
                waiting: list[_Waiting] = []
            else:
                waiting, last = self._gather(first)
            if waiting:
                more = True
                try:
                    self._write(waiting)
                except BaseException as exc:  # not even then may anybody wait for ever
                    self._undo()
                    for item in waiting:
                        _tell(item.done, None, self._worded(exc))
            if more and monotonic() >= due:
                more, due = self._tidy(), monotonic() + _BREATH
        self._disk.close()

    def _gather(self, first: _Waiting | None) -> tuple[list[_Waiting], bool]:
        waiting = []
        item = first
        while item is not None:
            waiting.append(item)
            if len(waiting) == _TOGETHER:
                return waiting, False
            try:
                item = self._queue.get_nowait()
            except Empty:
                return waiting, False
        return waiting, True

    def _tidy(self) -> bool:
        try:
            self._disk.execute("BEGIN IMMEDIATE")
            more = self._idle(self._disk)
            self._disk.execute("COMMIT")
        except sqlite3.Error:  # the disk is full or busy; the next write comes back to this
            self._undo()
            return False
        return more

    def _write(self, waiting: list[_Waiting]) -> None:
        self._disk.execute("BEGIN IMMEDIATE")  # where it fails, it fails for all of them
        outcomes: list[tuple[asyncio.Future[Any], Any, BaseException | None]] = []
        try:
            for item in waiting:
                self._disk.execute("SAVEPOINT one")
                try:
                    outcomes.append((item.done, item.work(self._disk), None))
                except sqlite3.Error:
                    raise  # of the disk: SQLite may have undone everything
                except Exception as exc:
                    self._disk.execute("ROLLBACK TO one")
                    outcomes.append((item.done, None, exc))
                self._disk.execute("RELEASE one")
            self._disk.execute("COMMIT")
        except sqlite3.Error as exc:
            self._undo()
            if len(waiting) > 1:  # one of them may be at fault, such as one too large for the room left
                for item in waiting:
                    self._write([item])
                return
            outcomes = [(waiting[0].done, None, self._worded(exc))]
        for done, result, failure in outcomes:
            _tell(done, result, failure)

    def _undo(self) -> None:
        with suppress(sqlite3.Error):  # should that fail too, the next BEGIN says so, and this is tried again
            if self._disk.in_transaction:
                self._disk.execute("ROLLBACK")

    def _worded(self, exc: BaseException) -> BaseException:
        return as_storage_error(self._file, exc) if isinstance(exc, sqlite3.Error) else exc


def _tell(done: asyncio.Future[Any], result: Any, failure: BaseException | None) -> None:
    def settle() -> None:
        if done.done():  # cancelled, or told before
            return
        if failure is None:
            done.set_result(result)
        else:
            done.set_exception(failure)
            done.exception()  # taken note of, should nobody wait any more

    loop = done.get_loop()
    if not loop.is_closed():
        loop.call_soon_threadsafe(settle)
