"""Uploads: large bodies on their way to a job, as files."""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from errno import EDQUOT, ENOSPC
from pathlib import Path

from handful.errors import StorageError, StorageFullError, TooLargeError

_NAME = re.compile(r"[a-z0-9_\-]{1,64}")
_CHUNK = 2**20  # bytes written together


class Uploads:
    """A folder of files, each named by the job that it is for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, name: str) -> Path:
        """Where the upload of that name lies, or will."""
        if not _NAME.fullmatch(name):
            raise StorageError(f"{name!r} is no name of an upload")
        return self._folder / name

    async def keep(self, name: str, stream: AsyncIterator[bytes], most: int) -> Path:
        """Write a stream through to the disk.

        Raises TooLargeError for more than `most` bytes, StorageError, StorageFullError; then nothing stays.
        """
        path = self.path(name)
        with _explained(path):
            self._folder.mkdir(parents=True, exist_ok=True)
            file = path.open("wb", buffering=_CHUNK)
        try:
            size = 0
            async for chunk in stream:
                size += len(chunk)
                if size > most:
                    raise TooLargeError(f"this upload has over {most:,} bytes; send it in parts")
                with _explained(path):
                    await asyncio.to_thread(file.write, chunk)
            with _explained(path):
                await asyncio.to_thread(_through, file.fileno(), file.flush)
        except BaseException:
            file.close()
            path.unlink(missing_ok=True)
            raise
        file.close()
        return path

    def remove(self, name: str) -> None:
        """Nothing happens where there is none."""
        self.path(name).unlink(missing_ok=True)

    def names(self) -> list[str]:
        """All there are."""
        return sorted(path.name for path in self._folder.glob("*")) if self._folder.is_dir() else []


def _through(descriptor: int, flush: object) -> None:
    if callable(flush):
        flush()
    os.fsync(descriptor)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        if exc.errno in (ENOSPC, EDQUOT):
            raise StorageFullError(f"no room is left for uploads in {path.parent}; free some") from exc
        raise StorageError(f"the upload {path} cannot be written ({exc}); check the folder") from exc
