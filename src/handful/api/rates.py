"""How many requests a tenant may send."""

import time

from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from handful.errors import QuotaError


class Rates:
    """Counts requests in this process.    per_second : allowed to each tenant; None: no limit."""

    def __init__(self, per_second: float | None) -> None:
        self._item = None if per_second is None else _item(per_second)
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    def spend(self, tenant: str) -> None:
        """Raises QuotaError where the tenant has sent too many of late."""
        if self._item is None or self._limiter.hit(self._item, tenant):
            return
        wait = self._limiter.get_window_stats(self._item, tenant).reset_time - time.time()
        raise QuotaError(
            f"this is more than {self._item.amount} requests in {self._item.get_expiry()} s; slow down",
            retry_after=max(1.0, wait),
        )


def _item(per_second: float) -> RateLimitItemPerSecond:
    if per_second >= 1:
        return RateLimitItemPerSecond(int(per_second))
    return RateLimitItemPerSecond(1, round(1 / per_second))
