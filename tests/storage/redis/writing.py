"""Writes to a store in Redis, with folding and sweeping beside, and a diary of what was acknowledged when."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta

from tests.storage.crash.working import work

from handful.errors import StorageError
from handful.storage.blobs import Blobs
from handful.storage.store import Store

_PAUSE = 0.03  # seconds between foldings


class Diary:
    """Lines of `work`.    mark : called after each; what it answers is kept with the line."""

    def __init__(self, mark: Callable[[], float] = time.monotonic) -> None:
        self._mark = mark
        self._lines: list[tuple[float, str]] = []

    def say(self, line: str) -> None:
        self._lines.append((self._mark(), line))

    def lines(self, until: float = float("inf")) -> list[str]:
        """What was acknowledged until a mark, and all that was asked for at any time."""
        return [line for mark, line in self._lines if mark <= until or line.startswith("asked")]

    def forget(self, since: float) -> None:
        """What was acknowledged since then counts as asked for only."""
        self._lines = [
            (mark, line) for mark, line in self._lines if mark <= since or line.startswith("asked")
        ]

    def marks(self) -> list[float]:
        """Of what was acknowledged."""
        return [mark for mark, line in self._lines if line.startswith("done")]


@asynccontextmanager
async def writing(store: Store, blobs: Blobs, id: str, seed: int, diary: Diary) -> AsyncIterator[None]:
    """Meanwhile all that `work` does, and folding; what fails with a StorageError is begun anew."""

    over = asyncio.Event()

    async def work_on() -> None:
        number = seed
        while not over.is_set():  # a TaskGroup that fails as it is cancelled tells only of its failure
            number += 1
            try:
                await work(store, blobs, id, number, diary.say)
            except* StorageError:
                await asyncio.sleep(0.01)

    async def fold_on() -> None:
        while True:
            with suppress(StorageError):  # another time
                await store.fold(datetime.now(UTC) + timedelta(hours=1))  # all of it is due
            await asyncio.sleep(_PAUSE)

    tasks = [asyncio.create_task(work_on()), asyncio.create_task(fold_on())]
    try:
        yield
        assert not any(task.done() for task in tasks), "writing ended by itself"
    finally:
        over.set()
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if not isinstance(outcome, asyncio.CancelledError | None):
                raise outcome
