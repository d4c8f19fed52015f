"""The encoders of a service: which a caller may name, found in a thread, each once."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress

from handful.encoders import Encoder, load_encoder
from handful.encoders.catalogue import CATALOGUE
from handful.encoders.ensemble import SEPARATOR
from handful.encoders.residency import Residency
from handful.errors import EncoderError, MissingExtraError, RequestError
from handful.service import metrics
from handful.settings import Settings

ANY = "*"  # in HANDFUL_ENCODERS: any name of the catalogue
_SWEEPS = 10  # looks for idle encoders within the time after which they go
_THREADS = 2  # that find encoders; one may be fetched for minutes


class Encoders:
    """Encoders by name; their towers come into memory with the first use, and go as the settings say.

    given : stands for the default one; None loads it.
    """

    def __init__(self, settings: Settings, given: Encoder | None) -> None:
        self._settings = settings
        self._given = given
        self._found: dict[str, Encoder] = {}
        self._finding: dict[str, asyncio.Task[Encoder]] = {}
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="handful-find-encoder")
        self._sweeping: asyncio.Task[None] | None = None
        self._leaving: set[asyncio.Future[list[str]]] = set()
        self.residency = Residency(
            most_bytes=settings.encoders_bytes,
            idle_seconds=60 * settings.encoders_idle_minutes,
            told=_count,
        )

    def names(self) -> list[str]:
        """Those that a caller may name, the default one first; ensembles of them besides."""
        default = self._settings.encoder if self._given is None else self._given.name
        always = [] if self._given is not None and self._settings.encoder == "builtin" else ["builtin"]
        listed = [name for name in self._settings.encoders if name != ANY]
        catalogue = CATALOGUE if ANY in self._settings.encoders else ()
        return list(dict.fromkeys([default, *always, *listed, *catalogue]))

    def check(self, name: str) -> None:
        """Raises RequestError for a name that callers may not use, whether it is one or not."""
        if not self.allowed(name):
            raise RequestError(
                f"there is no encoder {name[:200]!r} for callers; there is {', '.join(self.names())}: "
                "who runs the service lists more in HANDFUL_ENCODERS",
                pointer="/encoder",
            )

    def at_once(self, name: str | None) -> Encoder:
        """As `found`, on the thread that calls, which may be kept for as long as fetching takes."""
        wanted = name or self._settings.encoder
        known = self.known(wanted)
        if known is not None:
            return known
        try:
            encoder = load_encoder(wanted, settings=self._settings, cached=False)
            if encoder.dimension < 1:  # asked here: where no file tells it, the image tower is loaded for it
                raise EncoderError(f"encoder {wanted!r} makes rows of no columns")
        except (EncoderError, MissingExtraError) as exc:
            raise RequestError(str(exc), pointer="/encoder") from exc
        return self._found.setdefault(wanted, encoder)

    async def named(self, name: str | None) -> Encoder:
        """The encoder that a caller names; None: the default one.

        Raises RequestError for one that callers may not name, or that cannot be had.
        """
        if name is not None:
            self.check(name)
        return await self.found(name)

    async def found(self, name: str | None) -> Encoder:
        """The encoder of a classifier that is there, whether its name is still listed or not.

        Raises RequestError for one that cannot be had.
        """
        wanted = name or self._settings.encoder
        if (known := self.known(wanted)) is not None:
            return known
        if wanted not in self._finding:
            task = asyncio.create_task(self._find(wanted), name="handful-find-encoder")
            self._finding[wanted] = task
            task.add_done_callback(lambda done: self._ended(wanted, done))
        return await asyncio.shield(self._finding[wanted])

    @asynccontextmanager
    async def used(self, encoder: Encoder) -> AsyncIterator[None]:
        """To the end of the block its towers stay in memory. Others are made to go in a thread."""
        if self.residency.begin(encoder):
            await asyncio.to_thread(self.residency.make_room)
        try:
            yield
        finally:
            if self.residency.end(encoder):
                leaving = asyncio.get_running_loop().run_in_executor(None, self.residency.make_room)
                self._leaving.add(leaving)
                leaving.add_done_callback(self._leaving.discard)

    def start(self, default: Encoder) -> None:
        """The default one stays; others are looked after from now on."""
        self.residency.keep(default)
        if self._sweeping is None:
            self._sweeping = asyncio.create_task(self._sweep(), name="handful-idle-encoders")

    async def close(self) -> None:
        """Look after nothing any more. One that is still being fetched is fetched to its end, for nobody."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            with suppress(asyncio.CancelledError):
                await self._sweeping
        for task in self._finding.values():
            task.cancel()
        await asyncio.gather(*self._finding.values(), *self._leaving, return_exceptions=True)
        self._threads.shutdown(wait=False, cancel_futures=True)

    def allowed(self, name: str) -> bool:
        """Whether a caller may name it."""
        if name in self.names():
            return True
        parts = name.split(SEPARATOR)
        return len(parts) > 1 and all(map(self.allowed, parts))

    def known(self, wanted: str) -> Encoder | None:
        """The encoder of a name, if it was found before."""
        if self._given is not None and wanted in (self._settings.encoder, self._given.name):
            return self._given
        return self._found.get(wanted)

    async def _find(self, wanted: str) -> Encoder:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self.at_once, wanted)

    def _ended(self, wanted: str, task: "asyncio.Task[Encoder]") -> None:
        self._finding.pop(wanted, None)
        if not task.cancelled():
            task.exception()  # taken note of, should nobody wait any more

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(60 * self._settings.encoders_idle_minutes / _SWEEPS)
            await asyncio.to_thread(self.residency.unload_idle)


def _count(loaded_bytes: int, loads: int, unloads: int) -> None:
    metrics.ENCODERS_LOADED_BYTES.set(loaded_bytes)
    metrics.ENCODER_LOADS.inc(loads)
    metrics.ENCODER_UNLOADS.inc(unloads)
