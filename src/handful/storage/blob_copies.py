"""Blobs brought from one place to another, with a list of those that cannot be."""

import asyncio
from collections.abc import Callable, Sequence

from handful.storage.blobs import Blobs, DamagedBlobError

Told = Callable[[int, int], None]  # done, of how many

_TOGETHER = 64  # blobs copied at once


async def copy_blobs(
    source: Blobs, target: Blobs | None, names: Sequence[str], told: Told | None = None
) -> list[str]:
    """The names whose blobs are missing or damaged; all others are in the target when this returns.

    None is under way any more when this returns or raises.    target : None only reads and checks.
    Raises StorageError where either place cannot be read or written.
    """
    lost: list[str] = []
    for start in range(0, len(names), _TOGETHER):
        some = names[start : start + _TOGETHER]
        copies = (_copied(source, target, name) for name in some)
        for name, outcome in zip(some, await asyncio.gather(*copies, return_exceptions=True), strict=True):
            if isinstance(outcome, BaseException):
                raise outcome
            if not outcome:
                lost.append(name)
        if told is not None:
            told(start + len(some), len(names))
    return lost


async def _copied(source: Blobs, target: Blobs | None, name: str) -> bool:
    """`get` checks the digest in the name, here and there."""
    try:
        data = await source.get(name)
    except DamagedBlobError:
        return False
    if data is None:
        return False
    if target is not None:
        await target.put(name, data)
        if await target.get(name) != data:
            raise DamagedBlobError(f"the blob {name} reads otherwise in {target.url} than it was written")
    return True
