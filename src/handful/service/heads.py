"""Heads that are ready to answer: compiled where they are behind, once, and kept in bounded memory."""

import asyncio
import logging
import time
from collections.abc import Hashable
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np
from cachetools import LRUCache

from handful.adapters.head import Head, fit_head, named_background
from handful.background import Background, JoinedBackground
from handful.encoders import Encoder
from handful.encoders.backgrounds import Backgrounds
from handful.errors import ConflictError, HeadError, RequestError, SupportError
from handful.rows import Rows
from handful.service import metrics
from handful.service.changes import not_found
from handful.service.encoding import Encoding
from handful.service.frozen import METHODS, brought_up_to_date, good_for
from handful.service.indexes import Indexes
from handful.service.support import SupportRows, support_rows
from handful.service.words import class_prompts, text_rows
from handful.settings import Settings
from handful.storage.records import ClassifierRecord, ClassRecord, HeadRecord
from handful.storage.store import Store

if TYPE_CHECKING:
    from handful.retrieval.two_stages import TwoStages

_LOG = logging.getLogger(__name__)

KEPT = 5  # closed-form heads that stay, the newest
TRAINED = ("tip-f", "clip-adapter")  # methods that need a job
STAND_IN = "auto"  # answers until they are trained
_IN_MEMORY = 5  # times its bytes in a file: the rows again, as float32
_OVERHEAD = 2000  # bytes of objects
_DIGITS = 16  # of a digest


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyHead:
    """A compact head.    names, keys : (C,) of its classes.    version : of the head.

    made_of : support_version of the shots it was made of.    as_of : of its names.
    written : when its classifier was, as far as was known. A store that lost its last second, as Redis may by
    its settings, gives a revision a second time, to other shots.
    created : when the head was made.
    work : numbers that are multiplied for each row asked, about.    digest : of the head's bytes.
    """

    head: Head
    names: tuple[str, ...]
    keys: tuple[int, ...]
    version: int
    made_of: int
    as_of: int
    written: datetime | None = None
    created: datetime
    nbytes: int
    work: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """All that a head in closed form is made of.

    classes : (C,) those with a shot or with words that count.    text : (C, D) what these say, or None.
    frozen : whether the head keeps its statistics, for writes to change single classes by.
    """

    rows: SupportRows
    classes: tuple[ClassRecord, ...]
    text: Rows | None
    encoder: Encoder
    frozen: bool

    def made(self) -> tuple[HeadRecord, bytes]:
        """The head, compact. Raises ConflictError where its method can make nothing of this."""
        started = time.perf_counter()
        record = self.rows.classifier
        method = STAND_IN if record.method in TRAINED else record.method
        fitted = fit(self.rows, self.classes, self.text, method, self.encoder)
        head = fitted.compact(frozen=self.frozen)
        frozen = "" if head.frozen is None else good_for(record)
        kept = HeadRecord.in_closed_form(record, method, self.classes, frozen=frozen)
        data = head.to_bytes()
        metrics.HEADS_MADE.inc()
        metrics.HEAD_SECONDS.observe(time.perf_counter() - started)
        return kept, data


