"""Job: lines of JSON become classifiers with their shots."""

import asyncio
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from handful.errors import QuotaError, RequestError, ServiceError
from handful.images import Limits
from handful.service.classifiers import Classifiers, NewClassifier
from handful.service.jobs.work import Work
from handful.service.new_shots import NewShot
from handful.service.shots import Shots
from handful.service.transfer.ndjson import LONGEST_LINE, numbered_lines, parsed_line
from handful.service.transfer.uploads import Uploads
from handful.settings import Settings
from handful.storage.ids import derived_id
from handful.storage.records import JobRecord
from handful.storage.store import ChangedMeanwhileError, Store

_TOGETHER = 64  # lines whose changes share a commit
_BYTES = 32 * 2**20  # of such lines, above which there are fewer
_MOST_SHOWN = 1000  # ids, and wrong lines, in the result


class ImportClassifiers:
    """{} → {classifiers, ids, failed_count, failed: [{line, reason}]}. Its upload bears the job's id."""

    name = "import-classifiers"

    def checked(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """There is nothing to choose."""
        return {}

    def __init__(
        self, uploads: Uploads, classifiers: Classifiers, shots: Shots, store: Store, settings: Settings
    ) -> None:
        self._uploads = uploads
        self._store = store
        self._classifiers = classifiers
        self._shots = shots
        self._limits = Limits(
            max_bytes=settings.image_max_bytes,
            max_pixels=settings.image_max_pixels,
            max_side=settings.image_max_side,
        )
        self._most_images = settings.request_max_images

    async def run(self, work: Work) -> Mapping[str, Any]:
        size = await self._uploads.size(work.job.tenant, work.job.id)
        if size is None:
            raise RequestError("the upload of this job is gone; send it again")
        cursor: dict[str, Any] = {"at": 0, "lines": 0, "made": 0, "ids": [], "failed": [], "failed_count": 0}
        cursor |= work.job.cursor
        lines = numbered_lines(self._uploads.upload(work.job.tenant, work.job.id), cursor["at"])
        first = cursor["lines"]
        while some := await asyncio.to_thread(self._take, lines):
            outcomes = await asyncio.gather(
                *(self._one(work, first + number, line) for number, line, _ in some), return_exceptions=True
            )
            for outcome in outcomes:
                if isinstance(outcome, QuotaError):
                    raise QuotaError(f"{outcome}; {cursor['made']:,} lines or more were imported before")
                if isinstance(outcome, BaseException):
                    raise outcome
            made = [outcome for outcome in outcomes if isinstance(outcome, str)]
            failed = [outcome for outcome in outcomes if isinstance(outcome, dict)]
            cursor = {
                "at": some[-1][2],
                "lines": first + some[-1][0] + 1,
                "made": cursor["made"] + len(made),
                "ids": (cursor["ids"] + made)[:_MOST_SHOWN],
                "failed": (cursor["failed"] + failed)[:_MOST_SHOWN],
                "failed_count": cursor["failed_count"] + len(failed),
            }
            await work.note(cursor["at"] / max(size, 1), cursor)
        if not cursor["made"]:
            first_wrong = cursor["failed"][0] if cursor["failed"] else {"line": 1, "reason": "there is none"}
            raise RequestError(
                f"no line could be imported; the first, line {first_wrong['line']}: {first_wrong['reason']}"
            )
        return {
            "classifiers": cursor["made"],
            "ids": cursor["ids"],
            "failed_count": cursor["failed_count"],
            "failed": cursor["failed"],
        }

    async def over(self, job: JobRecord) -> None:
        await self._uploads.remove(job.tenant, job.id)

    async def _one(self, work: Work, number: int, line: "ParsedLine") -> str | dict[str, Any]:
        """The new classifier's id; or what is wrong with the line."""
        work.check()
        id = derived_id(work.job.id, number)
        try:
            if isinstance(line, RequestError):
                raise line
            told, shots = line
            view = self._classifiers.prepared(work.job.tenant, told, id)
            again = work.job.attempts > 1 and await self._store.classifier(work.job.tenant, id) is not None
            if not again:
                await work.patiently(partial(self._shots.create_with, view, shots))
        except ChangedMeanwhileError:
            return id  # made by a worker that was thought dead
        except QuotaError:
            raise
        except ServiceError as exc:
            return {"line": number + 1, "reason": str(exc)}
        return id

    def _take(self, lines: Iterator[tuple[int, bytes | None, int]]) -> list[tuple[int, "ParsedLine", int]]:
        taken: list[tuple[int, ParsedLine, int]] = []
        size = 0
        while len(taken) < _TOGETHER and size < _BYTES and (found := next(lines, None)) is not None:
            number, line, end = found
            taken.append((number, self._parsed(line), end))
            size += len(line or b"")
        return taken

    def _parsed(self, line: bytes | None) -> "ParsedLine":
        try:
            if line is None:
                raise RequestError(f"the line has over {LONGEST_LINE:,} bytes; give its shots in other ways")
            told = parsed_line(line)
            return told.classifier(), told.new_shots(self._limits, self._most_images)
        except RequestError as exc:
            return exc


ParsedLine = tuple[NewClassifier, list[NewShot]] | RequestError
