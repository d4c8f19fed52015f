"""Use cases about jobs."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from handful.errors import NotFoundError, RequestError
from handful.service import metrics
from handful.service.changes import not_found
from handful.service.jobs.work import Kind
from handful.service.jobs.working import Working
from handful.service.once import Once, check_once, rendered, same_request
from handful.settings import Settings
from handful.storage.ids import new_id
from handful.storage.records import JobRecord
from handful.storage.store import AnsweredError, Store

_WATCH = 0.2  # seconds between looks at a job that is followed


class Jobs:
    """Submit, show, follow and cancel jobs; and work on those that are due, where the settings say so."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._kinds: dict[str, Kind] = {}
        self._working: Working | None = None

    def start(self, kinds: Sequence[Kind]) -> None:
        """Take jobs of these kinds from now on, and work on them."""
        self._kinds = {kind.name: kind for kind in kinds}
        lease = timedelta(seconds=self._settings.job_lease_seconds)
        self._working = Working(self._store, self._kinds, threads=self._settings.job_threads, lease=lease)

    async def close(self) -> None:
        """Stop working. A job that is under way goes on in another process, or after a restart."""
        if self._working is not None:
            await self._working.close()

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
        """A new job, which starts as soon as one that works on jobs is free, here or elsewhere.

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
        if self._working is not None:
            self._working.wake()
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
        if self._working is not None:
            self._working.ask_to_stop(id)
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