class Heads:
    """The head of each classifier, by version."""

    def __init__(self, store: Store, encoding: Encoding, settings: Settings) -> None:
        self._store = store
        self._encoding = encoding
        self._memory: LRUCache[Hashable, ReadyHead | SupportRows] = LRUCache(
            settings.heads_cache_bytes, getsizeof=lambda entry: entry.nbytes
        )
        self._giant: dict[Hashable, ReadyHead] = {}  # at most one, larger than the memory for all
        self._making: dict[Hashable, asyncio.Task[ReadyHead]] = {}
        self._backgrounds = Backgrounds(settings.data_dir)
        self._kept: set[str] = set()  # fingerprints of encoders whose background is
        self._keeping: dict[tuple[str, str], set[asyncio.Task[None]]] = {}
        self._exact = settings.exact_classes
        self.indexes = Indexes(store, settings.data_dir / "indexes", settings.exact_classes)

    @property
    def nbytes(self) -> int:
        """About what is in memory."""
        return int(self._memory.currsize) + sum(entry.nbytes for entry in self._giant.values())

    def at_hand(self, record: ClassifierRecord) -> ReadyHead | None:
        """The head that answers for a classifier as it was just read, if it is in memory."""
        found = self._held(record)
        if found is None:
            return None
        wanted = (record.head_version, record.support_version, record.updated)
        return found if (found.version, found.as_of, found.written) == wanted else None

    def _held(self, record: ClassifierRecord) -> ReadyHead | None:
        key = ("head", record.tenant, record.id)
        found = self._memory.get(key) or self._giant.get(key)
        return found if isinstance(found, ReadyHead) else None

    async def ready(self, record: ClassifierRecord) -> ReadyHead:
        """The head that answers for a classifier as it was just read.

        Raises ConflictError where nothing can be answered yet, or its encoder is another by now.
        """
        if (found := self.at_hand(record)) is not None:
            return found
        key = (record.tenant, record.id, record.head_version, record.support_version, record.updated)
        if key not in self._making:
            task = asyncio.create_task(self._make(record))
            self._making[key] = task
            task.add_done_callback(lambda done: self._made(key, done))
        return await asyncio.shield(self._making[key])

    def _made(self, key: Hashable, task: "asyncio.Task[ReadyHead]") -> None:
        self._making.pop(key, None)
        if not task.cancelled():
            task.exception()  # taken note of, should nobody wait any more

    def stages(self, record: ClassifierRecord, ready: ReadyHead) -> "TwoStages | None":
        """Where a head has very many classes, how to look at few of them; None until that is there."""
        return self.indexes.at_hand(record.tenant, record.id, ready.head, ready.digest)

    async def support(self, record: ClassifierRecord) -> SupportRows:
        """The support of a classifier, as of its support_version or newer. Raises NotFoundError."""
        key = ("support", record.tenant, record.id)
        found = self._memory.get(key)
        if isinstance(found, SupportRows) and _of_one_write(found.classifier, record):
            return found
        support = await self._store.support(record.tenant, record.id)
        if support is None:
            raise not_found(record.id)
        rows = await asyncio.to_thread(support_rows, support)
        self._remember(key, rows)
        return rows

    async def recipe(self, rows: SupportRows) -> Recipe:
        """What the head of a support is made of, its words encoded.

        Raises ConflictError where it has no class to answer with, or its encoder is another by now,
        EncoderError where the encoder reads no words.
        """
        encoder = await self.encoder_of(rows.classifier)
        classes, text = await usable(self._encoding, encoder, rows)
        frozen = len(classes) > self._exact
        return Recipe(rows=rows, classes=classes, text=text, encoder=encoder, frozen=frozen)

    async def settled(self, tenant: str, id: str) -> None:
        """Return when the heads compiled so far are in the store."""
        await asyncio.gather(*self._keeping.get((tenant, id), ()), return_exceptions=True)

    async def close(self) -> None:
        """Finish what is being made, and keep it."""
        await self.indexes.close()
        await asyncio.gather(*self._making.values(), return_exceptions=True)
        keeping = [task for some in self._keeping.values() for task in some]
        await asyncio.gather(*keeping, return_exceptions=True)

    async def encoder_of(self, record: ClassifierRecord) -> Encoder:
        """Raises ConflictError where the classifier was taught with other weights, or another encoder."""
        try:
            encoder = await self._encoding.encoders.found(record.encoder)
        except RequestError as exc:
            raise ConflictError(f"classifier {record.id} cannot be used here: {exc}") from exc
        if encoder.fingerprint != record.fingerprint:
            raise ConflictError(
                f"classifier {record.id} was taught with encoder {record.encoder!r} of fingerprint "
                f"{record.fingerprint}, and this service has {encoder.fingerprint}; teach it again"
            )
        if encoder.fingerprint not in self._kept:
            self._kept.add(encoder.fingerprint)
            await asyncio.to_thread(self._keep_background, encoder)
        return encoder

    def _keep_background(self, encoder: Encoder) -> None:
        """Heads that are made with it can be read when the encoder has another one."""
        try:
            if (background := encoder.background) is not None:
                self._backgrounds.keep(background)
        except OSError as exc:
            _LOG.warning("the background of encoder %s could not be kept: %s", encoder.name, exc)

    async def _make(self, record: ClassifierRecord) -> ReadyHead:
        encoder = await self.encoder_of(record)
        kept = await self._store.head(record.tenant, record.id, record.head_version)
        if record.pinned is None:
            ready = await self._in_closed_form(record, kept, encoder)
        elif kept is not None:
            ready = await asyncio.to_thread(self._pinned, *kept, encoder)
            now = await self._store.classes_keyed(record.tenant, record.id, ready.keys)
            names = (now[key].name if key in now else name for key, name in kept[0].classes)
            ready = replace(ready, names=tuple(names), as_of=record.support_version)
        else:
            raise ConflictError(
                f"head {record.pinned.version} of classifier {record.id} is gone; activate another"
            )
        ready = replace(ready, written=record.updated)
        self._remember(("head", record.tenant, record.id), ready)
        return ready

    async def _in_closed_form(
        self, record: ClassifierRecord, kept: tuple[HeadRecord, bytes] | None, encoder: Encoder
    ) -> ReadyHead:
        if kept is not None:
            try:
                return await asyncio.to_thread(_current, *kept, encoder)
            except ConflictError:  # of another build or background; what it was made of is still there
                metrics.HEADS_LOST.inc()
        return await self._compiled(record, encoder)

    async def _compiled(self, record: ClassifierRecord, encoder: Encoder) -> ReadyHead:
        if (following := await self._following(record, encoder)) is not None:
            return following
        recipe = await self.recipe(await self.support(record))
        kept, data = await asyncio.to_thread(recipe.made)
        self._keep(recipe.rows.classifier, kept, data)
        # Restored, not the head at hand: every process answers with the same numbers.
        return await asyncio.to_thread(_restored, kept, data, encoder.background)

    async def _following(self, record: ClassifierRecord, encoder: Encoder) -> ReadyHead | None:
        """The head of very many classes, by the frozen statistics of the newest that has them."""
        if not self.frozen(record.method, record.class_count):
            return None
        place = (record.tenant, record.id)
        await self.settled(*place)
        for listed in await self._store.heads(*place):
            if listed.frozen == good_for(record) and listed.support_version < record.support_version:
                return await self._after(record, encoder, listed)
        return None

    async def _after(
        self, record: ClassifierRecord, encoder: Encoder, listed: HeadRecord
    ) -> ReadyHead | None:
        held = self._held(record)
        if held is not None and (held.version, held.created) == (listed.version, listed.created):
            former = replace(listed, classes=tuple(zip(held.keys, held.names, strict=True)))
        else:
            stored = await self._store.head(record.tenant, record.id, listed.version)
            if stored is None:
                return None
            try:
                held = await asyncio.to_thread(_current, *stored, encoder)
            except ConflictError:  # of another background or build
                return None
            former = stored[0]
        if held.head.frozen is None:
            return None
        started = time.perf_counter()
        made = await self.brought_up_to_date(record, encoder, former, held.head)
        if made is None:
            return None
        kept, head, data = made
        self._keep(record, kept, data)
        metrics.HEADS_MADE.inc()
        metrics.HEAD_SECONDS.observe(time.perf_counter() - started)
        return await asyncio.to_thread(_ready, kept, head, data, encoder.background)

    def frozen(self, method: str, classes: int) -> bool:
        """Whether the statistics of a head stay while its classes change."""
        return classes > self._exact and method in METHODS

    async def brought_up_to_date(
        self, record: ClassifierRecord, encoder: Encoder, kept: HeadRecord, head: Head
    ) -> tuple[HeadRecord, Head, bytes] | None:
        """As the function of this name does it; None also where all classes are fitted, being few."""
        return await brought_up_to_date(
            self._store, self._encoding, record, encoder, kept, head, least=self._exact + 1
        )

    def _pinned(self, kept: HeadRecord, data: bytes, encoder: Encoder) -> ReadyHead:
        """By the background that it was made with, though the encoder may have another by now."""
        return _restored(kept, data, self.background_of(data, encoder))

    def background_of(self, data: bytes, encoder: Encoder) -> Background | None:
        """That which a head names, as far as it is to be had; else the encoder's. For threads."""
        own = encoder.background
        try:
            named = named_background(data)
        except HeadError:  # said in full where it is read
            return own
        if named is None or (own is not None and own.fingerprint == named):
            return own
        return self._backgrounds.named(named) or own

    def _keep(self, record: ClassifierRecord, kept: HeadRecord, data: bytes) -> None:
        place = (record.tenant, record.id)
        task = asyncio.create_task(self._store.keep_head(*place, kept, data, newest=KEPT))
        running = self._keeping.setdefault(place, set())
        running.add(task)

        def forget(done: asyncio.Task[None]) -> None:
            running.discard(done)
            if not running:
                self._keeping.pop(place, None)
            if not done.cancelled() and done.exception() is not None:
                metrics.HEADS_LOST.inc()  # it is compiled again when it is needed

        task.add_done_callback(forget)

    def _remember(self, key: Hashable, entry: ReadyHead | SupportRows) -> None:
        """In the place of what an earlier version left there: nobody asks that any more."""
        self._giant.pop(key, None)
        if entry.nbytes <= self._memory.maxsize:
            self._memory[key] = entry
        elif isinstance(entry, ReadyHead) and entry.head.class_count > self._exact:
            # Restoring it for each request would take seconds.
            self._memory.pop(key, None)
            self._giant = {key: entry}
        metrics.HEADS_CACHED_BYTES.set(self.nbytes)


