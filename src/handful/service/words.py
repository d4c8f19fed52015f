"""What the words of a classifier's classes say: its text prior."""

import asyncio
from collections.abc import Collection, Sequence

import numpy as np

from handful.class_texts import Prompts, prompts_of
from handful.encoders import Encoder
from handful.labels import Label
from handful.prompts import text_prior
from handful.rows import Rows
from handful.service.classes import NewClass, merged_classes
from handful.service.encoding import Encoding
from handful.service.names import checked_name
from handful.storage.records import ClassifierRecord, ClassRecord
from handful.storage.store import Store


def class_prompts(record: ClassifierRecord, classes: Sequence[ClassRecord]) -> list[Prompts]:
    """(C,) the prompts of each class; none where its words say nothing, or shall not count."""
    if not record.use_text:
        return [()] * len(classes)
    described: dict[Label, str] = {
        one.name: one.description for one in classes if one.description is not None
    }
    told = prompts_of(
        np.asarray([one.name for one in classes]),
        templates=record.templates,
        domain=record.domain,
        descriptions=described,
    )
    return [_own(one) or made for one, made in zip(classes, told, strict=True)]


async def text_rows(
    encoding: Encoding, tenant: str, encoder: Encoder, prompts: Sequence[Prompts]
) -> Rows | None:
    """(C, D) unit rows, zeros for a class without a prompt; None where no class has one."""
    spoken = [own for own in prompts if own]
    if not spoken:
        return None
    texts = list(dict.fromkeys(prompt for own in spoken for prompt in own))
    known = dict(zip(texts, await encoding.texts(tenant, encoder, texts), strict=True))

    def rows() -> Rows:
        X = np.zeros((len(prompts), encoder.dimension), np.float32)
        X[[bool(own) for own in prompts]] = text_prior(
            lambda asked: np.stack([known[text] for text in asked]), spoken
        )
        return X

    return await asyncio.to_thread(rows)  # thousands of classes take their time


class ReadAhead:
    """Words of classes are read while pictures are taught to them: the next answer wants them.

    Of some classes at a time: when more come meanwhile, theirs are read when they are wanted.
    """

    def __init__(self, store: Store, encoding: Encoding) -> None:
        self._store = store
        self._encoding = encoding
        self._task: asyncio.Task[None] | None = None

    def begin(self, record: ClassifierRecord, encoder: Encoder, labels: Collection[str]) -> None:
        """Nobody waits for it. What fails here fails again, and is told, where the words are wanted."""
        if not record.use_text or not self._encoding.remembers:
            return
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._read(record, encoder, labels), name="handful-read-ahead")
            self._task.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def close(self) -> None:
        """Stop reading."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _read(self, record: ClassifierRecord, encoder: Encoder, labels: Collection[str]) -> None:
        names = {checked_name(label, what="class", pointer=None) for label in labels}
        known = await self._store.classes_named(record.tenant, record.id, list(names))
        new = merged_classes(
            [NewClass(name=name) for name in names if name not in known], {}, record.next_class
        )
        prompts = await asyncio.to_thread(class_prompts, record, [*known.values(), *new])
        texts = list(dict.fromkeys(prompt for own in prompts for prompt in own))
        await self._encoding.texts(record.tenant, encoder, texts)


def _own(one: ClassRecord) -> Prompts:
    """Prompts that were given in place of templates, and the description beside them."""
    return (*one.prompts, *([one.description] if one.description else [])) if one.prompts else ()
