"""Pictures and words of all requests become rows: bounded, fair, and each once."""

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from itertools import count

import numpy as np

from handful.augment import policy_named
from handful.encoders import Encoder
from handful.images import Limits
from handful.rows import Rows, mean_rows
from handful.service import tracing
from handful.service.encoding.batcher import Batcher
from handful.service.encoding.decoders import Decoders, Job
from handful.service.encoding.encoders import Encoders
from handful.service.encoding.memory import Memory
from handful.service.encoding.pictures import Keeping, Wanted
from handful.service.encoding.preparation import Preparation
from handful.service.encoding.sampling import Sampling
from handful.service.encoding.texts import Texts
from handful.service.encoding.waiting import Waiting
from handful.settings import Settings

_MOST_THREADS = 8  # that decode
_HASHED_HERE = 2**18  # bytes; more is hashed in a thread, so that the event loop goes on


@dataclass(slots=True)
class Timings:
    """Seconds that a request spent: each the longest of its pictures.

    encoded : pictures that the encoder looked at for it, every view of each.
    """

    decode: float = 0.0
    queue: float = 0.0
    encode: float = 0.0
    score: float = 0.0
    encoded: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture as rows X (V, D), one for each view, and what shots need to know of it.

    width, height : pixels of the original, the right way up.    sha256 : of the bytes as they came.
    """

    X: Rows
    width: int
    height: int
    sha256: str


@dataclass(frozen=True, slots=True)
class _Tower:
    preparation: Preparation
    batcher: Batcher


class Encoding:
    """Encoders for all requests of a process.

    To be made in the event loop; `start` loads the default encoder, and `ready` says that it is warm.
    encoder : stands for the one of that name in the settings; None loads it.
    """

    def __init__(self, settings: Settings, encoder: Encoder | None = None) -> None:
        self._settings = settings
        self.encoders = Encoders(settings, encoder)
        self._memory = Memory(settings.embeddings_cache_bytes)
        self._texts = Texts(self._memory)
        self._sampling = Sampling(settings.traffic_tenants, settings.data_dir)
        self._towers: dict[str, _Tower] = {}
        self._waiting = Waiting(settings.queue_images)
        self._requests = count()
        self._decoders = Decoders(
            threads=settings.decode_threads or min(_MOST_THREADS, _usable_cpus()),
            limits=Limits(
                max_bytes=settings.image_max_bytes,
                max_pixels=settings.image_max_pixels,
                max_side=settings.image_max_side,
            ),
        )
        self.ready = False
        self.failure: str | None = None  # why it is not, and will not be

    @property
    def remembers(self) -> bool:
        """Whether what was encoded is found again."""
        return bool(self._memory)

    async def start(self) -> None:
        """Load the default encoder and let it see a picture; then, being ready, what is wanted later."""
        try:
            encoder = await self.encoders.found(None)
            self.encoders.start(encoder)
            await asyncio.to_thread(encoder.encode_images, [np.full((64, 64, 3), 255, np.uint8)])
            self.ready = True
            await self.texts("", encoder, ["a photo."])
            await asyncio.to_thread(lambda: encoder.background)
            preparation = Preparation.of(encoder)
            if preparation.beside is not None:
                blank = preparation.prepare(np.full((64, 64, 3), 255, np.uint8))
                await asyncio.to_thread(preparation.beside, [blank])
        except Exception as exc:  # whatever it is, whoever asks whether this is ready is told
            self.ready = False
            self.failure = str(exc) or type(exc).__name__

    async def close(self) -> None:
        """Finish what was accepted, for as long as the settings give it; cancel the rest; end the threads."""
        await self._waiting.close(self._settings.shutdown_seconds)
        await self._decoders.close()
        for tower in self._towers.values():
            await tower.batcher.close()
        await self._texts.close()
        await self._sampling.close()
        await self.encoders.close()

    def encoder(self, name: str | None = None) -> Encoder:
        """The encoder of a name; None: the default one. For threads: it may be fetched first.

        Raises RequestError for one that cannot be had.
        """
        return self.encoders.at_once(name)

    async def pictures(
        self,
        tenant: str,
        encoder: Encoder,
        images: Sequence[bytes],
        *,
        pointers: Sequence[str],
        views: str = "none",
        keep: Callable[[int, bytes], None] | None = None,
        timings: Timings | None = None,
    ) -> list[Picture]:
        """Rows of encoded pictures, and more about them; equal ones are decoded and encoded once.

        pointers : what to call each in errors.    views : a policy of `augment`.    keep : is told the place
        of each picture and the JPEG to keep of it, as soon as it is decoded, if the settings want pictures
        kept at all.
        Raises RequestError for a picture that cannot be read, and BusyError where too many wait.
        """
        return await self._pictures(
            tenant,
            encoder,
            images,
            await _digests(images),
            pointers=pointers,
            views=views,
            keep=keep,
            timings=timings,
        )

    async def rows(
        self,
        tenant: str,
        encoder: Encoder,
        images: Sequence[bytes],
        *,
        pointers: Sequence[str],
        views: str = "none",
        timings: Timings | None = None,
    ) -> Rows:
        """(N, D) of pictures of which nothing else is wanted; those seen before are not even decoded.

        views : a policy of `augment`, whose views of a picture are seen in the mean; each takes a place in
        the queue.
        """
        digests = await _digests(images)
        found = {
            digest: X
            for digest in dict.fromkeys(digests)
            if (X := self._known(tenant, encoder, digest, views)) is not None
        }
        fresh = [at for at, digest in enumerate(digests) if digest not in found]
        made = await self._pictures(
            tenant,
            encoder,
            [images[at] for at in fresh],
            [digests[at] for at in fresh],
            pointers=[pointers[at] for at in fresh],
            views=views,
            keep=None,
            timings=timings,
            places_each=policy_named(views).count,
        )
        found |= {picture.sha256: picture.X for picture in made}
        if not digests:
            return np.empty((0, encoder.dimension), np.float32)
        return mean_rows(np.stack([found[digest] for digest in digests]))

    async def texts(self, tenant: str, encoder: Encoder, texts: Sequence[str]) -> Rows:
        """(M, D) of prompts. Raises EncoderError for an empty one."""
        async with self.encoders.used(encoder):
            return await self._texts.rows(tenant, encoder, texts)

    # ---- a picture's way

    async def _pictures(
        self,
        tenant: str,
        encoder: Encoder,
        images: Sequence[bytes],
        digests: Sequence[str],
        *,
        pointers: Sequence[str],
        views: str,
        keep: Callable[[int, bytes], None] | None,
        timings: Timings | None,
        places_each: int = 1,
    ) -> list[Picture]:
        """places_each : that a picture takes in the queue."""
        timings = Timings() if timings is None else timings
        places: dict[str, list[int]] = {}
        for at, digest in enumerate(digests):
            places.setdefault(digest, []).append(at)
        request = next(self._requests)
        self._waiting.accept(tenant, places_each * len(places))
        tasks = [
            asyncio.create_task(
                self._picture(
                    tenant,
                    request,
                    encoder,
                    images[own[0]],
                    digest,
                    pointers[own[0]],
                    views,
                    partial(_keep, keep, own) if keep is not None and self._settings.keep_images else None,
                    timings,
                )
            )
            for digest, own in places.items()
        ]
        for task in tasks:
            task.add_done_callback(partial(self._note, tenant, places_each))
        async with self.encoders.used(encoder):
            made = await _all(tasks)
        known = dict(zip(places, made, strict=True))
        return [known[digest] for digest in digests]

    def _note(self, tenant: str, places: int, task: "asyncio.Task[Picture]") -> None:
        encoded = not task.cancelled() and task.exception() is None
        for _ in range(places):
            self._waiting.done(tenant, encoded=encoded)

    async def _picture(
        self,
        tenant: str,
        request: int,
        encoder: Encoder,
        data: bytes,
        digest: str,
        name: str,
        policy: str,
        keep: Callable[[bytes], None] | None,
        timings: Timings,
    ) -> Picture:
        X = self._known(tenant, encoder, digest, policy)
        tower = self._tower(encoder)
        wanted = Wanted(
            preparation=tower.preparation if X is None else None,
            policy=policy,
            keeping=Keeping(side=self._settings.keep_side, quality=self._settings.keep_quality)
            if keep is not None
            else None,
        )
        done = await self._decoders.decode(
            Job(
                tenant=tenant,
                request=request,
                batcher=tower.batcher,
                data=data,
                name=name,
                wanted=wanted,
            )
        )
        if keep is not None and done.decoded.kept is not None:
            keep(done.decoded.kept)
        tracing.took("decode", done.decode)
        timings.decode = max(timings.decode, done.decode)
        timings.queue = max(timings.queue, done.queue)
        if X is None:
            encoded = await asyncio.gather(*done.coming)
            timings.queue = max(timings.queue, done.queue + max(item.queue for item in encoded))
            encode = max(item.encode for item in encoded)
            tracing.took("encode", encode)
            timings.encode = max(timings.encode, encode)
            timings.encoded += len(encoded)
            X = np.stack([item.row for item in encoded])
            self._sampling.saw(tenant, encoder, X[0])
            self._memory.put("image", tenant, encoder.fingerprint, f"{digest} {policy}", X)
        return Picture(
            X=X,
            width=done.decoded.width,
            height=done.decoded.height,
            sha256=digest,
        )

    def _known(self, tenant: str, encoder: Encoder, digest: str, policy: str) -> Rows | None:
        return self._memory.get("image", tenant, encoder.fingerprint, f"{digest} {policy}")

    def _tower(self, encoder: Encoder) -> _Tower:
        if encoder.fingerprint not in self._towers:
            preparation = Preparation.of(encoder)
            batcher = Batcher(
                preparation.encode,
                beside=preparation.beside,
                lanes=preparation.lanes,
                most=self._settings.batch_images,
                wait=self._settings.batch_wait_ms / 1000,
            )
            self._towers[encoder.fingerprint] = _Tower(preparation, batcher)
        return self._towers[encoder.fingerprint]


def _keep(keep: Callable[[int, bytes], None], places: Sequence[int], kept: bytes) -> None:
    """Equal pictures are kept once for each."""
    for at in places:
        keep(at, kept)


async def _all(tasks: Sequence["asyncio.Task[Picture]"]) -> list[Picture]:
    """The results in order; the first failure ends the others."""
    try:
        return list(await asyncio.gather(*tasks))
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


async def _digests(images: Sequence[bytes]) -> list[str]:
    if sum(map(len, images)) <= _HASHED_HERE:
        return [sha256(data).hexdigest() for data in images]
    return await asyncio.to_thread(lambda: [sha256(data).hexdigest() for data in images])


def _usable_cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
