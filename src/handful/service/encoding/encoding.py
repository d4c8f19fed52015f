"""Pictures and words of all requests become rows: bounded, fair, and each once."""

import asyncio
import os
import time
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import numpy as np

from handful.encoders import Encoder, load_encoder
from handful.errors import BusyError, EncoderError, ImageError, RequestError
from handful.images import Limits
from handful.rows import Rows
from handful.service import metrics
from handful.service.encoding.batcher import Batcher, Encoded
from handful.service.encoding.fair_queue import FairQueue
from handful.service.encoding.memory import Memory
from handful.service.encoding.pictures import Decoded, Keeping, decode_picture
from handful.settings import Settings

_MOST_THREADS = 8  # that decode
_GUESS = 0.05  # seconds per picture, until some were encoded
_MEMORY_OF_SPEED = 0.9  # how much of the old guess stays when a picture is done


@dataclass(slots=True)
class Timings:
    """Seconds that a request spent: each the longest of its pictures."""

    decode: float = 0.0
    queue: float = 0.0
    encode: float = 0.0
    score: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture as rows X (V, D), one for each view, and what shots need to know of it."""

    X: Rows
    width: int
    height: int
    sha256: str
    kept: bytes | None


@dataclass(slots=True, kw_only=True)
class _Job:
    """A picture on its way."""

    encoder: Encoder
    data: bytes
    name: str
    policy: str
    keeping: Keeping | None
    since: float = field(default_factory=time.perf_counter)
    done: "asyncio.Future[tuple[Decoded, list[asyncio.Future[Encoded]], float, float]]"


class Encoding:
    """One encoder for all requests of a process.

    To be made in the event loop; `start` loads the default encoder, and `ready` says that it is warm.
    encoder : stands for the one of that name in the settings; None loads it.
    """

    def __init__(self, settings: Settings, encoder: Encoder | None = None) -> None:
        self._settings = settings
        self._limits = Limits(
            max_bytes=settings.image_max_bytes,
            max_pixels=settings.image_max_pixels,
            max_side=settings.image_max_side,
        )
        self._given = encoder
        self._memory = Memory(settings.embeddings_cache_bytes)
        self._batchers: dict[str, Batcher] = {}
        self._line: FairQueue[_Job] = FairQueue()
        threads = settings.decode_threads or min(_MOST_THREADS, len(os.sched_getaffinity(0)))
        self._decoders = ThreadPoolExecutor(threads, thread_name_prefix="handful-decode")
        self._words = ThreadPoolExecutor(1, thread_name_prefix="handful-words")
        self._tasks = [asyncio.create_task(self._decode_next()) for _ in range(threads)]
        self._pending = 0
        self._seconds = _GUESS  # per picture, as of late
        self.ready = False
        self.failure: str | None = None  # why it never will be

    async def start(self) -> None:
        """Load the default encoder and let it see one picture and one text."""
        try:
            encoder = await asyncio.to_thread(self.encoder, None)
            blank = np.full((64, 64, 3), 255, np.uint8)
            await asyncio.to_thread(encoder.encode_images, [blank])
        except (EncoderError, ImageError, RequestError, OSError) as exc:
            self.failure = str(exc)
            return
        self.ready = True
        await asyncio.get_running_loop().run_in_executor(self._words, encoder.encode_texts, ["a photo."])

    async def close(self) -> None:
        """Let go of the threads. Requests are over by now; what still waits is cancelled."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for batcher in self._batchers.values():
            await batcher.close()
        await asyncio.to_thread(self._decoders.shutdown)
        await asyncio.to_thread(self._words.shutdown)

    def encoder(self, name: str | None = None) -> Encoder:
        """The encoder of a name; None: the default one. Raises RequestError for a name there is none of."""
        wanted = name or self._settings.encoder
        if self._given is not None and wanted in (self._settings.encoder, self._given.name):
            return self._given
        try:
            return load_encoder(wanted, settings=self._settings, cached=False)
        except EncoderError as exc:
            raise RequestError(str(exc), pointer="/encoder") from exc

    async def pictures(
        self,
        tenant: str,
        encoder: Encoder,
        images: Sequence[bytes],
        *,
        pointers: Sequence[str],
        views: str = "none",
        keep: bool = False,
        timings: Timings | None = None,
    ) -> list[Picture]:
        """Rows of encoded pictures, and more about them; equal ones are encoded once.

        pointers : what to call each in errors.    views : a policy of `augment`.    keep : whether to make
        the JPEG that is kept, if the settings want pictures kept at all.
        Raises RequestError for a picture that cannot be read, and BusyError where too many wait.
        """
        timings = Timings() if timings is None else timings
        keep = keep and self._settings.keep_images
        keeping = (
            Keeping(side=self._settings.keep_side, quality=self._settings.keep_quality) if keep else None
        )
        digests = [sha256(data).hexdigest() for data in images]
        first = {digest: at for at, digest in reversed(list(enumerate(digests)))}
        self._admit(len(first))
        try:
            made = await _all(
                [
                    self._picture(tenant, encoder, images[at], pointers[at], views, keeping, timings)
                    for at in first.values()
                ]
            )
        finally:
            self._pending -= len(first)
            metrics.WAITING_IMAGES.set(self._pending)
        known = dict(zip(first, made, strict=True))
        return [known[digest] for digest in digests]

    async def rows(
        self,
        tenant: str,
        encoder: Encoder,
        images: Sequence[bytes],
        *,
        pointers: Sequence[str],
        timings: Timings | None = None,
    ) -> Rows:
        """(N, D) of pictures of which nothing else is wanted; those seen before are not even decoded."""
        digests = [sha256(data).hexdigest() for data in images]
        found = {
            digest: row
            for digest in dict.fromkeys(digests)
            if (row := self._memory.get("image", tenant, encoder.fingerprint, digest)) is not None
        }
        fresh = [at for at, digest in enumerate(digests) if digest not in found]
        made = await self.pictures(
            tenant,
            encoder,
            [images[at] for at in fresh],
            pointers=[pointers[at] for at in fresh],
            timings=timings,
        )
        for at, picture in zip(fresh, made, strict=True):
            found[digests[at]] = picture.X
            self._memory.put("image", tenant, encoder.fingerprint, digests[at], picture.X)
        return np.concatenate([found[digest] for digest in digests]) if digests else _no_rows(encoder)

    async def texts(self, tenant: str, encoder: Encoder, texts: Sequence[str]) -> Rows:
        """(M, D) of prompts. Raises EncoderError for an empty one."""
        seen_by = encoder.fingerprint
        found = {
            text: row
            for text in dict.fromkeys(texts)
            if (row := self._memory.get("text", tenant, seen_by, text)) is not None
        }
        missing = [text for text in dict.fromkeys(texts) if text not in found]
        if missing:
            loop = asyncio.get_running_loop()
            made = await loop.run_in_executor(self._words, encoder.encode_texts, missing)
            metrics.EMBEDDINGS_MADE.labels("text").inc(len(missing))
            for text, row in zip(missing, made, strict=True):
                found[text] = row
                self._memory.put("text", tenant, seen_by, text, row)
        return np.stack([found[text] for text in texts]) if texts else _no_rows(encoder)

    # ---- a picture's way

    def _admit(self, count: int) -> None:
        most = self._settings.queue_images
        if self._pending + count > most and self._pending:
            raise BusyError(
                f"{self._pending} pictures wait for the encoder, and {most} may; try again a little later",
                retry_after=max(1.0, round(self._pending * self._seconds, 1)),
            )
        self._pending += count
        metrics.WAITING_IMAGES.set(self._pending)

    async def _picture(
        self,
        tenant: str,
        encoder: Encoder,
        data: bytes,
        name: str,
        policy: str,
        keeping: Keeping | None,
        timings: Timings,
    ) -> Picture:
        loop = asyncio.get_running_loop()
        started = time.perf_counter()
        job = _Job(
            encoder=encoder,
            data=data,
            name=name,
            policy=policy,
            keeping=keeping,
            done=loop.create_future(),
        )
        self._line.put(tenant, job)
        decoded, coming, decode, queue = await job.done
        try:
            encoded = await asyncio.gather(*coming)
        except asyncio.CancelledError:
            for row in coming:
                row.cancel()
            raise
        metrics.EMBEDDINGS_MADE.labels("image").inc(len(encoded))
        took = (time.perf_counter() - started) / max(self._pending, 1)
        self._seconds = _MEMORY_OF_SPEED * self._seconds + (1 - _MEMORY_OF_SPEED) * took
        timings.decode = max(timings.decode, decode)
        timings.queue = max(timings.queue, queue + max(item.queue for item in encoded))
        timings.encode = max(timings.encode, max(item.encode for item in encoded))
        return Picture(
            X=np.stack([item.row for item in encoded]),
            width=decoded.width,
            height=decoded.height,
            sha256=decoded.sha256,
            kept=decoded.kept,
        )

    async def _decode_next(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            job = await self._line.get()
            if job.done.cancelled():
                continue
            begun = time.perf_counter()
            try:
                decoded = await loop.run_in_executor(self._decoders, self._decode, job)
                took = time.perf_counter() - begun
                metrics.DECODE_SECONDS.observe(took)
                coming = [await self._batcher(job.encoder).put(pixels) for pixels in decoded.prepared]
            except asyncio.CancelledError:
                job.done.cancel()
                raise
            except Exception as exc:  # of this picture; the others go on
                wrong = isinstance(exc, ImageError)
                if not job.done.done():
                    job.done.set_exception(RequestError(str(exc), pointer=job.name) if wrong else exc)
                continue
            if job.done.cancelled():
                for row in coming:
                    row.cancel()
            else:
                job.done.set_result((decoded, coming, took, begun - job.since))

    def _decode(self, job: _Job) -> Decoded:
        return decode_picture(
            job.data,
            job.encoder,
            policy=job.policy,
            keeping=job.keeping,
            limits=self._limits,
            name=job.name.strip("/").replace("/", " "),
        )

    def _batcher(self, encoder: Encoder) -> Batcher:
        if encoder.fingerprint not in self._batchers:
            self._batchers[encoder.fingerprint] = Batcher(
                encoder, most=self._settings.batch_images, wait=self._settings.batch_wait_ms / 1000
            )
        return self._batchers[encoder.fingerprint]


async def _all(work: Sequence[Coroutine[Any, Any, Picture]]) -> list[Picture]:
    """The results in order; the first failure ends the others."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        return list(await asyncio.gather(*tasks))
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


def _no_rows(encoder: Encoder) -> Rows:
    return np.empty((0, encoder.dimension), np.float32)
