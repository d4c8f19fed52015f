"""What lies in a place of blobs, with sizes and ages, and how what is old is removed from it."""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from anyio import CapacityLimiter, to_thread
from fsspec.implementations.local import LocalFileSystem

from handful.errors import StorageError
from handful.storage.blobs import UNFINISHED, Blobs

_AT_ONCE = 16  # threads that wait for the disk or the network
_TIMES = "mtime", "LastModified", "last_modified", "updated"  # what file systems call it


@dataclass(frozen=True, slots=True, kw_only=True)
class Lying:
    """A file in a place of blobs.

    name : as of a blob.    size : in bytes.    written : last; None where the place cannot tell.
    """

    name: str
    size: int
    written: datetime | None

    @property
    def unfinished(self) -> bool:
        """Whether it is no blob, but what a writer that was killed left of one."""
        return self.name.rpartition("/")[2].startswith(UNFINISHED)


class Litter:
    """Reads a place folder by folder, so that however many blobs it has, few names are in memory.

    Raises StorageError where the place cannot be read or written.
    """

    def __init__(self, blobs: Blobs) -> None:
        self._url = blobs.url
        self._files, self._root = blobs.reached()
        self._local = isinstance(self._files, LocalFileSystem)
        self._limiter = CapacityLimiter(_AT_ONCE)

    async def folders(self, prefix: str = "") -> list[str]:
        """Names of the folders directly under a prefix that ends in "/" or is ""; none begins with a dot."""

        def look() -> list[str]:
            found = (info for info in self._listed(prefix, deep=False) if info["type"] == "directory")
            names = (str(info["name"]).rstrip("/").rpartition("/")[2] for info in found)
            return sorted(name for name in names if not name.startswith("."))

        return await to_thread.run_sync(look, limiter=self._limiter)

    async def files(self, prefix: str = "", *, deep: bool = True) -> list[Lying]:
        """Files under a prefix, unfinished ones too.    deep : also in folders below."""

        def look() -> list[Lying]:
            found = (info for info in self._listed(prefix, deep=deep) if info["type"] == "file")
            return sorted((self._lying(info) for info in found), key=lambda one: one.name)

        return await to_thread.run_sync(look, limiter=self._limiter)

    async def remove_old(self, name: str, before: datetime) -> bool:
        """Remove a file unless it was written since then; whether it did.

        In a folder of this machine, one that is written meanwhile stays. Elsewhere it may go if that happens
        within the one request between look and removal.
        """
        work = self._remove_local if self._local else self._remove_far
        return await to_thread.run_sync(work, f"{self._root}/{name}", before, limiter=self._limiter)

    async def remove_empty(self, prefix: str) -> None:
        """Remove a folder if nothing is in it."""

        def remove() -> None:
            with suppress(OSError):  # it holds something, or is gone
                Path(self._root, prefix).rmdir()

        if self._local:  # elsewhere there are no folders
            await to_thread.run_sync(remove, limiter=self._limiter)

    # ---- in a thread

    def _listed(
        self, prefix: str, *, deep: bool
    ) -> list[Mapping[str, Any]]:  # Any: as fsspec describes files
        place = f"{self._root}/{prefix}".rstrip("/")
        with self._explained(prefix):
            try:
                self._files.invalidate_cache()  # others write too
                if deep:
                    return list(self._files.find(place, detail=True).values())
                return [info for info in self._files.ls(place, detail=True) if info["name"] != place]
            except FileNotFoundError:
                return []

    def _lying(self, info: Mapping[str, Any]) -> Lying:
        path = str(info["name"])
        told = next((info[key] for key in _TIMES if info.get(key) is not None), None)
        if told is None:
            with suppress(NotImplementedError, FileNotFoundError):
                told = self._files.modified(path)
        return Lying(name=path[len(self._root) + 1 :], size=int(info["size"] or 0), written=_moment(told))

    def _remove_local(self, path: str, before: datetime) -> bool:
        """Out of everybody's way first, then looked at: whoever writes it from then on writes a new one."""
        place = Path(path)
        aside = place.with_name(f"{UNFINISHED}{secrets.token_hex(8)}")
        with self._explained(path):
            try:
                if _modified(place) >= before:
                    return False
                place.rename(aside)
            except FileNotFoundError:
                return False
            if _modified(aside) >= before:
                aside.rename(place)
                return False
            aside.unlink()
            return True

    def _remove_far(self, path: str, before: datetime) -> bool:
        with self._explained(path):
            try:
                self._files.invalidate_cache()
                written = self._lying(self._files.info(path)).written
                if written is None or written >= before:
                    return False
                self._files.rm_file(path)
            except FileNotFoundError:
                return False
            return True

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise StorageError(
                f"{what!r} in {self._url} cannot be read or removed ({exc}); check that it may be written"
            ) from exc


def _modified(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def _moment(told: object) -> datetime | None:
    """Of seconds since 1970, of a moment, or of one as text."""
    if isinstance(told, int | float):
        return datetime.fromtimestamp(told, UTC)
    if isinstance(told, str):
        told = datetime.fromisoformat(told)
    if not isinstance(told, datetime):
        return None
    return told if told.tzinfo is not None else told.replace(tzinfo=UTC)
