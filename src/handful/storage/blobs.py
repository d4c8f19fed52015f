"""Blobs: pictures and other large things under names, in a folder or wherever fsspec reaches."""

import asyncio
import io
import os
import re
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from errno import EDQUOT, EFBIG, ENOSPC
from functools import partial
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import IO, TypeVar

import fsspec
from anyio import CancelScope, CapacityLimiter, to_thread
from cachetools import LRUCache
from fsspec.implementations.local import LocalFileSystem
from fsspec.spec import AbstractFileSystem

from handful.errors import StorageError, StorageFullError
from handful.folders import make_folder, sync_folder

T = TypeVar("T")

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,127}(/[A-Za-z0-9_][A-Za-z0-9_.\-]{0,127})*")
_DIGITS = 16  # of the digest, in a name
_DIGEST = re.compile(rf"-([0-9a-f]{{{_DIGITS}}})\.[a-z]+$")
UNFINISHED = ".part-"  # how files begin that are written to
_REMEMBERED = 4096  # folders whose own names are known to be on the disk
_AT_ONCE = 16  # threads that wait for the disk or the network
_TOGETHER = 16  # small files that a thread has open at a time, to be synced one after the other
_CHUNK = 2**20  # bytes of a stream that are read or written together


class DamagedBlobError(StorageError):
    """A blob does not hold what its name says."""


def digest_name(prefix: str, data: bytes, suffix: str) -> str:
    """A name that tells what its blob holds.

    >>> digest_name("shop/bread/shot", b"", "jpg")
    'shop/bread/shot-e3b0c44298fc1c14.jpg'
    """
    return f"{prefix}-{sha256(data).hexdigest()[:_DIGITS]}.{suffix}"


