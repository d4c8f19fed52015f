"""Upkeep: removes what nothing names any more, and packs what was written lately."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import structlog

from handful.errors import StorageError
from handful.service.transfer.uploads import Uploads
from handful.storage.blobs import Blobs
from handful.storage.store import Store

_EVERY = 5.0  # seconds
_FOLDED_EVERY = 1.0
_UPLOADS_EVERY = 60.0  # jobs remove their own; this is for what killed processes left
_TOGETHER = 200  # blobs removed before the store hears of it; jobs forgotten in one write

_log = structlog.get_logger("handful.upkeep")


class Upkeep:
    """Runs while the service does, beside that of other processes. What is left undone is found again.

    jobs_kept : how long a job is remembered once it is over.
    """

    def __init__(self, store: Store, blobs: Blobs, uploads: Uploads, jobs_kept: timedelta) -> None:
        self._store = store
        self._uploads = uploads
        self._blobs = blobs
        self._jobs_kept = jobs_kept
        self._uploads_swept: float | None = None
        self._unfolded = 0
        self._tasks = [
            asyncio.create_task(_again(self._tidy, _EVERY), name="handful-upkeep"),
            asyncio.create_task(_again(self._fold, _FOLDED_EVERY), name="handful-folding"),
        ]

    async def close(self) -> None:
        """Stop after what is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _tidy(self) -> None:
        await self.sweep()
        now = asyncio.get_running_loop().time()
        if self._uploads_swept is None or now - self._uploads_swept > _UPLOADS_EVERY:
            await self._uploads.sweep(self._store)
            self._uploads_swept = now
        await self._store.forget_expired(datetime.now(UTC))
        await self._forget_jobs(datetime.now(UTC) - self._jobs_kept)

    async def _fold(self) -> None:
        """For as long as that gets any further; a store does not pack all at once."""
        further = True
        while further:
            left = await self._store.fold(datetime.now(UTC))
            further, self._unfolded = 0 < left < self._unfolded, left

    async def _forget_jobs(self, before: datetime) -> None:
        while await self._store.forget_jobs(before, _TOGETHER) == _TOGETHER:
            await asyncio.sleep(0)

    async def sweep(self) -> None:
        """Remove the blobs in the trash. Raises StorageError where some could not be, once the others are."""
        while trash := await self._store.trash(_TOGETHER):
            removals = (self._blobs.remove(one.name) for one in trash)
            outcomes = await asyncio.gather(*removals, return_exceptions=True)
            failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
            gone = [
                one.id
                for one, outcome in zip(trash, outcomes, strict=True)
                if not isinstance(outcome, BaseException)
            ]
            await self._store.forget_trash(gone)
            if failures:
                raise failures[0]


async def _again(work: Callable[[], Awaitable[None]], seconds: float) -> None:
    """Again and again, about so many seconds after it was done; processes that start together part ways."""
    while True:
        try:
            await work()
        except StorageError as exc:
            _log.warning("upkeep failed", error=str(exc))
            await asyncio.sleep(_EVERY)
        except Exception:  # a fault of ours; what it was about waits, and all else goes on
            _log.exception("upkeep failed")
            await asyncio.sleep(_EVERY)
        await asyncio.sleep(seconds * random.uniform(0.8, 1.2))