async def usable(
    encoding: Encoding, encoder: Encoder, rows: SupportRows
) -> tuple[tuple[ClassRecord, ...], Rows | None]:
    """Classes with a shot or with words that count, and their text prior. Raises ConflictError for none."""
    record = rows.classifier
    prompts = await asyncio.to_thread(class_prompts, record, rows.classes) if rows.classes else []
    there = [(one, own) for one, own in zip(rows.classes, prompts, strict=True) if one.shots or own]
    if not there:
        raise ConflictError(
            f"classifier {record.id} has no class that it could answer with; add shots, or classes whose "
            "names say something"
        )
    text = await text_rows(encoding, record.tenant, encoder, [own for _, own in there])
    return tuple(one for one, _ in there), text


def fit(
    rows: SupportRows, classes: tuple[ClassRecord, ...], text: Rows | None, method: str, encoder: Encoder
) -> Head:
    """Raises ConflictError where the method can make nothing of them."""
    if method == "zero-shot":
        _check_words(rows.classifier, classes, text)
    y = rows.places(classes)
    try:
        return fit_head(
            method,
            rows.X,
            y,
            class_count=len(classes),
            text=text,
            groups=rows.groups if len(rows.groups) else None,
            background=encoder.background,
            shot_ids=rows.ids,
        )
    except SupportError as exc:
        raise ConflictError(f"classifier {rows.classifier.id} cannot answer by {method!r}: {exc}") from exc


