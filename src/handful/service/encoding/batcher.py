"""Batches: pictures of different requests go through the encoder together."""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from handful.encoders.base import Encoder, PreparingEncoder
from handful.pixels import Pixels
from handful.rows import Rows
from handful.service import metrics


@dataclass(frozen=True, slots=True)
class _Waiting:
    pixels: Pixels
    since: float
    row: "asyncio.Future[Encoded]"


@dataclass(frozen=True, slots=True)
class Encoded:
    """row : (D,).    queue, encode : seconds that it waited, and that its batch took."""

    row: Rows
    queue: float
    encode: float


class Batcher:
    """One thread that encodes. While it works the next batch gathers; an idle one starts at once.

    most : pictures of a batch.    wait : seconds that a batch which is not full waits for more.
    """

    def __init__(self, encoder: Encoder, *, most: int, wait: float) -> None:
        self._encode = _encode_batch(encoder)
        self._most = most
        self._wait = wait
        # Twice a batch: enough to keep the encoder busy, and so few that turns are taken where pictures queue
        # before they are decoded.
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue(maxsize=2 * most)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="handful-encoder")
        self._task = asyncio.create_task(self._run(), name="handful-batches")

    async def put(self, pixels: Pixels) -> "asyncio.Future[Encoded]":
        """Wait for room in the queue; the row comes later."""
        row: asyncio.Future[Encoded] = asyncio.get_running_loop().create_future()
        await self._queue.put(_Waiting(pixels, time.perf_counter(), row))
        return row

    async def close(self) -> None:
        """Let go; what still waits is cancelled."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        while not self._queue.empty():
            self._queue.get_nowait().row.cancel()
        await asyncio.to_thread(self._thread.shutdown)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            batch = await self._gather()
            started = time.perf_counter()
            try:
                rows = await loop.run_in_executor(self._thread, self._encode, [item.pixels for item in batch])
            except asyncio.CancelledError:
                for item in batch:
                    item.row.cancel()
                raise
            except Exception as exc:  # the encoder's: each that waits for it is told
                for item in batch:
                    _fail(item.row, exc)
                continue
            took = time.perf_counter() - started
            metrics.BATCH_IMAGES.observe(len(batch))
            metrics.ENCODE_SECONDS.observe(took)
            for item, row in zip(batch, rows, strict=True):
                metrics.QUEUE_SECONDS.observe(started - item.since)
                if not item.row.done():
                    item.row.set_result(Encoded(row, started - item.since, took))

    async def _gather(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        while not batch:
            first = await self._queue.get()
            if not first.row.cancelled():
                batch.append(first)
        until = time.perf_counter() + self._wait
        while len(batch) < self._most:
            try:
                left = until - time.perf_counter()
                item = (
                    self._queue.get_nowait()
                    if left <= 0
                    else await asyncio.wait_for(self._queue.get(), timeout=left)
                )
            except (asyncio.QueueEmpty, TimeoutError):
                break
            if not item.row.cancelled():
                batch.append(item)
        return batch


def _encode_batch(encoder: Encoder) -> Callable[[Sequence[Pixels]], Rows]:
    if isinstance(encoder, PreparingEncoder):
        return lambda pixels: encoder.encode_prepared(np.stack(pixels))
    return lambda pixels: encoder.encode_images(pixels)


def _fail(row: "asyncio.Future[Encoded]", exc: Exception) -> None:
    if not row.done():
        row.set_exception(exc)
        row.exception()  # taken note of, should nobody wait any more
