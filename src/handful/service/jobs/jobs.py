"""Use cases about jobs, and the loop that works on them."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from handful.errors import HandfulError, NotFoundError, RequestError, StaleError, StorageError
from handful.service import metrics
from handful.service.changes import not_found
from handful.service.jobs.work import CancelledJobError, Kind, Work
from handful.service.once import Once, check_once, rendered, same_request
from handful.settings import Settings
from handful.storage.ids import new_id
from handful.storage.records import JobRecord
from handful.storage.store import AnsweredError, Store

_POLL = 1.0  # seconds between looks for jobs that other processes submitted or lost
_WATCH = 0.2  # seconds between looks at a job that is followed
_MOST_ATTEMPTS = 3
_BEATS = 3  # heartbeats within a lease

_log = structlog.get_logger("handful.jobs")


class Jobs:
    """Submit, show, follow and cancel jobs; and work on those that are due.

    Which worker has a job, and how far it is, stands in the store alone.
    """

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._kinds: dict[str, Kind] = {}
        self._lease = timedelta(seconds=settings.job_lease_seconds)
        self._submitted = asyncio.Event()
        self._workers: list[asyncio.Task[None]] = []
        self._running: set[Work] = set()
        self._stopping = False

    def start(self, kinds: Sequence[Kind]) -> None:
        """Work on jobs of these kinds from now on."""
        self._kinds = {kind.name: kind for kind in kinds}
        self._workers = [
            asyncio.create_task(self._run(), name=f"handful-jobs-{number}")
            for number in range(self._settings.job_threads)
        ]

    async def close(self) -> None:
        """Stop. A job that is under way is given back, and goes on in another process, or after a restart."""
        self._stopping = True
        for work in self._running:
            work.stopping = True
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)

    async def submit(
        self,
        tenant: str,
        kind: str,
        classifier: str | None,
        request: Mapping[str, Any],
        once: Once | None = None,
        *,
        id: str | None = None,
    ) -> JobRecord:
        """A new job, which starts as soon as a worker is free.

        id : the new job's, where it was decided before. Raises NotFoundError for a classifier that is not
        the tenant's, RequestError for what the kind cannot do.
        """
        await check_once(self._store, once)
        if kind not in self._kinds:
            raise RequestError(f"there is no job of kind {kind!r}; there is {', '.join(self._kinds)}")
        request = self._kinds[kind].checked(request)
        if classifier is not None and await self._store.classifier(tenant, classifier) is None:
            raise not_found(classifier)
        now = datetime.now(UTC)
        job = JobRecord(
            tenant=tenant,
            id=id or new_id(),
            kind=kind,
            classifier=classifier,
            status="queued",
            request=request,
            created=now,
            updated=now,
        )
        try:
            await self._store.put_job(job, reply=rendered(once, job))
        except AnsweredError as exc:
            if once is not None:
                same_request(once, exc.reply)
            raise
        self._submitted.set()
        return job

    async def get(self, tenant: str, id: str) -> JobRecord:
        """Raises NotFoundError."""
        job = await self._store.job(tenant, id)
        if job is None:
            raise NotFoundError(f"there is no job {id!r}")
        return job

    async def cancel(self, tenant: str, id: str) -> JobRecord:
        """A queued job never starts; a running one stops soon. Raises NotFoundError."""
        before = await self.get(tenant, id)
        job = await self._store.cancel_job(tenant, id, datetime.now(UTC))
        if job is None:
            raise NotFoundError(f"there is no job {id!r}")
        for work in self._running:
            if work.job.id == id:
                work.stopping = True
        if before.status == "queued" and job.status == "cancelled" and job.kind in self._kinds:
            metrics.JOBS.labels(job.kind, job.status).inc()
            await self._kinds[job.kind].over(job)
        return job

    async def events(self, tenant: str, id: str) -> AsyncIterator[JobRecord]:
        """The job as it is, each time it changes, up to its final state."""
        seen: JobRecord | None = None
        while True:
            job = await self.get(tenant, id)
            if seen is None or (job.status, job.progress, job.result) != (
                seen.status,
                seen.progress,
                seen.result,
            ):
                yield job
                seen = job
            if job.over:
                return
            await asyncio.sleep(_WATCH)

    # ---- working

    async def _run(self) -> None:
        while not self._stopping:
            self._submitted.clear()
            try:
                job = await self._claimed()
            except StorageError as exc:
                _log.warning("no job could be claimed", error=str(exc))
                await asyncio.sleep(_POLL)
                continue
            if job is not None:
                await self._work_on(job)
                continue
            try:
                await asyncio.wait_for(self._submitted.wait(), timeout=_POLL)
            except TimeoutError:
                continue

    async def _claimed(self) -> JobRecord | None:
        """Stopped meanwhile, it gives back what it gets all the same."""
        now = datetime.now(UTC)
        claim = asyncio.ensure_future(
            self._store.claim_job(token=secrets.token_hex(16), now=now, lease_until=now + self._lease)
        )
        try:
            return await asyncio.shield(claim)
        except asyncio.CancelledError:
            with suppress(StaleError, StorageError):  # its lease runs out, and another takes it then
                if (job := await claim) is not None:
                    await self._give_back(Work(self._store, job))
            raise

    async def _work_on(self, job: JobRecord) -> None:
        work = Work(self._store, job)
        self._running.add(work)
        beat = asyncio.create_task(self._beat(work))
        started = time.perf_counter()
        try:
            ended = await self._ended(work)
        except asyncio.CancelledError:
            try:
                await self._give_back(work)
            except (StaleError, StorageError) as exc:  # its lease runs out, and another takes it then
                _log.warning("a job could not be given back", job=job.id, error=str(exc))
            raise
        finally:
            self._running.discard(work)
            beat.cancel()
            await asyncio.gather(beat, return_exceptions=True)
        if ended is None:
            return
        try:
            job = await work.write(**ended)
            if job.kind in self._kinds:
                await self._kinds[job.kind].over(job)
        except (StaleError, StorageError) as exc:
            _log.warning("a job could not be ended", job=job.id, error=str(exc))
            return
        metrics.JOBS.labels(job.kind, job.status).inc()
        metrics.JOB_SECONDS.labels(job.kind).observe(time.perf_counter() - started)
        _log.info("job ended", job=job.id, kind=job.kind, status=job.status)

    async def _ended(self, work: Work) -> dict[str, Any] | None:
        """What changes about the job in its final state; None where it is another's by now.

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
        except StaleError:
            return None
        except CancelledJobError:
            if self._stopping:
                await self._give_back(work)
                return None
            return {"status": "cancelled"}
        except HandfulError as exc:
            return _failed(str(exc))
        except Exception as exc:  # a fault of ours; the loop goes on with other jobs
            _log.exception("a job failed", job=job.id, kind=job.kind)
            return _failed(f"unexpected {type(exc).__name__}; the service's log has more")
        return {"status": "succeeded", "progress": 1.0, "result": result}

    async def _give_back(self, work: Work) -> None:
        """Let another worker claim the job at once, as if this attempt had not been."""
        back = work.write(status="queued", lease_until=datetime.now(UTC), attempts=work.job.attempts - 1)
        await asyncio.shield(back)

    async def _beat(self, work: Work) -> None:
        """Show that it is alive, and hear whether it shall stop, for as long as it is worked on."""
        loop = asyncio.get_running_loop()
        shown = loop.time()
        every = self._lease.total_seconds() / _BEATS
        while True:
            await asyncio.sleep(min(every, _WATCH))
            try:
                await work.listen()
                if loop.time() - shown >= every:
                    shown = loop.time()
                    await work.write(lease_until=datetime.now(UTC) + self._lease)
            except StaleError:
                return
            except StorageError as exc:  # should it last, another takes over when the lease ends
                _log.warning("a heartbeat failed", job=work.job.id, error=str(exc))


def _failed(detail: str) -> dict[str, Any]:
    problem = {"type": "/problems/job-failed", "title": "Job failed", "status": 422, "detail": detail}
    return {"status": "failed", "error": problem}
