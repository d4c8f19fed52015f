"""Job: lines of JSON become classifiers with their shots."""

import asyncio
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from handful.errors import QuotaError, RequestError, ServiceError
from handful.images import Limits
from handful.service.classifiers import Classifiers
from handful.service.jobs.work import Work
from handful.service.shots import Shots
from handful.service.transfer.ndjson import numbered_lines, parsed_line
from handful.service.transfer.uploads import Uploads
from handful.settings import Settings
from handful.storage.ids import derived_id
from handful.storage.records import JobRecord
from handful.storage.store import ChangedMeanwhileError

_TOGETHER = 64  # lines whose changes share a commit
_MOST_SHOWN = 1000  # ids, and wrong lines, in the result


class ImportClassifiers:
    """{} → {classifiers, ids, failed_count, failed: [{line, reason}]}. Its upload bears the job's id."""

    name = "import-classifiers"

    def checked(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """There is nothing to choose."""
        return {}

    def __init__(self, uploads: Uploads, classifiers: Classifiers, shots: Shots, settings: Settings) -> None:
        self._uploads = uploads
        self._classifiers = classifiers
        self._shots = shots
        self._limits = Limits(
            max_bytes=settings.image_max_bytes,
            max_pixels=settings.image_max_pixels,
            max_side=settings.image_max_side,
        )

    async def run(self, work: Work) -> Mapping[str, Any]:
        path = self._uploads.path(work.job.id)
        if not await asyncio.to_thread(path.is_file):
            raise RequestError("the upload of this job is gone; send it again")
        size = path.stat().st_size
        cursor: dict[str, Any] = {"at": 0, "lines": 0, "made": 0, "ids": [], "failed": [], "failed_count": 0}
        cursor |= work.job.cursor
        lines = numbered_lines(path, cursor["at"])
        first = cursor["lines"]
        while some := await asyncio.to_thread(_take, lines):
            outcomes = await asyncio.gather(
                *(self._one(work, first + number, line) for number, line, _ in some)
            )
            made = [outcome for outcome in outcomes if isinstance(outcome, str)]
            failed = [outcome for outcome in outcomes if not isinstance(outcome, str)]
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
        await asyncio.to_thread(self._uploads.remove, job.id)

    async def _one(self, work: Work, number: int, line: bytes) -> str | dict[str, Any]:
        """The new classifier's id; or what is wrong with the line."""
        work.check()
        id = derived_id(work.job.id, number)
        try:
            told = parsed_line(line)
            view = self._classifiers.prepared(work.job.tenant, told.classifier(), id)
            await self._shots.create_with(view, told.new_shots(self._limits))
        except ChangedMeanwhileError:
            return id  # it was made before this worker took over
        except QuotaError:
            raise
        except ServiceError as exc:
            return {"line": number + 1, "reason": str(exc)}
        return id


def _take(lines: Iterator[tuple[int, bytes, int]]) -> list[tuple[int, bytes, int]]:
    return list(islice(lines, _TOGETHER))
