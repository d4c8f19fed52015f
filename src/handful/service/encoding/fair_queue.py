"""A queue in which nobody waits for another's backlog."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Hashable, Sized
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
L = TypeVar("L", bound=Sized)
T = TypeVar("T")


class FairQueue(Generic[T]):
    """Tenants take turns, and so do the requests of a tenant; within a request, first come, first served."""

    def __init__(self) -> None:
        self._tenants: OrderedDict[str, OrderedDict[int, deque[T]]] = OrderedDict()
        self._count = 0
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        return self._count

    def put(self, tenant: str, request: int, item: T) -> None:
        """At the end of the request's line."""
        self._tenants.setdefault(tenant, OrderedDict()).setdefault(request, deque()).append(item)
        self._count += 1
        self._filled.set()

    async def get(self) -> T:
        """The next item of the request whose turn it is. Being cancelled loses none."""
        while not self._count:
            self._filled.clear()
            await self._filled.wait()
        tenant, requests = next(iter(self._tenants.items()))
        request, line = next(iter(requests.items()))
        item = line.popleft()
        self._count -= 1
        _pass_on(requests, request)
        _pass_on(self._tenants, tenant)
        return item


def _pass_on(turns: OrderedDict[K, L], key: K) -> None:
    """To the end with who has more; out with who has not."""
    if len(turns[key]):
        turns.move_to_end(key)
    else:
        del turns[key]