def _check_words(record: ClassifierRecord, classes: tuple[ClassRecord, ...], text: Rows | None) -> None:
    spoken = np.zeros(len(classes), bool) if text is None else text.any(axis=1)
    if not spoken.all():
        raise ConflictError(
            f"classifier {record.id} goes by words alone ('zero-shot'), and those of class "
            f"{classes[int(spoken.argmin())].name!r} say nothing; describe it, or set the method to 'auto'"
        )


def _of_one_write(one: ClassifierRecord, other: ClassifierRecord) -> bool:
    return (one.support_version, one.updated) == (other.support_version, other.updated)


def _current(kept: HeadRecord, data: bytes, encoder: Encoder) -> ReadyHead:
    """Raises ConflictError where it was made with another background than the encoder has, or none."""
    ready, own = _restored(kept, data, encoder.background), encoder.background
    if ready.head.background_fingerprint != (None if own is None else own.fingerprint):
        raise ConflictError(f"head {kept.version} was made with another background")
    return ready


def _restored(kept: HeadRecord, data: bytes, background: Background | None) -> ReadyHead:
    try:
        head = Head.from_bytes(data, background)
    except HeadError as exc:
        raise ConflictError(f"head {kept.version} cannot be read: {exc}") from exc
    return _ready(kept, head, data, background)


def _ready(kept: HeadRecord, head: Head, data: bytes, background: Background | None) -> ReadyHead:
    return ReadyHead(
        head=head,
        names=tuple(name for _, name in kept.classes),
        keys=tuple(key for key, _ in kept.classes),
        version=kept.version,
        made_of=kept.support_version,
        as_of=kept.version,
        created=kept.created,
        nbytes=_IN_MEMORY * len(data) + _OVERHEAD,
        digest=sha256(data).hexdigest()[:_DIGITS],
        work=len(data) + (_work(background) if head.scorer.needs_background else 0),
    )


def _work(background: Background | None) -> int:
    """Numbers that are multiplied to see a row in the background's metric, drawn towards its anchors."""
    if background is None:
        return 0
    if isinstance(background, JoinedBackground):
        return sum(map(_work, background.parts))
    anchors = 0 if background.anchors is None else background.anchors.size
    return background.dimension**2 + 2 * anchors
