"""Job: lines of JSON become classifiers with their shots."""

import asyncio
from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from handful.errors import ConflictError, EncoderError, QuotaError, RequestError, ServiceError, StaleError
from handful.images import Limits
from handful.service.classifiers import Classifiers, NewClassifier
from handful.service.heads import Heads, Recipe
from handful.service.jobs.work import Work
from handful.service.new_shots import NewShot
from handful.service.shots import Draft, Shots
from handful.service.support import support_rows
from handful.service.transfer.ndjson import LONGEST_LINE, numbered_lines, parsed_line
from handful.service.transfer.uploads import Uploads
from handful.settings import Settings
from handful.storage.ids import derived_id
from handful.storage.records import HeadRecord, JobRecord
from handful.storage.store import ChangedMeanwhileError, Store

_TOGETHER = 64  # lines that are made ready, and then written, together
_BYTES = 32 * 2**20  # of such lines, above which there are fewer
_MOST_SHOWN = 1000  # ids, and wrong lines, in the result


T = TypeVar("T")
ParsedLine = tuple[NewClassifier, list[NewShot]] | RequestError
_Wrong = dict[str, Any]  # line and reason, as in the result


@dataclass(frozen=True, slots=True)
class _Ready:
    """A line that can be written.    head : of its draft, where there is one by now."""

    number: int
    draft: Draft
    recipe: Recipe | None
    head: tuple[HeadRecord, bytes] | None = None


_Line = _Ready | str | _Wrong  # str: the id of a classifier that is there already


@dataclass(frozen=True, slots=True)
class _Batch:
    """Lines that are written together.    last, end : number and end of the last of them."""

    lines: Sequence[_Line]
    last: int
    end: int


