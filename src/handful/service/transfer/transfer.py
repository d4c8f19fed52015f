"""Use cases about many shots or whole classifiers at once."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import islice

from handful.errors import ServiceError
from handful.images import Limits
from handful.service.changes import Changes, not_found
from handful.service.classifiers import SHOWN_CLASSES, Classifiers, ClassifierView
from handful.service.heads import Heads
from handful.service.jobs import Jobs
from handful.service.once import Once, check_once, of_content, rendered
from handful.service.transfer.archives import ArchiveLimits
from handful.service.transfer.checks import asked_for, check_package
from handful.service.transfer.package import Kept, Package, Writer, pictures_of, read_package
from handful.service.transfer.uploads import Uploads
from handful.settings import Settings
from handful.storage.blobs import Blobs, digest_name
from handful.storage.ids import new_id
from handful.storage.records import JobRecord, ShotRecord, Support
from handful.storage.store import Change, Store

_LARGEST_PART = 2**28  # bytes of a file in a package
_TOGETHER = 16  # pictures read or written at once


class Transfer:
    """Import archives and lines; export and import classifiers."""

    def __init__(
        self,
        store: Store,
        blobs: Blobs,
        changes: Changes,
        classifiers: Classifiers,
        heads: Heads,
        jobs: Jobs,
        settings: Settings,
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._changes = changes
        self._classifiers = classifiers
        self._heads = heads
        self._jobs = jobs
        self._most = int(settings.upload_max_bytes)
        self._limits = ArchiveLimits(
            files=settings.upload_max_files,
            unpacked=settings.unpacked_max_bytes,
            file=_LARGEST_PART,
        )
        self._pictures = Limits(
            max_bytes=settings.image_max_bytes,
            max_pixels=settings.image_max_pixels,
            max_side=settings.image_max_side,
        )
        self.uploads = Uploads(blobs)

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
        """A package, in chunks, as of one moment. Raises NotFoundError before the first."""
        support = await self._store.support(tenant, id)
        if support is None:
            raise not_found(id)
        found = await self._store.head(tenant, id, support.classifier.head_version)
        return self._packed(support, [found] if found is not None else [])

    async def _packed(self, support: Support, heads: list[Kept]) -> AsyncIterator[bytes]:
        writer = Writer(support, heads)
        pictured = [shot for shot in support.shots if shot.blob is not None]
        for start in range(0, len(pictured), _TOGETHER):
            some = pictured[start : start + _TOGETHER]
            images = await asyncio.gather(*(self._blobs.get(str(shot.blob)) for shot in some))
            for shot, data in zip(some, images, strict=True):
                if data is not None:  # deleted since then otherwise
                    yield await asyncio.to_thread(writer.image, shot.id, data)
        parts = writer.finish()
        while part := await asyncio.to_thread(next, parts, b""):
            yield part

    async def import_classifier(
        self, tenant: str, stream: AsyncIterator[bytes], once: Once | None = None
    ) -> ClassifierView:
        """A package as a new classifier, which answers as the exported one did; all of it, or nothing.

        Raises RequestError for a package that is not as it was exported, and ConflictError for one of other
        weights of its encoder.
        """
        id = new_id()
        try:
            once = of_content(once, await self.uploads.keep(tenant, id, stream, self._most))
            await check_once(self._store, once)
            upload = self.uploads.upload(tenant, id)
            package = await asyncio.to_thread(read_package, upload, self._limits, self._pictures)
            return await self._take_in(tenant, id, package, once)
        finally:
            await self.uploads.remove(tenant, id)

    async def _take_in(self, tenant: str, id: str, package: Package, once: Once | None) -> ClassifierView:
        view = await self._classifiers.prepared(tenant, asked_for(package), id)
        encoder = await self._heads.encoder_of(
            replace(view.record, fingerprint=package.classifier.fingerprint)
        )
        await asyncio.to_thread(check_package, package, encoder, self._heads.background_of)
        try:
            shots = await self._put_pictures(tenant, id, package)
            counts = Counter(shot.class_key for shot in shots)
            classes = tuple(
                replace(one, key=told.key, shots=counts[told.key])
                for one, told in zip(view.classes, package.classes, strict=True)
            )
            record = replace(
                view.record,
                revision=package.classifier.revision,
                support_version=package.classifier.support_version,
                pinned=package.classifier.pinned,
                next_class=package.classifier.next_class,
                shot_count=len(shots),
                image_bytes=sum(shot.blob_bytes for shot in shots),
            )
            shown = ClassifierView(record=record, classes=classes[:SHOWN_CLASSES])
            change = Change(
                before=None,
                after=record,
                put_classes=classes,
                put_shots=shots,
                put_heads=package.heads,
                reply=rendered(once, shown),
            )
            await self._changes.write(change, once)
        except ServiceError:  # of others nobody knows whether the change was written, and needs its pictures
            await asyncio.shield(self._blobs.remove(f"{tenant}/{id}/"))
            raise
        return shown

    async def _put_pictures(self, tenant: str, id: str, package: Package) -> list[ShotRecord]:
        """The shots with their pictures at the new classifier's place."""
        placed = {shot.id: replace(shot, blob=None, blob_bytes=0) for shot in package.shots}
        pictures = pictures_of(self.uploads.upload(tenant, id), self._limits, package)
        while some := await asyncio.to_thread(lambda: list(islice(pictures, _TOGETHER))):
            for shot, data in some:
                name = digest_name(f"{tenant}/{id}/{shot}", data, "jpg")
                placed[shot] = replace(placed[shot], blob=name, blob_bytes=len(data))
            await asyncio.gather(*(self._blobs.put(str(placed[shot].blob), data) for shot, data in some))
        return list(placed.values())

    async def _start(
        self,
        tenant: str,
        kind: str,
        classifier: str | None,
        stream: AsyncIterator[bytes],
        once: Once | None,
    ) -> JobRecord:
        id = new_id()
        once = of_content(once, await self.uploads.keep(tenant, id, stream, self._most))
        try:
            return await self._jobs.submit(tenant, kind, classifier, {}, once, id=id)
        except ServiceError:  # otherwise there may be a job all the same; if not, the sweeper takes it
            await self.uploads.remove(tenant, id)
            raise
