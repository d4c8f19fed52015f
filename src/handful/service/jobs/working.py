"""The loops that work on jobs that are due."""

import asyncio
import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from handful.errors import HandfulError, StaleError, StorageError, StorageFullError
from handful.service import metrics
from handful.service.jobs.work import CancelledJobError, Kind, Work
from handful.storage.store import Store

_POLL = (
    1.0  # seconds between looks for jobs that other processes submitted or lost; after which one is retried
)
_WATCH = 0.2  # seconds between looks at whether a job shall stop
_MOST_ATTEMPTS = 3
_BEATS = 3  # heartbeats within a lease

_log = structlog.get_logger("handful.jobs")


class Working:
    """Claims jobs and does them, from when it is made until it is closed.

    Whose a job is, and how far it is, stands in the store alone. A claim holds for a lease, which heartbeats
    renew. Who cannot renew it stops before another may begin, by clocks that may differ by less than the
    lease; whoever goes on all the same is refused by the store.

    threads : jobs that are worked on at once.
    """

    def __init__(self, store: Store, kinds: Mapping[str, Kind], *, threads: int, lease: timedelta) -> None:
        self._store = store
        self._kinds = kinds
        self._lease = lease
        self._due = asyncio.Event()
        self._running: set[Work] = set()
        self._stopping = False
        self._loops = [
            asyncio.create_task(self._run(), name=f"handful-jobs-{number}") for number in range(threads)
        ]

    def wake(self) -> None:
        """There is a new job."""
        self._due.set()

    def ask_to_stop(self, id: str) -> None:
        """The job was cancelled, if it is worked on here."""
        for work in self._running:
            if work.job.id == id:
                work.stopping = True

    async def close(self) -> None:
        """Stop. A job that is under way is given back, and goes on in another process, or after a restart."""
        self._stopping = True
        for work in self._running:
            work.stopping = True
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)

    async def _run(self) -> None:
        while not self._stopping:
            self._due.clear()
            try:
                work = await self._claimed()
                if work is not None:
                    await self._work_on(work)
                    continue
            except StorageError as exc:
                _log.warning("no job could be claimed", error=str(exc))
                await asyncio.sleep(_POLL)
                continue
            except Exception:  # a fault of ours, which the next job may not meet
                _log.exception("jobs cannot be worked on")
                await asyncio.sleep(_POLL)
                continue
            try:
                await asyncio.wait_for(self._due.wait(), timeout=_POLL)
            except TimeoutError:
                continue

    async def _claimed(self) -> Work | None:
        """Stopped meanwhile, it gives back what it gets all the same."""
        now, until = datetime.now(UTC), self._end_of_lease()
        claim = asyncio.ensure_future(
            self._store.claim_job(token=secrets.token_hex(16), now=now, lease_until=now + self._lease)
        )
        try:
            job = await asyncio.shield(claim)
        except asyncio.CancelledError:
            with suppress(StaleError, StorageError):  # its lease runs out, and another takes it then
                if (job := await claim) is not None:
                    await self._give_back(Work(self._store, job))
            raise
        return None if job is None else Work(self._store, job, held_until=until)

    async def _work_on(self, work: Work) -> None:
        self._running.add(work)
        beat = asyncio.create_task(self._beat(work))
        started = time.perf_counter()
        try:
            ended = await self._ended(work)
        except asyncio.CancelledError:
            try:
                await self._give_back(work)
            except (StaleError, StorageError) as exc:  # its lease runs out, and another takes it then
                _log.warning("a job could not be given back", job=work.job.id, error=str(exc))
            raise
        finally:
            self._running.discard(work)
            beat.cancel()
            await asyncio.gather(beat, return_exceptions=True)
        if ended is not None and await self._end(work, ended):
            metrics.JOBS.labels(work.job.kind, work.job.status).inc()
            metrics.JOB_SECONDS.labels(work.job.kind).observe(time.perf_counter() - started)
            _log.info("job ended", job=work.job.id, kind=work.job.kind, status=work.job.status)
        work.let_go()

    async def _end(self, work: Work, ended: Mapping[str, Any]) -> bool:
        """Write the final state, for as long as the claim holds; whether it could be."""
        try:
            while True:
                try:
                    job = await work.write(**ended)
                    break
                except StorageError:
                    if work.lost:
                        raise
                    await asyncio.sleep(_POLL)
            if job.kind in self._kinds:
                await self._kinds[job.kind].over(job)
        except (StaleError, StorageError) as exc:
            _log.warning("a job could not be ended", job=work.job.id, error=str(exc))
        return work.job.over

    async def _ended(self, work: Work) -> dict[str, Any] | None:
        """What changes about the job in its final state; None where it is another's by now, or will be.

        (Any: each field of the record has its own type.)
        """
        job = work.job
        kind = self._kinds.get(job.kind)
        if kind is None:
            return _failed(f"this build has no job of kind {job.kind!r}; upgrade it")
        if job.cancelling:
            return {"status": "cancelled"}
        if job.attempts > _MOST_ATTEMPTS:
            return _failed(f"it was begun {_MOST_ATTEMPTS} times, and each time its worker died")
        try:
            result = await kind.run(work)
        except StaleError as exc:
            _log.warning("a job is no longer this worker's", job=job.id, error=str(exc))
            return None
        except CancelledJobError:
            if self._stopping:
                await self._give_back(work)
                return None
            return {"status": "cancelled"}
        except StorageFullError as exc:
            return _failed(str(exc))
        except StorageError as exc:
            return await self._after_storage_failed(work, exc, moved=work.job.cursor != job.cursor)
        except HandfulError as exc:
            return _failed(str(exc))
        except Exception as exc:  # a fault of ours; the loop goes on with other jobs
            _log.exception("a job failed", job=job.id, kind=job.kind)
            return _failed(f"unexpected {type(exc).__name__}; the service's log has more")
        return {"status": "succeeded", "progress": 1.0, "result": result}

    async def _after_storage_failed(
        self, work: Work, exc: StorageError, *, moved: bool
    ) -> dict[str, Any] | None:
        """Stores come back: the job is tried again soon. An attempt that brought it on does not count."""
        attempts = work.job.attempts - moved
        if attempts >= _MOST_ATTEMPTS:
            return _failed(str(exc))
        _log.warning("a job waits for its storage", job=work.job.id, error=str(exc))
        while not work.lost:  # should it last, another takes it when the lease ends
            try:
                again = datetime.now(UTC) + timedelta(seconds=_POLL)
                await work.write(status="queued", lease_until=again, attempts=attempts)
                return None
            except StaleError:
                return None
            except StorageError:
                await asyncio.sleep(_POLL)
        return None

    async def _give_back(self, work: Work) -> None:
        """Let another worker claim the job at once, as if this attempt had not been."""
        back = work.write(status="queued", lease_until=datetime.now(UTC), attempts=work.job.attempts - 1)
        await asyncio.shield(back)

    async def _beat(self, work: Work) -> None:
        """Show that it is alive, and hear whether it shall stop, for as long as it is worked on."""
        loop = asyncio.get_running_loop()
        shown = loop.time()
        every = self._lease.total_seconds() / _BEATS
        while not work.lost:
            await asyncio.sleep(min(every, _WATCH))
            try:
                await work.listen()
                if loop.time() - shown >= every:
                    shown, until = loop.time(), self._end_of_lease()
                    await work.write(lease_until=datetime.now(UTC) + self._lease)
                    work.hold(until)
            except StaleError:
                return
            except StorageError as exc:
                _log.warning("a heartbeat failed", job=work.job.id, error=str(exc))

    def _end_of_lease(self) -> float:
        """By the event loop's clock, of a lease that begins now."""
        return asyncio.get_running_loop().time() + self._lease.total_seconds()


def _failed(detail: str) -> dict[str, Any]:
    problem = {"type": "/problems/job-failed", "title": "Job failed", "status": 422, "detail": detail}
    return {"status": "failed", "error": problem}
