"""Use cases about shots: labelled pictures in, and what they have taught out again."""

import asyncio
import secrets
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from io import BytesIO
from typing import Any

from PIL import Image

from handful.augment import stored_policy
from handful.errors import NotFoundError, RequestError
from handful.service.changes import Changes, next_revision, not_found
from handful.service.classes import NewClass, merged_classes
from handful.service.classifiers import ClassifierView
from handful.service.encoding import Encoding, Timings
from handful.service.heads import Heads
from handful.service.kept import Kept, keeping, removed_if_refused
from handful.service.names import checked_name, normal_name
from handful.service.new_shots import NewShot, check_shot, new_rows
from handful.service.once import Once, check_once
from handful.service.pages import Page, behind, checked_limit, page
from handful.service.support import packed_each, packed_rows
from handful.service.words import ReadAhead
from handful.storage.blobs import Blobs, digest_name
from handful.storage.ids import new_ids
from handful.storage.records import ClassifierRecord, ClassRecord, HeadRecord, ShotRecord, Support
from handful.storage.store import Change, Store, changed_meanwhile


@dataclass(frozen=True, slots=True, kw_only=True)
class ShotView:
    """A shot with the name of its class."""

    record: ShotRecord
    label: str


@dataclass(frozen=True, slots=True)
class SeenShot:
    """A new shot, encoded."""

    label: str
    record: ShotRecord


@dataclass(frozen=True, slots=True, eq=False)
class Draft:
    """A classifier as it will be written.    kept : its pictures, which are."""

    support: Support
    kept: Kept


