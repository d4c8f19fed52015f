"""Upkeep: removes what nothing names any more."""

import asyncio
from datetime import UTC, datetime, timedelta

import structlog

from handful.errors import StorageError
from handful.service.transfer.uploads import Uploads
from handful.storage.blobs import Blobs
from handful.storage.store import Store

_EVERY = 5.0  # seconds
_TOGETHER = 200  # blobs removed before the store hears of it; jobs forgotten in one write

_log = structlog.get_logger("handful.upkeep")


class Upkeep:
    """Runs while the service does. What it leaves undone it finds again at its next turn.

    jobs_kept : how long a job is remembered once it is over.
    """

    def __init__(self, store: Store, blobs: Blobs, uploads: Uploads, jobs_kept: timedelta) -> None:
        self._store = store
        self._uploads = uploads
        self._blobs = blobs
        self._jobs_kept = jobs_kept
        self._task = asyncio.create_task(self._run(), name="handful-upkeep")

    async def close(self) -> None:
        """Stop after what is under way."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            try:
                await self.sweep()
                await self._uploads.sweep(self._store)
                await self._store.forget_expired(datetime.now(UTC))
                await self._forget_jobs(datetime.now(UTC) - self._jobs_kept)
            except (StorageError, OSError) as exc:
                _log.warning("upkeep failed", error=str(exc))
            await asyncio.sleep(_EVERY)

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
