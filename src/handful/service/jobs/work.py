"""What a kind of job is, and what it is given to work with."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Protocol

from handful.errors import HandfulError, StaleError
from handful.storage.records import JobRecord
from handful.storage.store import Store

_NOTED_EVERY = 0.25  # seconds between notes of progress


class CancelledJobError(HandfulError):
    """The job was asked to stop."""


class Kind(Protocol):
    """A kind of job. `run` may be called again, from the cursor on, after a crash."""

    name: str

    async def run(self, work: "Work") -> Mapping[str, Any]:  # Any: JSON
        """Do it; its result. What it raises is why the job failed."""
        ...

    async def over(self, job: JobRecord) -> None:
        """The job has come to its end, whichever: let go of what was kept for it."""
        ...


class Work:
    """A claimed job while it is worked on."""

    def __init__(self, store: Store, job: JobRecord) -> None:
        self._store = store
        self._noted = 0.0
        self._lock = asyncio.Lock()
        self._loop = asyncio.get_running_loop()
        self.job = job
        self.stopping = False  # also read in threads

    async def note(self, progress: float, cursor: Mapping[str, Any] | None = None) -> None:
        """Keep how far it is. Raises CancelledJobError where it was asked to stop, StaleError where lost.

        A cursor is always written; progress alone only now and then.
        """
        self.check()
        now = self._loop.time()
        if cursor is None and now - self._noted < _NOTED_EVERY:
            self.job = replace(self.job, progress=progress)
            return
        self._noted = now
        cursor = self.job.cursor if cursor is None else cursor
        await self.write(replace(self.job, progress=progress, cursor=cursor))

    def noted(self, cursor: Mapping[str, Any]) -> JobRecord:
        """The job with that cursor, to be written together with a change."""
        self.job = replace(self.job, cursor=cursor, updated=datetime.now(UTC))
        return self.job

    def noting(self) -> Callable[[float], None]:
        """For threads: tell the progress; raises as `check`."""

        def tell(progress: float) -> None:
            self.check()
            asyncio.run_coroutine_threadsafe(self._quietly(progress), self._loop)

        return tell

    def check(self) -> None:
        """Raises CancelledJobError where the job was asked to stop."""
        if self.stopping:
            raise CancelledJobError("the job was cancelled")

    async def write(self, job: JobRecord) -> None:
        """Write the job. Raises StaleError where another worker has it by now."""
        async with self._lock:
            job = replace(job, updated=datetime.now(UTC), lease_until=self.job.lease_until)
            if not await self._store.update_job(job):
                self.stopping = True
                raise StaleError(f"job {job.id} has another worker by now, or is gone")
            self.job = job

    async def extend(self, lease_until: datetime) -> None:
        """Show that it is alive, and hear whether it shall stop."""
        self.job = replace(self.job, lease_until=lease_until)
        await self.write(self.job)
        now = await self._store.job(self.job.tenant, self.job.id)
        self.stopping = self.stopping or now is None or now.cancelling

    async def _quietly(self, progress: float) -> None:
        try:
            await self.note(progress)
        except (CancelledJobError, StaleError):
            self.stopping = True  # the thread hears of it when it tells its progress next
