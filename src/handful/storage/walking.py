"""Stores read from end to end, in the order of tenants and ids."""

from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from handful.storage.records import ClassifierRecord
from handful.storage.store import Store

T = TypeVar("T")
Pair = tuple[ClassifierRecord | None, ClassifierRecord | None]  # the same classifier here and there

_PAGE = 500  # classifiers or tenants of a reading


async def all_tenants(store: Store) -> AsyncIterator[str]:
    """Those that have, or had, a classifier."""
    after: str | None = None
    while found := await store.tenants(limit=_PAGE, after=after):
        for name in found:
            yield name
        after = found[-1]


async def all_classifiers(store: Store, tenant: str) -> AsyncIterator[ClassifierRecord]:
    """Of a tenant."""
    after: str | None = None
    while found := await store.classifiers(tenant, limit=_PAGE, after=after):
        for record in found:
            yield record
        after = found[-1].id


async def pairs(source: Store, target: Store) -> AsyncIterator[Pair]:
    """Every classifier of either, by tenant and id."""
    async for mine_tenant, their_tenant in _merged(
        all_tenants(source), all_tenants(target), lambda name: name
    ):
        tenant = mine_tenant or their_tenant or ""
        mine, theirs = all_classifiers(source, tenant), all_classifiers(target, tenant)
        async for pair in _merged(mine, theirs, lambda record: record.id):
            yield pair


async def _merged(
    one: AsyncIterator[T], other: AsyncIterator[T], key: Callable[[T], str]
) -> AsyncIterator[tuple[T | None, T | None]]:
    """What both give in order of their keys, side by side where the keys are equal."""
    left, right = await anext(one, None), await anext(other, None)
    while left is not None or right is not None:
        behind = left is None or (right is not None and key(right) < key(left))
        ahead = right is None or (left is not None and key(left) < key(right))
        yield (None if behind else left), (None if ahead else right)
        if not behind:
            left = await anext(one, None)
        if not ahead:
            right = await anext(other, None)
