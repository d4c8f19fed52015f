"""What a kind of job is, and what it is given to work with."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

from handful.errors import BusyError, HandfulError, StaleError
from handful.storage.records import JobRecord
from handful.storage.store import Store

T = TypeVar("T")

_NOTED_EVERY = 0.25  # seconds between notes of progress
_LONGEST_PAUSE = 2.0  # seconds until a busy encoder is asked again


class CancelledJobError(HandfulError):
    """The job was asked to stop."""


class Kind(Protocol):
    """A kind of job. `run` may be called again, from the cursor on, after a crash."""

    name: str

    def checked(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """The request as the job will read it. Raises RequestError for what it cannot do."""
        ...

    async def run(self, work: "Work") -> Mapping[str, Any]:  # Any: JSON
        """Do it; its result. What it raises is why the job failed."""
        ...

    async def over(self, job: JobRecord) -> None:
        """The job has come to its end, whichever: let go of what was kept for it."""
        ...


class Work:
    """A claimed job while it is worked on.

    held_until : when the claim ends unless it is renewed, by the event loop's clock; None: not watched.
    """

    def __init__(self, store: Store, job: JobRecord, *, held_until: float | None = None) -> None:
        self._store = store
        self._noted = 0.0
        self._lock = asyncio.Lock()
        self._loop = asyncio.get_running_loop()
        self.job = job
        self._end: asyncio.TimerHandle | None = None
        self.stopping = False  # also read in threads
        self.lost = False  # likewise
        if held_until is not None:
            self.hold(held_until)

    def hold(self, until: float) -> None:
        """The claim holds until then, by the event loop's clock."""
        self.let_go()
        self._end = self._loop.call_at(until, self._lose)

    def let_go(self) -> None:
        """Watch the claim no longer."""
        if self._end is not None:
            self._end.cancel()

    async def note(self, progress: float, cursor: Mapping[str, Any] | None = None) -> None:
        """Keep how far it is. Raises CancelledJobError where it was asked to stop, StaleError where lost.

        A cursor is always written; progress alone only now and then.
        """
        self.check()
        now = self._loop.time()
        if cursor is None and now - self._noted < _NOTED_EVERY:
            return
        self._noted = now
        changed: dict[str, Any] = {"progress": progress}
        await self.write(**changed, **({} if cursor is None else {"cursor": cursor}))

    @asynccontextmanager
    async def together(self) -> AsyncIterator[Callable[[Mapping[str, Any]], JobRecord]]:
        """For a change that says how far the job is: cursor → the job to write with it (`Change.job`).

        The last one counts as written when the block ends; meanwhile nothing else writes the job.
        """
        async with self._lock:
            last = self.job

            def noted(cursor: Mapping[str, Any]) -> JobRecord:
                nonlocal last
                last = replace(self.job, cursor=cursor, updated=datetime.now(UTC))
                return last

            yield noted
            self.job = last

    async def patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        """What `ask` gives, asked again while the encoder is busy with requests of people who wait."""
        while True:
            self.check()
            try:
                return await ask()
            except BusyError as exc:
                await asyncio.sleep(min(exc.retry_after, _LONGEST_PAUSE))

    def noting(self) -> Callable[[float], None]:
        """For threads: tell the progress; raises as `check`."""

        def tell(progress: float) -> None:
            self.check()
            asyncio.run_coroutine_threadsafe(self._quietly(progress), self._loop)

        return tell

    def check(self) -> None:
        """Raises CancelledJobError where the job was asked to stop, StaleError where its claim ran out."""
        if self.lost:
            raise StaleError(f"the claim of job {self.job.id} could not be renewed in time")
        if self.stopping:
            raise CancelledJobError("the job was cancelled")

    async def write(self, **fields: Any) -> JobRecord:  # Any: each field of the record has its own type
        """Write the job with some fields changed. Raises StaleError where another worker has it by now."""
        async with self._lock:
            job = replace(self.job, **fields, updated=datetime.now(UTC))
            if not await self._store.update_job(job):
                self.stopping = True
                raise StaleError(f"job {job.id} has another worker by now, or is gone")
            self.job = job
            return job

    async def listen(self) -> None:
        """Hear whether it shall stop."""
        now = await self._store.job(self.job.tenant, self.job.id)
        if now is None or now.cancelling or now.token != self.job.token:
            self.stopping = True

    def _lose(self) -> None:
        self.lost = True

    async def _quietly(self, progress: float) -> None:
        try:
            await self.note(progress)
        except (CancelledJobError, StaleError):
            self.stopping = True  # the thread hears of it when it tells its progress next
