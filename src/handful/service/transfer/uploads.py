"""Uploads: large bodies on their way to a job, as files."""

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from errno import EDQUOT, ENOSPC
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from handful.errors import StorageError, StorageFullError, TooLargeError
from handful.storage.store import Store

_NAME = re.compile(r"[A-Za-z0-9_\-][A-Za-z0-9_.\-]{0,127}")
_CHUNK = 2**20  # bytes written together
_ABANDONED = 3600.0  # seconds without a write, after which nobody will make a job of an upload any more


class Uploads:
    """A folder for each tenant, of files each named by the job that it is for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, tenant: str, name: str) -> Path:
        """Where the upload of that name lies, or will."""
        for part in (tenant, name):
            if not _NAME.fullmatch(part):
                raise StorageError(f"{part!r} is no name for an upload: letters, digits, _, - and .")
        return self._folder / tenant / name

    async def keep(self, tenant: str, name: str, stream: AsyncIterator[bytes], most: int) -> str:
        """Write a stream through to the disk; its SHA-256.

        Raises TooLargeError for more than `most` bytes, StorageError, StorageFullError; then nothing stays.
        """
        path = self.path(tenant, name)
        with _explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("wb", buffering=_CHUNK)
        try:
            size, digest = 0, sha256()
            async for chunk in stream:
                size += len(chunk)
                if size > most:
                    raise TooLargeError(f"this upload has over {most:,} bytes; send it in parts")
                digest.update(chunk)
                with _explained(path):
                    await asyncio.to_thread(file.write, chunk)
            with _explained(path):
                await asyncio.to_thread(_sync, file, self._folder)
        except BaseException:
            file.close()
            path.unlink(missing_ok=True)
            raise
        file.close()
        return digest.hexdigest()

    def remove(self, tenant: str, name: str) -> None:
        """Nothing happens where there is none."""
        path = self.path(tenant, name)
        with _explained(path):
            path.unlink(missing_ok=True)

    async def sweep(self, store: Store) -> None:
        """Remove what no job needs: its job is over, or there never came one."""
        for path in await asyncio.to_thread(lambda: sorted(self._folder.glob("*/*"))):
            tenant, name = path.parent.name, path.name
            job = await store.job(tenant, name)
            with _explained(path):
                if job.over if job is not None else _age(path) > _ABANDONED:
                    path.unlink(missing_ok=True)


def _age(path: Path) -> float:
    """Seconds since it was written to; 0 for what is gone."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _sync(file: BinaryIO, root: Path) -> None:
    """The file and its name are on the disk when this returns."""
    file.flush()
    os.fsync(file.fileno())
    if os.name != "posix":  # elsewhere a folder cannot be opened
        return
    for folder in (Path(file.name).parent, root, root.parent):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        if exc.errno in (ENOSPC, EDQUOT):
            raise StorageFullError(f"no room is left for uploads in {path.parent}; free some") from exc
        raise StorageError(f"the upload {path} cannot be written ({exc}); check the folder") from exc