class Blobs:
    """Whole values by name, of the form "a/b/c". What `put` returned from is on the disk.

    A blob whose name ends in a digest, as `digest_name` makes it, is checked when it is read.
    aside : a folder inside the place, whose name begins with a dot: what lies there are blobs of their own,
    which are none of the place's.
    Raises StorageError, or StorageFullError, for what cannot be read or written, and for a name that is
    none.
    """

    def __init__(self, url: str, *, aside: str | None = None) -> None:
        self.url = url
        with self._explained(url):
            self._files, root = fsspec.url_to_fs(url)
            self._root = "/".join([str(root).rstrip("/"), *([aside] if aside else [])])
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

    async def put_all(self, blobs: Mapping[str, bytes]) -> None:
        """Write many, each as a whole or not at all; some may be there where an error is raised."""
        if not self._local:
            each = [self._run(partial(self._put, name, data)) for name, data in blobs.items()]
        else:
            names = list(blobs)
            some = (names[at : at + _TOGETHER] for at in range(0, len(names), _TOGETHER))
            each = [self._run(partial(self._put_files, {name: blobs[name] for name in own})) for own in some]
        for failed in await asyncio.gather(*each, return_exceptions=True):  # none still writes after this
            if isinstance(failed, BaseException):
                raise failed

    async def put_stream(self, name: str, stream: AsyncIterator[bytes]) -> None:
        """Write a blob as it comes, which may be large; all of it, or what the stream raises is raised.

        Others may see a part of it meanwhile. A part stays only where the process is killed.
        """
        file = await self._run(partial(self._create, name))
        try:
            waiting = bytearray()
            async for chunk in stream:
                waiting += chunk
                if len(waiting) >= _CHUNK:
                    await self._run(partial(self._write, name, file, bytes(waiting)))
                    waiting.clear()
            await self._run(partial(self._write, name, file, bytes(waiting)))
            await self._run(partial(self._finish, name, file))
        except BaseException:
            with CancelScope(shield=True), suppress(StorageError):
                await self._run(partial(self._discard, name, file))
            raise

    def open(self, name: str) -> IO[bytes]:
        """A blob to be read from in a thread, piece by piece, from wherever. Nothing checks its digest."""
        place = self._place(name)
        with self._explained(name):
            if self._local:
                return Path(place).open("rb")
            return io.BufferedReader(self._files.open(place, "rb"), _CHUNK)

    async def size(self, name: str) -> int | None:
        """Bytes of a blob, or None where there is no such blob."""
        return await self._run(partial(self._size, name))

    async def written(self, name: str) -> datetime | None:
        """When a blob was last written to; None where there is none, or the place does not know."""
        return await self._run(partial(self._written, name))

    async def get(self, name: str) -> bytes | None:
        """Its bytes, or None where there is no such blob."""
        return await self._run(partial(self._get, name))

    async def remove(self, name: str) -> None:
        """Remove a blob, or all under a prefix that ends in "/". Nothing happens where there is none."""
        await self._run(partial(self._remove, name))

    async def names(self, prefix: str = "") -> list[str]:
        """All blobs under a prefix that ends in "/", or under "", in order."""
        return await self._run(partial(self._names, prefix))

    def reached(self) -> tuple[AbstractFileSystem, str]:
        """The file system of the place, and the folder in it."""
        return self._files, self._root

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
                self._write_durably({Path(place): data})
            else:
                self._files.pipe_file(place, data)

    def _put_files(self, blobs: Mapping[str, bytes]) -> None:
        placed = {Path(self._place(name)): data for name, data in blobs.items()}
        with self._explained(next(iter(blobs))):
            self._write_durably(placed)

    def _get(self, name: str) -> bytes | None:
        place = self._place(name)
        with self._explained(name):
            try:
                data: bytes = self._files.cat_file(place)
            except FileNotFoundError:
                return None
        said = _DIGEST.search(name)
        if said is not None and not sha256(data).hexdigest().startswith(said[1]):
            raise DamagedBlobError(f"the blob {name} is damaged: it does not hold what its name says")
        return data

    def _create(self, name: str) -> IO[bytes]:
        place = self._place(name)
        with self._explained(name):
            if self._local:
                Path(place).parent.mkdir(parents=True, exist_ok=True)
                return Path(place).open("wb")
            file: IO[bytes] = self._files.open(place, "wb")
            return file

    def _write(self, name: str, file: IO[bytes], data: bytes) -> None:
        with self._explained(name):
            file.write(data)

    def _finish(self, name: str, file: IO[bytes]) -> None:
        with self._explained(name), file:
            if not self._local:
                return
            file.flush()
            os.fsync(file.fileno())
            folder = Path(self._place(name)).parent
            sync_folder(folder)
            self._keep_folder(folder)

    def _discard(self, name: str, file: IO[bytes]) -> None:
        try:
            with self._explained(name):
                file.close()
        finally:
            self._remove(name)

    def _size(self, name: str) -> int | None:
        place = self._place(name)
        with self._explained(name):
            try:
                self._files.invalidate_cache()
                return int(self._files.size(place))
            except FileNotFoundError:
                return None

    def _written(self, name: str) -> datetime | None:
        place = self._place(name)
        with self._explained(name):
            try:
                told: datetime = self._files.modified(place)
            except (FileNotFoundError, NotImplementedError):
                return None
        return told if told.tzinfo is not None else told.replace(tzinfo=UTC)

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
        names = (str(path)[cut:] for path in found)
        return sorted(name for name in names if not any(part.startswith(".") for part in name.split("/")))

    def _place(self, name: str) -> str:
        bare = name.removesuffix("/")
        if not _NAME.fullmatch(bare):
            raise StorageError(
                f"{name!r} is no name of a blob: parts of letters, digits, _, - and . between /"
            )
        return f"{self._root}/{bare}"

    def _write_durably(self, files: Mapping[Path, bytes]) -> None:
        """Of each, the whole file is there after a loss of power, or the one before, or none."""
        unfinished: dict[Path, Path] = {}
        try:
            with ExitStack() as stack:
                opened = []
                for path, data in files.items():
                    path.parent.mkdir(parents=True, exist_ok=True)
                    unfinished[path] = path.with_name(f"{UNFINISHED}{secrets.token_hex(8)}")
                    opened.append(stack.enter_context(unfinished[path].open("xb")))
                    opened[-1].write(data)
                    opened[-1].flush()
                for file in opened:  # after all are written: the first takes most of the others along
                    os.fsync(file.fileno())
            for path, written in unfinished.items():
                written.replace(path)
        except BaseException:
            for written in unfinished.values():
                written.unlink(missing_ok=True)
            raise
        for folder in dict.fromkeys(path.parent for path in files):
            sync_folder(folder)
            self._keep_folder(folder)

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
