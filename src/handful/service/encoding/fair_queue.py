"""A queue in which nobody waits for another's backlog."""

import asyncio
from collections import OrderedDict, deque
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """First come, first served within a tenant; the tenants take turns."""

    def __init__(self) -> None:
        self._lines: OrderedDict[str, deque[T]] = OrderedDict()
        self._filled = asyncio.Event()

    def put(self, tenant: str, item: T) -> None:
        """At the end of the tenant's line."""
        self._lines.setdefault(tenant, deque()).append(item)
        self._filled.set()

    async def get(self) -> T:
        """The first item of the tenant whose turn it is."""
        while not self._lines:
            self._filled.clear()
            await self._filled.wait()
        tenant, line = next(iter(self._lines.items()))
        item = line.popleft()
        if line:
            self._lines.move_to_end(tenant)
        else:
            del self._lines[tenant]
        return item
