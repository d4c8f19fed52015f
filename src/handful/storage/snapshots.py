"""A classifier with all that it has, as of one revision: read, told apart by a digest, written elsewhere."""

import asyncio
import json
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec

from handful.errors import StorageError
from handful.storage.records import ClassifierRecord, HeadRecord, Support
from handful.storage.store import Change, Store

if TYPE_CHECKING:
    from hashlib import _Hash

_ENCODER = msgspec.msgpack.Encoder(order="deterministic")
_RESTLESS = 4  # readings, after which nobody waits for a moment without a write
_TRIES = 20
_PAUSE = 0.05  # seconds before another, and as much more before each further one


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """heads : newest first, with their bytes; the closed-form ones among them can be made again."""

    support: Support
    heads: tuple[tuple[HeadRecord, bytes], ...]

    @property
    def record(self) -> ClassifierRecord:
        """The classifier without all that it has."""
        return self.support.classifier

    @property
    def pictures(self) -> list[str]:
        """The blobs of its shots."""
        return [shot.blob for shot in self.support.shots if shot.blob is not None]

    def digest(self, *, made_again: bool = True) -> str:
        """SHA-256 of every record, row and head.

        made_again : also of the heads that any node makes again; without them, two stores that each have
        answered from the same support have the same digest.
        """
        told = sha256()
        for record in (self.record, *self.support.classes):
            _feed(told, record)
        for shot in self.support.shots:
            _feed(told, replace(shot, metadata=None))
            _feed(told, json.dumps(shot.metadata, sort_keys=True))  # its numbers may be of any size
        for head, data in self.heads:
            if made_again or head.held:
                _feed(told, (head, data))
        return told.hexdigest()


async def snapshot(store: Store, tenant: str, id: str) -> Snapshot | None:
    """All of a classifier as of one revision; None where it is gone.

    One that never rests comes with the heads of that revision that were still there a moment later: those
    that are held always are, the others are made again.
    Raises StorageError where the head that is to answer is not among them.
    """
    for attempt in range(_TRIES):
        support = await store.support(tenant, id)
        if support is None:
            return None
        record = support.classifier
        listed = await store.heads(tenant, id)
        read = [await store.head(tenant, id, head.version) for head in listed]
        now = await store.classifier(tenant, id)
        heads = tuple(head for head in read if head is not None)
        if now == record and listed == [replace(head, classes=()) for head, _ in heads]:
            return Snapshot(support=support, heads=heads)
        heads = tuple(head for head in heads if head[0].version <= record.revision)
        pinned = None if record.pinned is None else record.pinned.version
        if attempt + 1 >= _RESTLESS and pinned in (None, *(head.version for head, _ in heads)):
            return Snapshot(support=support, heads=heads)
        await asyncio.sleep(_PAUSE * attempt)
    raise StorageError(f"classifier {id} of {tenant} is written to all the time; try again when it is not")


def creation(whole: Snapshot) -> Change:
    """What makes it, where there is none."""
    return Change(
        before=None,
        after=whole.record,
        put_classes=whole.support.classes,
        put_shots=whole.support.shots,
        put_heads=whole.heads,
    )


def catching_up(there: Snapshot, whole: Snapshot) -> list[Change]:
    """What makes an older copy of a classifier the same as a newer one.

    Shots that stay are not written again: dropping one would put its picture into the trash.
    Raises StorageError where a shot is another under its old id.
    """
    old = {shot.id: shot for shot in there.support.shots}
    new = {shot.id: shot for shot in whole.support.shots}
    for id in old.keys() & new.keys():
        if replace(old[id], class_key=new[id].class_key) != new[id]:
            raise StorageError(f"shot {id} is another in each store; copy into an empty one")
    moved = {
        id: shot.class_key for id, shot in new.items() if id in old and old[id].class_key != shot.class_key
    }
    kept = {one.key for one in whole.support.classes}
    gone = [one.key for one in there.support.classes if one.key not in kept]
    leaving = {id: key for id, key in moved.items() if old[id].class_key in gone}
    known = {one.key: one for one in there.support.classes}
    before, changes = there.record, []
    if leaving:  # dropping a class drops the shots in it, so that these move out first, as they once did
        between = replace(whole.record, revision=before.revision + 1)
        changes.append(Change(before=before, after=between, label_shots=leaving))
        before = between
    versions = {head.version for head, _ in whole.heads}
    changes.append(
        Change(
            before=before,
            after=whole.record,
            put_classes=[one for one in whole.support.classes if known.get(one.key) != one],
            drop_classes=gone,
            put_shots=[shot for id, shot in new.items() if id not in old],
            drop_shots=[id for id, shot in old.items() if id not in new and shot.class_key not in gone],
            label_shots={id: key for id, key in moved.items() if id not in leaving},
            put_heads=[head for head in whole.heads if head not in there.heads],
            drop_heads=[head.version for head, _ in there.heads if head.version not in versions],
        )
    )
    return changes


def _feed(told: "_Hash", value: object) -> None:
    data = _ENCODER.encode(value)
    told.update(len(data).to_bytes(8, "big"))
    told.update(data)
