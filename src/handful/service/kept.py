"""Pictures of new shots, written while those behind them are still encoded."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from handful.errors import ServiceError
from handful.storage.blobs import Blobs

_TOGETHER = 16  # blobs that are worth a turn at the disk


class Kept:
    """Blobs of one request, written some at a time."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._expected = 0
        self._names: list[str] = []
        self._waiting: dict[str, bytes] = {}
        self._writing: asyncio.Task[None] | None = None

    def expect(self, count: int) -> None:
        """So many more will be put: the last of them wait for no others."""
        self._expected += count

    def put(self, name: str, data: bytes) -> None:
        """Write it soon. After a failure, which `written` tells, nothing more is written."""
        self._waiting[name] = data
        self._expected -= 1
        self._begin()

    async def written(self) -> None:
        """All that was put is on the disk. Raises StorageError."""
        self._expected = 0
        self._begin()
        if self._writing is not None:
            await asyncio.shield(self._writing)

    async def removed(self) -> None:
        """What was written is taken away again, and nothing comes after it."""
        self._waiting.clear()
        if self._writing is not None:
            await asyncio.gather(self._writing, return_exceptions=True)
        await asyncio.gather(*(self._blobs.remove(name) for name in self._names), return_exceptions=True)

    def _due(self) -> bool:
        return len(self._waiting) >= _TOGETHER or (self._expected <= 0 and bool(self._waiting))

    def _begin(self) -> None:
        idle = self._writing is None or (self._writing.done() and self._writing.exception() is None)
        if idle and self._due():
            self._writing = asyncio.create_task(self._write(), name="handful-kept")

    async def _write(self) -> None:
        while self._due():
            some, self._waiting = self._waiting, {}
            self._names += some
            await self._blobs.put_all(some)


@asynccontextmanager
async def keeping(blobs: Blobs) -> AsyncIterator[Kept]:
    """For the work up to the change that names the blobs; they go again where it fails or is cancelled."""
    kept = Kept(blobs)
    try:
        yield kept
        await kept.written()
    except BaseException:
        await asyncio.shield(kept.removed())
        raise


@asynccontextmanager
async def removed_if_refused(kept: Kept) -> AsyncIterator[None]:
    """For the change itself: they go again where it says that it wrote nothing.

    Where it is not known whether the change was written, as when the request is cancelled, they stay.
    """
    try:
        yield
    except ServiceError:
        await asyncio.shield(kept.removed())
        raise
