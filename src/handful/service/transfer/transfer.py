"""Use cases about many shots or whole classifiers at once."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from handful.errors import RequestError
from handful.service.changes import Changes, not_found
from handful.service.classifiers import SHOWN_CLASSES, ClassifierView
from handful.service.heads import Heads
from handful.service.jobs import Jobs
from handful.service.once import Once, check_once, of_content, rendered
from handful.service.transfer.archives import ArchiveLimits
from handful.service.transfer.package import Package, Writer, read_package
from handful.service.transfer.uploads import Uploads
from handful.settings import Settings
from handful.storage.blobs import Blobs, digest_name
from handful.storage.ids import new_id
from handful.storage.records import HeadRecord, JobRecord, ShotRecord, Support
from handful.storage.store import Change, Store

_IN_MEMORY = 16 * 2**20  # bytes of an export, above which it takes a temporary file
_CHUNK = 2**18  # bytes sent together
_TOGETHER = 64  # pictures read or written at once


class Transfer:
    """Import archives and lines; export and import classifiers."""

    def __init__(
        self, store: Store, blobs: Blobs, changes: Changes, heads: Heads, jobs: Jobs, settings: Settings
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._changes = changes
        self._heads = heads
        self._jobs = jobs
        self._most = int(settings.upload_max_bytes)
        self._limits = ArchiveLimits(
            files=settings.upload_max_files,
            unpacked=settings.unpacked_max_bytes,
            file=settings.unpacked_max_bytes,
        )
        self.uploads = Uploads(settings.data_dir / "uploads")

    async def start_archive(
        self, tenant: str, id: str, stream: AsyncIterator[bytes], once: Once | None = None
    ) -> JobRecord:
        """A job that adds the pictures of a zip, tar or tar.gz of class folders. Raises NotFoundError."""
        if await self._store.classifier(tenant, id) is None:
            raise not_found(id)
        return await self._start(tenant, "import-shots", id, stream, once)

    async def start_lines(
        self, tenant: str, stream: AsyncIterator[bytes], once: Once | None = None
    ) -> JobRecord:
        """A job that makes a classifier of each line of JSON."""
        return await self._start(tenant, "import-classifiers", None, stream, once)

    async def export(self, tenant: str, id: str) -> AsyncIterator[bytes]:
        """A package, in chunks. Raises NotFoundError before the first."""
        support = await self._store.support(tenant, id)
        if support is None:
            raise not_found(id)
        heads = []
        if support.classifier.pinned is not None:
            found = await self._store.head(tenant, id, support.classifier.pinned.version)
            heads = [found] if found is not None else []
        return self._packed(support, heads)

    async def _packed(self, support: Support, heads: list[tuple[HeadRecord, bytes]]) -> AsyncIterator[bytes]:
        with tempfile.SpooledTemporaryFile(_IN_MEMORY) as file:
            writer = Writer(file, support, heads)
            pictured = [shot for shot in support.shots if shot.blob is not None]
            for start in range(0, len(pictured), _TOGETHER):
                some = pictured[start : start + _TOGETHER]
                images = await asyncio.gather(*(self._blobs.get(str(shot.blob)) for shot in some))
                for shot, data in zip(some, images, strict=True):
                    if data is not None:
                        await asyncio.to_thread(writer.image, shot.id, data)
            await asyncio.to_thread(writer.finish)
            await asyncio.to_thread(file.seek, 0)
            while chunk := await asyncio.to_thread(file.read, _CHUNK):
                yield chunk

    async def import_classifier(
        self, tenant: str, stream: AsyncIterator[bytes], once: Once | None = None
    ) -> ClassifierView:
        """A package as a new classifier, which answers as the exported one did; all of it, or nothing.

        Raises RequestError for a package that is not as it was exported, or of another encoder.
        """
        id = new_id()
        try:
            once = of_content(once, await self.uploads.keep(id, stream, self._most))
            await check_once(self._store, once)
            package = await asyncio.to_thread(read_package, self.uploads.path(id), self._limits)
        finally:
            await asyncio.to_thread(self.uploads.remove, id)
        record = replace(package.classifier, tenant=tenant, id=id, updated=datetime.now(UTC))
        encoder = self._heads.encoder_of(record)
        if any(len(shot.rows) < 2 or shot.rows[:2] != _width(encoder.dimension) for shot in package.shots):
            raise RequestError(f"this package has embeddings of another width than {encoder.dimension}")
        if record.pinned is not None and record.pinned.version not in [
            head.version for head, _ in package.heads
        ]:
            raise RequestError(
                f"this package lacks head {record.pinned.version}, which answers; export it again"
            )
        shots = [_placed(shot, record.tenant, id, package) for shot in package.shots]
        counts = {one.key: 0 for one in package.classes}
        for shot in shots:
            counts[shot.class_key] += 1
        record = replace(
            record,
            class_count=len(package.classes),
            shot_count=len(shots),
            image_bytes=sum(shot.blob_bytes for shot in shots),
            next_class=max([record.next_class, *(one.key + 1 for one in package.classes)]),
        )
        classes = tuple(replace(one, shots=counts[one.key]) for one in package.classes)
        view = ClassifierView(record=record, classes=classes[:SHOWN_CLASSES])
        try:
            await self._put(package, shots)
            change = Change(
                before=None,
                after=record,
                put_classes=classes,
                put_shots=shots,
                put_heads=package.heads,
                reply=rendered(once, view),
            )
            await self._changes.write(change, once)
        except BaseException:
            await asyncio.shield(self._blobs.remove(f"{tenant}/{id}/"))
            raise
        return view

    async def _start(
        self,
        tenant: str,
        kind: str,
        classifier: str | None,
        stream: AsyncIterator[bytes],
        once: Once | None,
    ) -> JobRecord:
        id = new_id()
        once = of_content(once, await self.uploads.keep(id, stream, self._most))
        try:
            return await self._jobs.submit(tenant, kind, classifier, {}, once, id=id)
        except BaseException:
            await asyncio.to_thread(self.uploads.remove, id)
            raise

    async def _put(self, package: Package, shots: Sequence[ShotRecord]) -> None:
        pictured = [shot for shot in shots if shot.blob is not None]
        for start in range(0, len(pictured), _TOGETHER):
            await asyncio.gather(
                *(
                    self._blobs.put(str(shot.blob), package.images[shot.id])
                    for shot in pictured[start : start + _TOGETHER]
                )
            )


def _placed(shot: ShotRecord, tenant: str, id: str, package: Package) -> ShotRecord:
    """The shot with its picture at the new classifier's place."""
    data = package.images.get(shot.id)
    if data is None:
        return replace(shot, blob=None, blob_bytes=0)
    return replace(shot, blob=digest_name(f"{tenant}/{id}/{shot.id}", data, "jpg"), blob_bytes=len(data))


def _width(dimension: int) -> bytes:
    return dimension.to_bytes(2, "little")
