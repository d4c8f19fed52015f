"""Job: an archive of class folders becomes shots."""

import asyncio
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from handful.errors import QuotaError, RequestError
from handful.service.jobs.work import Work
from handful.service.new_shots import NewShot
from handful.service.shots import Shots
from handful.service.transfer.archives import ArchiveLimits, Entry, class_folders, scan
from handful.service.transfer.uploads import Uploads
from handful.settings import Settings
from handful.storage.ids import derived_id
from handful.storage.records import JobRecord

_TOGETHER = 32  # pictures stored at once
_BYTES = 32 * 2**20  # of pictures stored at once, above which there are fewer
_MOST_SKIPPED = 100  # named in the result


class ImportShots:
    """{} → {shots, skipped_count, skipped: [{name, reason}]}. Its upload bears the job's id."""

    name = "import-shots"

    def checked(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """There is nothing to choose."""
        return {}

    def __init__(self, uploads: Uploads, shots: Shots, settings: Settings) -> None:
        self._uploads = uploads
        self._shots = shots
        self._limits = ArchiveLimits(
            files=settings.upload_max_files,
            unpacked=settings.unpacked_max_bytes,
            file=settings.image_max_bytes,
        )

    async def run(self, work: Work) -> Mapping[str, Any]:
        upload = self._uploads.upload(work.job.tenant, work.job.id)
        if await self._uploads.size(work.job.tenant, work.job.id) is None:
            raise RequestError("the upload of this job is gone; send it again")
        scanned = await asyncio.to_thread(scan, upload, self._limits)
        count = scanned.files
        if not count:
            raise RequestError("this archive holds no files; put pictures into a folder for each class")
        done = int(work.job.cursor.get("done", 0))
        added = int(work.job.cursor.get("added", 0))
        skipped = list(work.job.cursor.get("skipped", ()))
        skipped_count = int(work.job.cursor.get("skipped_count", 0))
        entries = class_folders(upload, self._limits, scanned, start=done)
        while some := await asyncio.to_thread(_take, entries):
            try:
                refused = await self._add(work, some)
            except QuotaError as exc:
                raise QuotaError(f"{exc}; {added:,} shots of this archive were added before") from exc
            done += len(some)
            added += len(some) - len(refused)
            skipped_count += len(refused)
            skipped = (skipped + refused)[:_MOST_SKIPPED]
            cursor = {"done": done, "added": added, "skipped": skipped, "skipped_count": skipped_count}
            await work.note(done / count, cursor)
        if not added:
            first = f"; the first: {skipped[0]['name']}: {skipped[0]['reason']}" if skipped else ""
            raise RequestError(f"none of the {count} files of this archive could be added{first}")
        return {"shots": added, "skipped_count": skipped_count, "skipped": skipped}

    async def over(self, job: JobRecord) -> None:
        await self._uploads.remove(job.tenant, job.id)

    async def _add(self, work: Work, entries: list[Entry]) -> list[dict[str, str]]:
        """Add what can be added; what cannot, and why."""
        refused = [{"name": entry.name, "reason": entry.wrong} for entry in entries if entry.wrong]
        good = [entry for entry in entries if not entry.wrong]
        while good:
            try:
                await work.patiently(partial(self._store, work, good))
                break
            except RequestError as exc:
                rest = [entry for entry in good if entry.name != exc.pointer]
                if len(rest) == len(good):  # it is about no single picture
                    raise
                refused.append({"name": str(exc.pointer), "reason": str(exc)})
                good = rest
        return refused

    async def _store(self, work: Work, entries: list[Entry]) -> None:
        await self._shots.add(
            work.job.tenant,
            str(work.job.classifier),
            [
                NewShot(label=entry.label, image=entry.data, source_id=entry.name[-200:], pointer=entry.name)
                for entry in entries
            ],
            ids=[derived_id(work.job.id, entry.number) for entry in entries],
        )


def _take(entries: Iterator[Entry]) -> list[Entry]:
    taken: list[Entry] = []
    size = 0
    while len(taken) < _TOGETHER and size < _BYTES and (entry := next(entries, None)) is not None:
        taken.append(entry)
        size += len(entry.data)
    return taken
