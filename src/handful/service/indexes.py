"""Indexes of heads with very many classes: derived from the heads, in a folder of this machine."""

import asyncio
import os
import shutil
import time
from collections.abc import Hashable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from cachetools import LRUCache

from handful.adapters.class_rows import ClassRows
from handful.adapters.head import Head
from handful.errors import MissingExtraError, RetrievalError, StorageError
from handful.service import metrics
from handful.storage.ids import new_id
from handful.storage.store import Store

if TYPE_CHECKING:  # loads faiss, which few services need
    from handful.retrieval.two_stages import TwoStages

_OPEN = 16  # indexes, mapped into memory
_UNFINISHED = ".part-"  # how folders begin that are built in
_GIVEN_UP_SECONDS = 3600.0  # without a new file in such a folder, its process is gone
_MOST_FRESH = 2048  # classes that an index lacks, or has too many, until another is built
_THREADS = 1  # that build; requests need the others

_log = structlog.get_logger("handful.indexes")


class Indexes:
    """Built in the background when a head is asked; until then every class is looked at.

    A folder of the index is named by its classifier and its head's digest, and complete when it is there, so
    that processes on one machine share it. That of an earlier head serves as long as few classes changed
    since: those are looked at each time. One that is missing or damaged is built again. Without the extra
    `giant` there is none, and every class is looked at.
    """

    def __init__(self, store: Store, folder: Path, exact_classes: int) -> None:
        self._store = store
        self._folder = folder
        self._exact = exact_classes
        self._open: LRUCache[Hashable, tuple[str, TwoStages]] = LRUCache(_OPEN)
        self._making: dict[Hashable, asyncio.Task[None]] = {}
        self._failed: dict[Hashable, str] = {}
        self._stopping = False
        self._possible = True

    def at_hand(self, tenant: str, id: str, head: Head, digest: str) -> "TwoStages | None":
        """The two stages of a head, if they are there by now; digest : of the head."""
        if head.class_count <= self._exact or head.class_rows is None or not self._possible:
            return None
        if self._stopping:
            return None
        key = (tenant, id)
        found = self._open.get(key)
        if found is not None and found[0] == digest:
            return found[1]
        if key not in self._making and self._failed.get(key) != digest:
            self._making[key] = asyncio.create_task(
                self._make(tenant, id, head, digest), name="handful-index"
            )
        return None

    async def settled(self) -> None:
        """Return when the indexes that were begun are there, or given up."""
        await asyncio.gather(*self._making.values())

    async def close(self) -> None:
        """Give up what is being built; the next process builds it."""
        self._stopping = True
        await self.settled()

    async def _make(self, tenant: str, id: str, head: Head, digest: str) -> None:
        key = (tenant, id)
        started = time.perf_counter()
        try:
            self._open[key] = (digest, await asyncio.to_thread(self._made, tenant, id, head, digest))
            self._failed.pop(key, None)
            metrics.INDEX_SECONDS.observe(time.perf_counter() - started)
            await self._sweep()
        except _StoppedError:
            pass
        except MissingExtraError as exc:
            self._possible = False
            _log.warning("every class is looked at", classes=head.class_count, why=str(exc))
        except (RetrievalError, OSError, MemoryError) as exc:
            self._failed[key] = digest  # every class is looked at until the head is another
            metrics.INDEXES_LOST.inc()
            _log.error("index not built", tenant=tenant, classifier=id, error=str(exc))
        except StorageError as exc:  # swept another time
            _log.warning("old indexes not swept", error=str(exc))
        finally:
            del self._making[key]

    def _made(self, tenant: str, id: str, head: Head, digest: str) -> "TwoStages":
        from handful.retrieval.head_index import HeadIndex
        from handful.retrieval.two_stages import TwoStages

        rows = head.class_rows
        assert rows is not None
        place = self._folder / tenant / id
        try:
            return TwoStages(head, HeadIndex.open(rows, place / digest))
        except RetrievalError:
            shutil.rmtree(place / digest, ignore_errors=True)  # damaged, if it is there at all
        for old in list(place.iterdir()) if place.is_dir() else []:
            if not _being_built(old):
                with suppress(RetrievalError):  # of another head; the next one is built
                    return TwoStages(head, HeadIndex.follow(rows, old, most=_MOST_FRESH))
        self._build(rows, place, digest)
        return TwoStages(head, HeadIndex.open(rows, place / digest))

    def _build(self, rows: ClassRows, place: Path, digest: str) -> None:
        from handful.retrieval.head_index import HeadIndex

        aside = place / f"{_UNFINISHED}{new_id()}"
        try:
            HeadIndex.build(rows, aside, threads=_THREADS, progress=self._go_on).close()
            try:
                aside.rename(place / digest)
            except OSError:
                if not (place / digest).is_dir():  # another process may have been as fast
                    raise
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        for old in place.iterdir():
            if old.name != digest and not _being_built(old):
                shutil.rmtree(old, ignore_errors=True)

    def _go_on(self, count: int) -> None:
        if self._stopping:
            raise _StoppedError

    async def _sweep(self) -> None:
        """Remove the indexes of classifiers that are gone."""
        for place in await asyncio.to_thread(lambda: list(self._folder.glob("*/*"))):
            if await self._store.classifier(place.parent.name, place.name) is None:
                self._open.pop((place.parent.name, place.name), None)
                await asyncio.to_thread(shutil.rmtree, place, True)


class _StoppedError(Exception):
    """The service stops."""


def _being_built(folder: Path) -> bool:
    if not folder.name.startswith(_UNFINISHED):
        return False
    try:
        return time.time() - os.stat(folder).st_mtime < _GIVEN_UP_SECONDS
    except FileNotFoundError:
        return True
