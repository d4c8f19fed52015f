"""The head of very many classes after a write: those that changed are made anew, its statistics stay."""

import asyncio
from collections.abc import Sequence
from hashlib import sha256

import numpy as np

from handful.adapters.frozen import ClassShots
from handful.adapters.head import Head
from handful.encoders import Encoder
from handful.rows import Rows
from handful.service.changes import not_found
from handful.service.encoding import Encoding
from handful.service.support import SupportRows, support_rows
from handful.service.words import class_prompts, text_rows
from handful.storage.records import ClassifierRecord, ClassRecord, HeadRecord, Support
from handful.storage.store import Store

METHODS = ("auto", "lda", "prototype")  # that have statistics to freeze
_MOST_CHANGED = 0.5  # of the classes; where more changed, the statistics are of others


def good_for(record: ClassifierRecord) -> str:
    """What a classifier's frozen statistics depend on, beside its classes; a digest."""
    told = (record.method, record.fingerprint, record.use_text, record.domain, record.templates)
    return sha256(repr(told).encode()).hexdigest()[:16]


async def brought_up_to_date(
    store: Store,
    encoding: Encoding,
    record: ClassifierRecord,
    encoder: Encoder,
    kept: HeadRecord,
    head: Head,
    *,
    least: int,
) -> tuple[HeadRecord, Head, bytes] | None:
    """The head of a classifier as it is now, by the statistics of an earlier one; None where these end.

    kept : of the earlier one, with its classes.    least : classes that the next one has at least.
    What comes out depends on those statistics and on the shots alone, not on the heads between the two.
    Raises NotFoundError.
    """
    part = await store.changed_since(record.tenant, record.id, kept.support_version)
    if part is None:
        raise not_found(record.id)
    now = part.classifier
    changed = [one for one in part.classes if one.changed > kept.support_version]
    if good_for(now) != kept.frozen or len(changed) > _MOST_CHANGED * head.class_count:
        return None
    prompts = await asyncio.to_thread(class_prompts, now, changed) if changed else []
    there = [(one, own) for one, own in zip(changed, prompts, strict=True) if one.shots or own]
    text = await text_rows(encoding, now.tenant, encoder, [own for _, own in there])
    fresh = [one for one, _ in there]

    def make() -> tuple[HeadRecord, Head, bytes] | None:
        rows = support_rows(Support(classifier=now, classes=tuple(fresh), shots=part.shots))
        made = _made(part.classes, changed, fresh, rows, text, kept, head)
        if made is None or made[1].class_count < least:
            return None
        classes, following = made
        told = HeadRecord.in_closed_form(now, kept.method, classes, frozen=kept.frozen)
        return told, following, following.to_bytes()

    return await asyncio.to_thread(make)


def _made(
    classes: Sequence[ClassRecord],
    changed: Sequence[ClassRecord],
    fresh: Sequence[ClassRecord],
    rows: SupportRows,
    text: Rows | None,
    kept: HeadRecord,
    head: Head,
) -> tuple[list[ClassRecord], Head] | None:
    """Classes that stay in their order, then new ones; None where there is none left."""
    there = {one.key: one for one in classes}
    for one in changed:
        del there[one.key]
    again = {one.key: (at, one) for at, one in enumerate(fresh)}
    ordered: list[ClassRecord] = []
    origin: list[int] = []
    computed: list[int] = []  # of `fresh`, in order
    for place, (key, _) in enumerate(kept.classes):
        if key in there:
            ordered.append(there[key])
            origin.append(place)
        elif key in again:
            at, one = again.pop(key)
            ordered.append(one)
            origin.append(-1)
            computed.append(at)
    for at, one in again.values():
        ordered.append(one)
        origin.append(-1)
        computed.append(at)
    if not ordered:
        return None
    words = np.zeros((len(fresh), head.dimension), np.float32) if text is None else text
    turn = np.argsort(computed)  # where each of `fresh` stands among those computed
    shots = ClassShots(
        X=rows.X.reshape(-1, head.dimension), y=turn[rows.places(fresh)], text=words[np.array(computed, int)]
    )
    return ordered, head.with_classes(np.array(origin), shots)
