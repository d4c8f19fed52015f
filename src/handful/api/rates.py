"""How many requests a tenant may send."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from math import floor
from types import TracebackType

import structlog

from handful.errors import QuotaError, StorageError
from handful.storage.store import Store

_SOONEST, _LATEST = 0.02, 0.25  # seconds between two settlings
_SHARE = 1 / 8  # of what is left: admitted here, it is settled sooner
_KEPT = 3  # periods that others can hear of a count
_PAUSE = 1.0  # seconds until a store that was away is asked again

_log = structlog.get_logger("handful.rates")


@dataclass(slots=True)
class _Spent:
    """Requests of a tenant by number of the period.    known : of all processes.    new : here since."""

    known: dict[int, int] = field(default_factory=dict)
    new: dict[int, int] = field(default_factory=dict)

    def of(self, number: int) -> int:
        return self.known.get(number, 0) + self.new.get(number, 0)

    def forget(self, before: int) -> None:
        for counts in (self.known, self.new):
            for number in [one for one in counts if one < before]:
                del counts[number]


class Rates:
    """Counts the requests of each tenant in a sliding period, in all processes whose store shares counts.

    No request waits for the store. A process admits by what it knows, and settles beside that: 4 times a
    second, or as soon as it has admitted an eighth of what was left, but at most 50 times a second. So each
    process beside the first may admit an eighth of the limit, and what comes within 20 ms, too much.
    The periods are those of the processes' clocks. While the store is away, and where it shares no counts,
    each process counts for itself.

    per_second : requests allowed to a tenant; below 1: one in so many seconds; None: any number.
    clock : seconds, the same for all processes.
    """

    def __init__(
        self, per_second: float | None, store: Store, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._most = None if per_second is None else max(1, int(per_second))
        self._period = 1 if per_second is None or per_second >= 1 else round(1 / per_second)
        self._store = store
        self._clock = clock
        self._tenants: dict[str, _Spent] = {}
        self._unsettled: set[str] = set()
        self._due, self._urgent = asyncio.Event(), asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Rates":
        if self._most is not None:
            self._task = asyncio.create_task(self._settle_on(), name="handful-rates")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def spend(self, tenant: str) -> None:
        """Raises QuotaError where the tenant has sent too many of late."""
        if self._most is None:
            return
        number, gone = self._now()
        spent = self._tenants.setdefault(tenant, _Spent())
        spent.forget(number - 1)
        self._unsettled.add(tenant)
        self._due.set()
        before, now = spent.of(number - 1), spent.of(number)
        left = self._most - before * (1 - gone) - now
        if left < 1:
            wait = (1 - left) / before if now < self._most else 1 - gone  # in periods
            raise QuotaError(
                f"this is more than {self._most} requests in {self._period} s; slow down",
                retry_after=max(1.0, wait * self._period),
            )
        spent.new[number] = spent.new.get(number, 0) + 1
        if sum(spent.new.values()) > _SHARE * left:
            self._urgent.set()

    async def settle(self) -> bool:
        """Tell the store what was spent here, and hear what was spent in all; False: it shares no counts.

        Raises StorageError.
        """
        number, _ = self._now()
        told: dict[tuple[str, str], int] = {}
        for tenant in self._unsettled:
            for one in (number - 1, number):
                told[tenant, self._name(one)] = self._tenants[tenant].new.get(one, 0)
        asked, self._unsettled = self._unsettled, set()
        if not told:
            return True
        try:
            sums = await self._store.tally(told, keep=timedelta(seconds=_KEPT * self._period))
        except BaseException:
            self._unsettled |= asked
            raise
        if sums is None:
            return False
        for tenant in asked:
            spent = self._tenants[tenant]
            for one in (number - 1, number):
                spent.known[one] = sums[tenant, self._name(one)]
                spent.new[one] = spent.new.get(one, 0) - told[tenant, self._name(one)]
        self._forget(number - 1)
        return True

    async def _settle_on(self) -> None:
        shared = True
        while shared:
            await self._due.wait()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._urgent.wait(), _LATEST)
            self._due.clear()
            self._urgent.clear()
            try:
                shared = await self.settle()
                await asyncio.sleep(_SOONEST)
            except StorageError as exc:
                _log.warning("this process counts requests for itself", error=str(exc))
                await asyncio.sleep(_PAUSE)

    def _forget(self, before: int) -> None:
        """Tenants who have sent nothing since."""
        for tenant, spent in list(self._tenants.items()):
            spent.forget(before)
            if not spent.known and not spent.new:
                del self._tenants[tenant]

    def _now(self) -> tuple[int, float]:
        """Number of the period, and how much of it is gone."""
        at = self._clock() / self._period
        return floor(at), at - floor(at)

    def _name(self, number: int) -> str:
        return f"{self._period}s:{number}"
