"""Blobs: pictures and other large things under names, in a folder or wherever fsspec reaches."""

import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from errno import EDQUOT, EFBIG, ENOSPC
from functools import partial
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import TypeVar

import fsspec
from anyio import CapacityLimiter, to_thread
from cachetools import LRUCache
from fsspec.implementations.local import LocalFileSystem

from handful.errors import StorageError, StorageFullError
from handful.folders import make_folder, sync_folder

T = TypeVar("T")

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,127}(/[A-Za-z0-9_][A-Za-z0-9_.\-]{0,127})*")
_DIGITS = 16  # of the digest, in a name
_DIGEST = re.compile(rf"-([0-9a-f]{{{_DIGITS}}})\.[a-z]+$")
_UNFINISHED = ".part-"
_REMEMBERED = 4096  # folders whose own names are known to be on the disk
_AT_ONCE = 16  # threads that wait for the disk or the network


def digest_name(prefix: str, data: bytes, suffix: str) -> str:
    """A name that tells what its blob holds.

    >>> digest_name("shop/bread/shot", b"", "jpg")
    'shop/bread/shot-e3b0c44298fc1c14.jpg'
    """
    return f"{prefix}-{sha256(data).hexdigest()[:_DIGITS]}.{suffix}"


class Blobs:
    """Whole values by name, of the form "a/b/c". What `put` returned from is on the disk.

    A blob whose name ends in a digest, as `digest_name` makes it, is checked when it is read.
    Raises StorageError, or StorageFullError, for what cannot be read or written, and for a name that is
    none.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        with self._explained(url):
            self._files, root = fsspec.url_to_fs(url)
            self._root = str(root).rstrip("/")
            self._local = isinstance(self._files, LocalFileSystem)
            if self._local:
                make_folder(Path(self._root))
            else:
                self._files.makedirs(self._root, exist_ok=True)
        self._limiter = CapacityLimiter(_AT_ONCE)
        self._durable: LRUCache[Path, None] = LRUCache(_REMEMBERED)
        self._lock = Lock()

    async def put(self, name: str, data: bytes) -> None:
        """Write a blob, as a whole or not at all."""
        await self._run(partial(self._put, name, data))

    async def get(self, name: str) -> bytes | None:
        """Its bytes, or None where there is no such blob."""
        return await self._run(partial(self._get, name))

    async def remove(self, name: str) -> None:
        """Remove a blob, or all under a prefix that ends in "/". Nothing happens where there is none."""
        await self._run(partial(self._remove, name))

    async def names(self, prefix: str = "") -> list[str]:
        """All blobs under a prefix that ends in "/", or under "", in order."""
        return await self._run(partial(self._names, prefix))

    def path(self, name: str) -> Path | None:
        """Where a blob lies as a file, if it does."""
        return Path(self._place(name)) if self._local else None

    async def _run(self, work: Callable[[], T]) -> T:
        return await to_thread.run_sync(work, limiter=self._limiter)

    # ---- in a thread

    def _put(self, name: str, data: bytes) -> None:
        place = self._place(name)
        with self._explained(name):
            if self._local:
                self._write_durably(Path(place), data)
            else:
                self._files.pipe_file(place, data)

    def _get(self, name: str) -> bytes | None:
        place = self._place(name)
        with self._explained(name):
            try:
                data: bytes = self._files.cat_file(place)
            except FileNotFoundError:
                return None
        said = _DIGEST.search(name)
        if said is not None and not sha256(data).hexdigest().startswith(said[1]):
            raise StorageError(f"the blob {name} is damaged: it does not hold what its name says")
        return data

    def _remove(self, name: str) -> None:
        place = self._place(name)
        with self._explained(name):
            try:
                self._files.rm(place, recursive=name.endswith("/"))
            except FileNotFoundError:
                return

    def _names(self, prefix: str) -> list[str]:
        place = self._place(prefix) if prefix else self._root
        with self._explained(prefix):
            try:
                self._files.invalidate_cache()  # others write too
                found = self._files.find(place)
            except FileNotFoundError:
                return []
        cut = len(self._root) + 1
        return sorted(str(path)[cut:] for path in found if _UNFINISHED not in str(path))

    def _place(self, name: str) -> str:
        bare = name.removesuffix("/")
        if not _NAME.fullmatch(bare):
            raise StorageError(
                f"{name!r} is no name of a blob: parts of letters, digits, _, - and . between /"
            )
        return f"{self._root}/{bare}"

    def _write_durably(self, path: Path, data: bytes) -> None:
        """The whole file is there after a loss of power, or the one before, or none."""
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f"{_UNFINISHED}{secrets.token_hex(8)}")
        try:
            with unfinished.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)
        self._keep_folder(path.parent)

    def _keep_folder(self, folder: Path) -> None:
        """Make a folder's own name durable, and those above it. Whoever made it may not be done with that."""
        root = Path(self._root)
        while folder != root:
            with self._lock:
                if folder in self._durable:
                    return
            sync_folder(folder.parent)
            with self._lock:
                self._durable[folder] = None
            folder = folder.parent

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            if no_room(exc):
                raise StorageFullError(
                    f"no room is left for blobs in {self.url}; nothing was written: free some"
                ) from exc
            raise StorageError(
                f"the blob {what!r} in {self.url} cannot be read or written ({exc}); check that it is there "
                "and may be written"
            ) from exc
        except (ImportError, ValueError) as exc:  # fsspec's, for a protocol that is unknown or not installed
            raise StorageError(f"blobs cannot be kept in {self.url!r}: {exc}") from exc


def no_room(exc: OSError) -> bool:
    """Whether the disk, a quota or a limit of the process is at fault."""
    return exc.errno in (ENOSPC, EDQUOT, EFBIG)
