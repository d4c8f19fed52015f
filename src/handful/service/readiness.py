"""Whether the service can answer at full speed, now."""

import asyncio

from handful.errors import StorageError
from handful.service.encoding import Encoding
from handful.storage.store import Store

_REMEMBERED = 1.0  # seconds that an answer of the store is good for
_PATIENCE = 5.0  # seconds for it


class Readiness:
    """Asks the store at most once a second, however many ask it."""

    def __init__(self, store: Store, encoding: Encoding) -> None:
        self._store = store
        self._encoding = encoding
        self._asked: asyncio.Task[str | None] | None = None
        self._asked_at = 0.0

    async def missing(self) -> str | None:
        """What is missing, in words; None: nothing."""
        if not self._encoding.ready:
            failure = self._encoding.failure
            return (
                "the encoder is being loaded"
                if failure is None
                else f"the encoder cannot be loaded: {failure}"
            )
        now = asyncio.get_running_loop().time()
        if self._asked is None or (self._asked.done() and now - self._asked_at > _REMEMBERED):
            self._asked_at = now
            self._asked = asyncio.create_task(self._ask(), name="handful-store-check")
        return await asyncio.shield(self._asked)

    async def close(self) -> None:
        """Ask no longer."""
        if self._asked is not None:
            self._asked.cancel()
            await asyncio.gather(self._asked, return_exceptions=True)

    async def _ask(self) -> str | None:
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._store.check()
        except StorageError as exc:
            return f"the store cannot be used: {exc}"
        except TimeoutError:
            return f"the store did not answer within {_PATIENCE:.0f} s; look at its load and the network"
        return None