class ImportClassifiers:
    """{} → {classifiers, ids, failed_count, failed: [{line, reason}]}. Its upload bears the job's id."""

    name = "import-classifiers"

    def checked(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """There is nothing to choose."""
        return {}

    def __init__(
        self,
        uploads: Uploads,
        classifiers: Classifiers,
        shots: Shots,
        heads: Heads,
        store: Store,
        settings: Settings,
    ) -> None:
        self._uploads = uploads
        self._store = store
        self._classifiers = classifiers
        self._shots = shots
        self._heads = heads
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
        drafts: set[Draft] = set()  # whose pictures nobody names yet
        ahead = asyncio.create_task(self._batch(work, lines, first, drafts))
        try:
            while batch := await ahead:
                ahead = asyncio.create_task(self._batch(work, lines, first, drafts))
                outcomes = await _in_turn(self._written(one, drafts) for one in batch.lines)
                for outcome in outcomes:
                    if isinstance(outcome, QuotaError):
                        raise QuotaError(f"{outcome}; {cursor['made']:,} lines or more were imported before")
                cursor = _advanced(cursor, _unfailed(outcomes)) | {
                    "at": batch.end,
                    "lines": first + batch.last + 1,
                }
                await work.note(cursor["at"] / max(size, 1), cursor)
        finally:
            ahead.cancel()
            await asyncio.gather(ahead, return_exceptions=True)
            await asyncio.shield(asyncio.gather(*(draft.kept.removed() for draft in drafts)))
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

    async def _batch(
        self, work: Work, lines: Iterator[tuple[int, bytes | None, int]], first: int, drafts: set[Draft]
    ) -> _Batch | None:
        """The next lines with all that is written of them; None where there is none left."""
        taken = await asyncio.to_thread(self._taken, lines)
        if not taken:
            return None
        ready = await _in_turn(self._ready(work, first + number, line, drafts) for number, line, _ in taken)
        last, _, end = taken[-1]
        return _Batch(await asyncio.to_thread(_compiled, _unfailed(ready)), last, end)

    async def _ready(self, work: Work, number: int, line: ParsedLine, drafts: set[Draft]) -> _Line:
        work.check()
        id = derived_id(work.job.id, number)
        try:
            if isinstance(line, RequestError):
                raise line
            told, shots = line
            view = await self._classifiers.prepared(work.job.tenant, told, id)
            if work.job.attempts > 1 and await self._store.classifier(work.job.tenant, id) is not None:
                return id
            draft = await work.patiently(partial(self._shots.drafted, view, shots))
            drafts.add(draft)
        except StaleError:  # of the job
            raise
        except ServiceError as exc:
            return {"line": number + 1, "reason": str(exc)}
        try:
            recipe = await work.patiently(partial(self._heads.recipe, support_rows(draft.support)))
        except StaleError:
            raise
        except (ConflictError, EncoderError):  # it can answer nothing yet, and says so when it is asked
            recipe = None
        return _Ready(number, draft, recipe)

    async def _written(self, line: _Line, drafts: set[Draft]) -> str | dict[str, Any]:
        """The new classifier's id; or what is wrong with the line."""
        if not isinstance(line, _Ready):
            return line
        drafts.discard(line.draft)
        id = line.draft.support.classifier.id
        try:
            await self._shots.create(line.draft, [] if line.head is None else [line.head])
        except ChangedMeanwhileError:
            return id  # made by a worker that was thought dead
        except QuotaError:
            raise
        except ServiceError as exc:
            return {"line": line.number + 1, "reason": str(exc)}
        return id

    def _taken(self, lines: Iterator[tuple[int, bytes | None, int]]) -> list[tuple[int, ParsedLine, int]]:
        taken: list[tuple[int, ParsedLine, int]] = []
        size = 0
        while len(taken) < _TOGETHER and size < _BYTES and (found := next(lines, None)) is not None:
            number, line, end = found
            taken.append((number, self._parsed(line), end))
            size += len(line or b"")
        return taken

    def _parsed(self, line: bytes | None) -> ParsedLine:
        try:
            if line is None:
                raise RequestError(f"the line has over {LONGEST_LINE:,} bytes; give its shots in other ways")
            told = parsed_line(line)
            return told.classifier(), told.new_shots(self._limits, self._most_images)
        except RequestError as exc:
            return exc


async def _in_turn(work: Iterable[Coroutine[Any, Any, T]]) -> list[T | BaseException]:
    """The outcomes of all, which are under way together; between their starts others get their turns.

    Each may take milliseconds before it first waits, and a service is asked meanwhile.
    """
    started: list[asyncio.Task[T]] = []
    try:
        for one in work:
            started.append(asyncio.create_task(one))
            await asyncio.sleep(0)
        return await asyncio.gather(*started, return_exceptions=True)
    except asyncio.CancelledError:
        for task in started:
            task.cancel()
        await asyncio.gather(*started, return_exceptions=True)
        raise


def _compiled(lines: Sequence[_Line]) -> list[_Line]:
    """The lines, with heads."""
    return [_with_head(one) if isinstance(one, _Ready) else one for one in lines]


def _with_head(line: _Ready) -> _Ready:
    try:
        return line if line.recipe is None else replace(line, head=line.recipe.made(), recipe=None)
    except ConflictError:  # its method can make nothing of it, and it says so when it is asked
        return line


def _unfailed(outcomes: Sequence[T | BaseException]) -> list[T]:
    """The outcomes. Raises the first of them that is an exception."""
    told = []
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
        told.append(outcome)
    return told


def _advanced(cursor: Mapping[str, Any], outcomes: Sequence[str | _Wrong]) -> dict[str, Any]:
    """The cursor with what became of some lines."""
    made = [outcome for outcome in outcomes if isinstance(outcome, str)]
    failed = [outcome for outcome in outcomes if isinstance(outcome, dict)]
    return {
        "made": cursor["made"] + len(made),
        "ids": (cursor["ids"] + made)[:_MOST_SHOWN],
        "failed": (cursor["failed"] + failed)[:_MOST_SHOWN],
        "failed_count": cursor["failed_count"] + len(failed),
    }
