"""Batches: pictures of different requests go through the encoder together."""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from handful.errors import EncoderError
from handful.pixels import Pixels
from handful.rows import Rows
from handful.service import metrics
from handful.service.encoding.fair_queue import FairQueue


@dataclass(frozen=True, slots=True)
class Encoded:
    """row : (D,).    queue, encode : seconds that it waited, and that its batch took."""

    row: Rows
    queue: float
    encode: float


@dataclass(frozen=True, slots=True)
class _Waiting:
    pixels: Pixels
    since: float
    row: "asyncio.Future[Encoded]"


class Batcher:
    """Threads that encode. While they work the next batch gathers; an idle one starts at once.

    encode : prepared pictures → (N, D), by all that the processor has.    beside : the same, of several
    batches at once.    lanes : how many these may be.    most : pictures that are encoded at once, in all
    lanes.    wait : seconds that a batch which is not full waits for more.
    """

    def __init__(
        self,
        encode: Callable[[Sequence[Pixels]], Rows],
        *,
        most: int,
        wait: float,
        beside: Callable[[Sequence[Pixels]], Rows] | None = None,
        lanes: int = 1,
    ) -> None:
        self._encode = encode
        self._beside = encode if beside is None else beside
        self._most = most
        lanes = min(lanes, most)
        self._share = most // lanes
        self._wait = wait
        self._queue: FairQueue[_Waiting] = FairQueue()
        self._taken = asyncio.Event()
        self._gathering = asyncio.Lock()
        self._busy = 0  # lanes
        self._threads = ThreadPoolExecutor(lanes, thread_name_prefix="handful-encoder")
        self._tasks = [asyncio.create_task(self._run(), name="handful-batches") for _ in range(lanes)]

    def put(self, tenant: str, request: int, pixels: Pixels) -> "asyncio.Future[Encoded]":
        """The row, to come. Cancel it where nobody wants it any more."""
        row: asyncio.Future[Encoded] = asyncio.get_running_loop().create_future()
        self._queue.put(tenant, request, _Waiting(pixels, time.perf_counter(), row))
        return row

    async def room(self) -> None:
        """Wait until less than two batches wait: enough to keep the encoder busy."""
        while len(self._queue) >= 2 * self._most:
            self._taken.clear()
            await self._taken.wait()

    async def close(self) -> None:
        """Let go; what still waits is cancelled."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        while self._queue:
            (await self._queue.get()).row.cancel()
        await asyncio.to_thread(self._threads.shutdown)

    async def _run(self) -> None:
        while True:
            async with self._gathering:
                batch = await self._gather()
            self._busy += 1
            try:
                await self._serve(batch)
            except asyncio.CancelledError:
                for item in batch:
                    item.row.cancel()
                raise
            except Exception as exc:
                if len(batch) == 1:
                    _fail(batch[0].row, exc)
                else:
                    await self._one_by_one(batch)
            finally:
                self._busy -= 1

    async def _serve(self, batch: Sequence[_Waiting]) -> None:
        started = time.perf_counter()
        loop = asyncio.get_running_loop()
        # The last there is, and no other in the works: all threads together answer it soonest.
        encode = self._encode if self._busy == 1 and not self._queue else self._beside
        rows = await loop.run_in_executor(self._threads, encode, [item.pixels for item in batch])
        if len(rows) != len(batch):
            raise EncoderError(f"the encoder made {len(rows)} rows of {len(batch)} pictures")
        took = time.perf_counter() - started
        metrics.BATCH_IMAGES.observe(len(batch))
        metrics.ENCODE_SECONDS.observe(took)
        metrics.EMBEDDINGS_MADE.labels("image").inc(len(batch))
        for item, row in zip(batch, rows, strict=True):
            metrics.QUEUE_SECONDS.observe(started - item.since)
            if not item.row.done():
                item.row.set_result(Encoded(row, started - item.since, took))

    async def _one_by_one(self, batch: Sequence[_Waiting]) -> None:
        """After a failure: pictures of other requests shall not suffer from one that the encoder refuses."""
        for item in batch:
            try:
                await self._serve([item])
            except asyncio.CancelledError:
                for other in batch:
                    other.row.cancel()
                raise
            except Exception as exc:  # the encoder's
                _fail(item.row, exc)

    async def _gather(self) -> list[_Waiting]:
        loop = asyncio.get_running_loop()
        batch: list[_Waiting] = []
        try:
            async with asyncio.timeout(None) as patience:
                while len(batch) < self._share and (not batch or self._queue or self._wait):
                    item = await self._queue.get()
                    self._taken.set()
                    if item.row.cancelled():
                        continue
                    if not batch and self._wait:
                        patience.reschedule(loop.time() + self._wait)
                    batch.append(item)
        except TimeoutError:
            return batch
        return batch


def _fail(row: "asyncio.Future[Encoded]", exc: Exception) -> None:
    if not row.done():
        row.set_exception(exc)
        row.exception()  # taken note of, should nobody wait any more
