"""Uploads: large bodies on their way to a job, where any process may take it on."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import IO, Literal, Protocol

from handful.errors import TooLargeError
from handful.storage.blobs import Blobs
from handful.storage.store import Store

FOLDER = ".uploads"  # aside in the place of the blobs: no blob's name, so that nobody takes them for blobs
_ABANDONED = timedelta(hours=1)  # without a write, after which nobody will make a job of an upload any more


class Source(Protocol):
    """What can be read more than once: a `Path`, or an `Upload`."""

    def open(self, mode: Literal["rb"], /) -> IO[bytes]:
        """From its start. Raises OSError."""
        ...


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload that was kept."""

    blobs: Blobs
    name: str

    def open(self, mode: Literal["rb"] = "rb", /) -> IO[bytes]:
        """To be read in a thread. Raises StorageError."""
        return self.blobs.open(self.name)


class Uploads:
    """Each bears its tenant's name, and that of the job that it is for.    blobs : whose place they share."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = Blobs(blobs.url, aside=FOLDER)

    async def keep(self, tenant: str, name: str, stream: AsyncIterator[bytes], most: int) -> str:
        """Write a stream through to the disk; its SHA-256.

        Raises TooLargeError for more than `most` bytes, StorageError, StorageFullError; then nothing stays.
        """
        digest = sha256()

        async def counted() -> AsyncIterator[bytes]:
            size = 0
            async for chunk in stream:
                size += len(chunk)
                if size > most:
                    raise TooLargeError(f"this upload has over {most:,} bytes; send it in parts")
                digest.update(chunk)
                yield chunk

        await self._blobs.put_stream(_place(tenant, name), counted())
        return digest.hexdigest()

    def upload(self, tenant: str, name: str) -> Upload:
        """To read it."""
        return Upload(self._blobs, _place(tenant, name))

    async def size(self, tenant: str, name: str) -> int | None:
        """Its bytes; None where there is none, or no longer."""
        return await self._blobs.size(_place(tenant, name))

    async def remove(self, tenant: str, name: str) -> None:
        """Nothing happens where there is none."""
        await self._blobs.remove(_place(tenant, name))

    async def sweep(self, store: Store) -> None:
        """Remove what no job needs: its job is over, or there never came one."""
        for place in await self._blobs.names():
            tenant, _, name = place.partition("/")
            job = await store.job(tenant, name)
            if job.over if job is not None else await self._is_abandoned(place):
                await self._blobs.remove(place)

    async def _is_abandoned(self, place: str) -> bool:
        written = await self._blobs.written(place)
        return written is not None and datetime.now(UTC) - written > _ABANDONED


def _place(tenant: str, name: str) -> str:
    return f"{tenant}/{name}"
