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
        found = {name: data for name, data in await _read(source, some) if data is not None}
        lost += [name for name in some if name not in found]
        if target is not None:
            await target.put_all(found)
            for name, data in await _read(target, list(found)):
                if data != found[name]:
                    raise DamagedBlobError(
                        f"the blob {name} reads otherwise in {target.url} than it was written"
                    )
        if told is not None:
            told(start + len(some), len(names))
    return lost


async def _read(place: Blobs, names: Sequence[str]) -> list[tuple[str, bytes | None]]:
    """`get` checks the digest in a name; None for what is missing or damaged."""
    read = await asyncio.gather(*(place.get(name) for name in names), return_exceptions=True)
    found: list[tuple[str, bytes | None]] = []
    for name, outcome in zip(names, read, strict=True):
        if isinstance(outcome, BaseException) and not isinstance(outcome, DamagedBlobError):
            raise outcome
        found.append((name, None if isinstance(outcome, BaseException) else outcome))
    return found
