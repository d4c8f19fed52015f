"""Threads that decode, and the line of pictures before them."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from handful.errors import ImageError, RequestError
from handful.images import Limits
from handful.service import metrics
from handful.service.encoding.batcher import Batcher, Encoded
from handful.service.encoding.fair_queue import FairQueue
from handful.service.encoding.pictures import Decoded, Wanted, decode_picture
from handful.service.encoding.room import Room

_LARGEST_AT_ONCE = 2  # pictures of the largest size that are in memory together


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A picture to be decoded, and then encoded by the batcher.

    name : JSON pointer, what errors call it.
    """

    tenant: str
    request: int
    batcher: Batcher
    data: bytes
    name: str
    wanted: Wanted
    since: float = field(default_factory=time.perf_counter)


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """coming : rows, one for each view.    queue, decode : seconds before decoding, and of decoding."""

    decoded: Decoded
    coming: list["asyncio.Future[Encoded]"]
    queue: float
    decode: float


class Decoders:
    """To be made in the event loop.    threads : that decode.    limits : of each picture."""

    def __init__(self, *, threads: int, limits: Limits) -> None:
        self._limits = limits
        self._room = Room(_LARGEST_AT_ONCE * limits.max_pixels)
        self._line: FairQueue[tuple[Job, asyncio.Future[Done]]] = FairQueue()
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="handful-decode")
        self._tasks = [asyncio.create_task(self._run(), name="handful-decode") for _ in range(threads)]

    async def decode(self, job: Job) -> Done:
        """Wait for a turn; being cancelled gives it up. Raises RequestError for a picture that is wrong."""
        done: asyncio.Future[Done] = asyncio.get_running_loop().create_future()
        self._line.put(job.tenant, job.request, (job, done))
        try:
            return await done
        except asyncio.CancelledError:
            if done.done() and not done.cancelled() and done.exception() is None:
                for row in done.result().coming:
                    row.cancel()
            raise

    async def close(self) -> None:
        """Let go; what still waits is cancelled."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        while self._line:
            (await self._line.get())[1].cancel()
        await asyncio.to_thread(self._threads.shutdown)

    async def _run(self) -> None:
        while True:
            job, done = await self._line.get()
            if done.done():
                continue
            try:
                await self._serve(job, done)
            except asyncio.CancelledError:
                done.cancel()
                raise
            except Exception as exc:  # of this picture; the others go on
                wrong = isinstance(exc, ImageError)
                if not done.done():
                    done.set_exception(RequestError(str(exc), pointer=job.name) if wrong else exc)

    async def _serve(self, job: Job, done: "asyncio.Future[Done]") -> None:
        begun = time.perf_counter()
        decoded = await asyncio.get_running_loop().run_in_executor(self._threads, self._decode, job)
        took = time.perf_counter() - begun
        metrics.DECODE_SECONDS.observe(took)
        if done.done():
            return
        coming = [job.batcher.put(job.tenant, job.request, pixels) for pixels in decoded.prepared]
        done.set_result(Done(decoded=decoded, coming=coming, queue=begun - job.since, decode=took))
        await job.batcher.room()

    def _decode(self, job: Job) -> Decoded:
        return decode_picture(
            job.data,
            job.wanted,
            limits=self._limits,
            room=self._room,
            name=job.name.strip("/").replace("/", " "),
        )
