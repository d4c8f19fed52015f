"""How many pictures are on their way, and when there will be room for more."""

import asyncio
import time
from collections import Counter

from handful.errors import BusyError
from handful.service import metrics

_GUESS = 0.05  # seconds between two pictures, until some are done
_MEMORY = 0.95  # how much of the old pace stays when a picture is done
_OVERFULL = 2  # times the most, which shares of tenants that come later never exceed
_SHORTEST = 1.0  # seconds after which it makes sense to try again


class Waiting:
    """Counts pictures from when they are accepted to when they are done.

    most : pictures at once; a request of more is taken when there is no other. Where some tenants take up
    all of it, another still gets the share that it would have if all had the same.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._count = 0
        self._of_tenant: Counter[str] = Counter()
        self._pace = _GUESS  # seconds from one picture to the next, of late
        self._last = 0.0  # when one was done, or the first of them came
        self._none = asyncio.Event()
        self._none.set()
        self._closed = False

    def accept(self, tenant: str, count: int) -> None:
        """Take pictures in, all or none. Raises BusyError with the time in which there should be room."""
        if self._closed:
            raise BusyError("the service is stopping; try again a little later", retry_after=_SHORTEST)
        excess = self._count + count - self._most
        if self._count and excess > 0 and not self._has_share(tenant, count):
            raise BusyError(
                f"{self._count} pictures wait for the encoder, and {count} more would be over the limit of "
                f"{self._most}; try again a little later",
                retry_after=max(_SHORTEST, round(min(excess, self._count) * self._pace, 1)),
            )
        if not count:
            return
        if not self._count:
            self._last = time.perf_counter()
            self._none.clear()
        self._count += count
        self._of_tenant[tenant] += count
        metrics.WAITING_IMAGES.set(self._count)

    def done(self, tenant: str, *, encoded: bool) -> None:
        """One fewer; `encoded` unless it failed or nobody wants it any more."""
        self._count -= 1
        self._of_tenant[tenant] -= 1
        if not self._of_tenant[tenant]:
            del self._of_tenant[tenant]
        metrics.WAITING_IMAGES.set(self._count)
        if not self._count:
            self._none.set()
        if encoded:
            now = time.perf_counter()
            self._pace = _MEMORY * self._pace + (1 - _MEMORY) * (now - self._last)
            self._last = now

    def _has_share(self, tenant: str, count: int) -> bool:
        others = len(self._of_tenant) - (tenant in self._of_tenant)
        share = self._most // (others + 1)
        return (
            others > 0
            and self._of_tenant[tenant] + count <= share
            and self._count + count <= _OVERFULL * self._most
        )

    async def close(self, seconds: float) -> None:
        """Take no more in, and wait, so long at most, until those that were taken in are done."""
        self._closed = True
        try:
            await asyncio.wait_for(self._none.wait(), seconds)
        except TimeoutError:
            return