class Shots:
    """Add, show, relabel and delete shots."""

    def __init__(
        self, store: Store, blobs: Blobs, changes: Changes, encoding: Encoding, heads: Heads
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._changes = changes
        self._encoding = encoding
        self._heads = heads
        self._words = ReadAhead(store, encoding)

    async def close(self) -> None:
        """Stop what nobody waits for."""
        await self._words.close()

    async def add(
        self,
        tenant: str,
        id: str,
        new: Sequence[NewShot],
        once: Once | None = None,
        *,
        ids: Sequence[str] | None = None,
        timings: Timings | None = None,
    ) -> tuple[ShotView, ...]:
        """All of them, or none; a new label makes its class.

        ids : of the shots, where they were decided before; those that are there already are left as they are.
        Raises RequestError, NotFoundError, QuotaError, BusyError.
        """
        record, _ = await asyncio.gather(self._store.classifier(tenant, id), check_once(self._store, once))
        if record is None:
            raise not_found(id)
        if not new:
            raise RequestError("there is no shot in this request; give at least one")
        labels = _checked_labels(new)
        names = list(ids) if ids is not None else new_ids(len(new))
        there = {} if ids is None else await self._store.shots_named(tenant, id, names)
        if any(shot.image is not None for shot in new):
            self._words.begin(record, await self._heads.encoder_of(record), {shot.label for shot in new})
        async with keeping(self._blobs) as kept:
            seen = await self._encoded(record, new, names, kept, labels, unkept=there, timings=timings)
        async with removed_if_refused(kept):
            decide = partial(self._added, seen=seen, again=ids is not None)
            return await self._changes.to(tenant, id, decide, once, read=record)

    async def drafted(self, view: ClassifierView, new: Sequence[NewShot]) -> Draft:
        """A new classifier with its shots, to be created or discarded. Raises RequestError, BusyError."""
        labels = _checked_labels(new)
        counts = Counter(labels[shot.label] for shot in new)
        known = {one.name for one in view.classes}
        unnamed = [NewClass(name=name) for name in counts if name not in known]
        made = merged_classes(unnamed, {}, view.record.next_class)
        classes = tuple(replace(one, shots=counts[one.name]) for one in (*view.classes, *made))
        keys = {one.name: one.key for one in classes}
        async with keeping(self._blobs) as kept:
            seen = await self._encoded(view.record, new, new_ids(len(new)), kept, labels, keys=keys)
        record = replace(
            view.record,
            next_class=view.record.next_class + len(made),
            class_count=len(classes),
            shot_count=len(seen),
            image_bytes=sum(one.record.blob_bytes for one in seen),
        )
        shots = tuple(one.record for one in seen)
        return Draft(Support(classifier=record, classes=classes, shots=shots), kept)

    async def create(self, draft: Draft, heads: Sequence[tuple[HeadRecord, bytes]] = ()) -> None:
        """Write a draft, with heads that were made of it.

        Raises QuotaError, and ChangedMeanwhileError where the classifier exists.
        """
        support = draft.support
        change = Change(
            before=None,
            after=support.classifier,
            put_classes=support.classes,
            put_shots=support.shots,
            put_heads=heads,
        )
        async with removed_if_refused(draft.kept):
            await self._changes.write(change)

    async def _added(
        self, record: ClassifierRecord, *, seen: Sequence[SeenShot], again: bool
    ) -> tuple[Change, tuple[ShotView, ...]]:
        """again : some may be there already."""
        ids = [one.record.id for one in seen] if again else []
        there = await self._store.shots_named(record.tenant, record.id, ids) if ids else {}
        labels = list(dict.fromkeys(one.label for one in seen))
        known = await self._store.classes_named(record.tenant, record.id, labels)
        return _addition(record, seen, there, known)

    async def list(
        self, tenant: str, id: str, *, label: str | None = None, limit: int, cursor: str | None = None
    ) -> Page[ShotView]:
        """By arrival. Raises NotFoundError, also for a label that is no class."""
        checked_limit(limit)
        after = behind(cursor)
        if await self._store.classifier(tenant, id) is None:
            raise not_found(id)
        key = None
        if label is not None:
            known = await self._store.classes_named(tenant, id, [normal_name(label)])
            if not known:
                raise NotFoundError(f"classifier {id} has no class {label!r}")
            key = known[normal_name(label)].key
        found = await self._store.shots(tenant, id, limit=limit + 1, after=after, class_key=key)
        shots = page(found, limit, [shot.id for shot in found])
        return Page(await self._views(tenant, id, shots.items), shots.next_cursor)

    async def get(self, tenant: str, id: str, shot: str) -> ShotView:
        """Raises NotFoundError."""
        views = await self._views(tenant, id, [await self._of_id(tenant, id, shot)])
        if not views:
            raise NotFoundError(f"classifier {id} has no shot {shot!r}")
        return views[0]

    async def delete(self, tenant: str, id: str, shot: str, once: Once | None = None) -> None:
        """Its class stays, with one shot less."""

        async def decide(record: ClassifierRecord) -> tuple[Change, None]:
            gone = await self._of_id(tenant, id, shot)
            own = await self._class_of(tenant, id, gone)
            after = next_revision(
                record,
                support=True,
                shot_count=record.shot_count - 1,
                image_bytes=record.image_bytes - gone.blob_bytes,
            )
            change = Change(
                before=record,
                after=after,
                drop_shots=[shot],
                put_classes=[replace(own, shots=own.shots - 1)],
            )
            return change, None

        await self._changes.to(tenant, id, decide, once)

    async def relabel(
        self, tenant: str, id: str, shot: str, label: str, once: Once | None = None
    ) -> ShotView:
        """A new label makes its class."""
        wanted = checked_name(label, what="class", pointer="/label")

        async def decide(record: ClassifierRecord) -> tuple[Change, ShotView]:
            moved = await self._of_id(tenant, id, shot)
            known = await self._store.classes_named(tenant, id, [wanted])
            fresh = merged_classes([NewClass(name=wanted)], {}, record.next_class)
            to = known.get(wanted) or fresh[0]
            view = ShotView(record=replace(moved, class_key=to.key), label=wanted)
            if to.key == moved.class_key:
                return Change(before=record, after=record), view
            made = int(wanted not in known)
            old = await self._class_of(tenant, id, moved)
            after = next_revision(
                record,
                support=True,
                next_class=record.next_class + made,
                class_count=record.class_count + made,
            )
            change = Change(
                before=record,
                after=after,
                put_classes=[replace(old, shots=old.shots - 1), replace(to, shots=to.shots + 1)],
                label_shots={shot: to.key},
            )
            return change, view

        return await self._changes.to(tenant, id, decide, once)

    async def image(self, tenant: str, id: str, shot: str, size: int | None = None) -> bytes:
        """The kept picture as JPEG, its longer side at most `size` pixels. Raises NotFoundError for none."""
        found = await self._of_id(tenant, id, shot)
        data = None if found.blob is None else await self._blobs.get(found.blob)
        if data is None:
            raise NotFoundError(f"of shot {shot} no picture is kept")
        return data if size is None else await asyncio.to_thread(_shrunk, data, size)

    async def _encoded(
        self,
        record: ClassifierRecord,
        new: Sequence[NewShot],
        ids: Sequence[str],
        kept: Kept,
        labels: Mapping[str, str],
        *,
        unkept: Container[str] = (),
        timings: Timings | None = None,
        keys: Mapping[str, int] | None = None,
    ) -> tuple[SeenShot, ...]:
        """Shots with their rows, not yet in the store. Raises RequestError, BusyError.

        kept : gets their pictures, but for those of `unkept` ids.
        labels : as `_checked_labels` gives them.    keys : of the classes by name, if they are known.
        """
        encoder = await self._heads.encoder_of(record)
        for shot in new:
            check_shot(shot)
        X = new_rows([shot for shot in new if shot.image is None], encoder.dimension)
        rows = zip([sha256(x).hexdigest() for x in X], packed_each(X), strict=True)
        pictured = [
            (shot.image, shot.pointer, own)
            for shot, own in zip(new, ids, strict=True)
            if shot.image is not None
        ]
        blobs: dict[str, dict[str, Any]] = {}  # Any: each has its own type

        def keep(at: int, data: bytes) -> None:
            own = pictured[at][2]
            name = _blob_name(record, own, data)
            blobs[own] = {"blob": name, "blob_bytes": len(data)}
            if own not in unkept:
                kept.put(name, data)

        kept.expect(sum(own not in unkept for _, _, own in pictured))
        pictures = iter(
            await self._encoding.pictures(
                record.tenant,
                encoder,
                [image for image, _, _ in pictured],
                pointers=[pointer for _, pointer, _ in pictured],
                views=stored_policy(record.views),
                keep=keep,
                timings=timings,
            )
        )
        now = datetime.now(UTC)
        seen = []
        for shot, shot_id in zip(new, ids, strict=True):
            told: dict[str, Any]
            if shot.image is None:
                digest, packed = next(rows)
                told = {"sha256": digest, "width": 0, "height": 0, "rows": packed}
            else:
                picture = next(pictures)
                told = {
                    "sha256": picture.sha256,
                    "width": picture.width,
                    "height": picture.height,
                    "rows": packed_rows(picture.X),
                    **blobs.get(shot_id, {}),
                }
            filled = ShotRecord(
                id=shot_id,
                class_key=-1 if keys is None else keys[labels[shot.label]],
                group=shot.group,
                source_id=shot.source_id,
                metadata=shot.metadata,
                created=now,
                **told,
            )
            seen.append(SeenShot(labels[shot.label], filled))
        return tuple(seen)

    async def _of_id(self, tenant: str, id: str, shot: str) -> ShotRecord:
        found = await self._store.shots_named(tenant, id, [shot])
        if shot not in found:
            if await self._store.classifier(tenant, id) is None:
                raise not_found(id)
            raise NotFoundError(f"classifier {id} has no shot {shot!r}")
        return found[shot]

    async def _class_of(self, tenant: str, id: str, shot: ShotRecord) -> ClassRecord:
        classes = await self._store.classes_keyed(tenant, id, [shot.class_key])
        if not classes:  # deleted, with the shot, since that was read
            raise changed_meanwhile(id)
        return classes[shot.class_key]

    async def _views(self, tenant: str, id: str, shots: Sequence[ShotRecord]) -> tuple[ShotView, ...]:
        keys = [shot.class_key for shot in shots]
        classes: dict[int, ClassRecord] = await self._store.classes_keyed(tenant, id, keys)
        return tuple(
            ShotView(record=shot, label=classes[shot.class_key].name)
            for shot in shots
            if shot.class_key in classes  # deleted between the two reads otherwise
        )


def _checked_labels(new: Sequence[NewShot]) -> dict[str, str]:
    """The names of classes by the labels that shots give. Raises RequestError for one that is none."""
    labels: dict[str, str] = {}
    for shot in new:
        if shot.label not in labels:
            labels[shot.label] = checked_name(shot.label, what="class", pointer=shot.pointer or None)
    return labels


def _blob_name(record: ClassifierRecord, shot_id: str, kept: bytes) -> str:
    """A name that nobody else gives, not even the same import tried again: removing it harms no other."""
    return digest_name(f"{record.tenant}/{record.id}/{shot_id}-{secrets.token_hex(4)}", kept, "jpg")


def _addition(
    record: ClassifierRecord,
    seen: Sequence[SeenShot],
    there: Mapping[str, ShotRecord],
    known: Mapping[str, ClassRecord],
) -> tuple[Change, tuple[ShotView, ...]]:
    """What adding shots changes.    there : those that were added before.    known : classes by name."""
    fresh = [one for one in seen if one.record.id not in there]
    counts = Counter(one.label for one in fresh)
    made = merged_classes(
        [NewClass(name=label) for label in counts if label not in known], {}, record.next_class
    )
    classes = {**known, **{one.name: one for one in made}}
    for label, count in counts.items():
        classes[label] = replace(classes[label], shots=classes[label].shots + count)
    views = tuple(
        ShotView(
            record=there.get(one.record.id) or replace(one.record, class_key=classes[one.label].key),
            label=one.label,
        )
        for one in seen
    )
    if not fresh:
        return Change(before=record, after=record), views
    after = next_revision(
        record,
        support=True,
        next_class=record.next_class + len(made),
        class_count=record.class_count + len(made),
        shot_count=record.shot_count + len(fresh),
        image_bytes=record.image_bytes + sum(one.record.blob_bytes for one in fresh),
    )
    added = [view.record for view in views if view.record.id not in there]
    changed = [one for one in classes.values() if known.get(one.name) != one]
    return Change(before=record, after=after, put_classes=changed, put_shots=added), views


def _shrunk(data: bytes, size: int) -> bytes:
    with Image.open(BytesIO(data), formats=["JPEG"]) as image:
        image.draft("RGB", (size, size))
        image.thumbnail((size, size))
        buffer = BytesIO()
        image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
