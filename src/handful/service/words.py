"""What the words of a classifier's classes say: its text prior."""

import asyncio
from collections.abc import Sequence

import numpy as np

from handful.class_texts import Prompts, prompts_of
from handful.encoders import Encoder
from handful.labels import Label
from handful.prompts import text_prior
from handful.rows import Rows
from handful.service.encoding import Encoding
from handful.storage.records import ClassifierRecord, ClassRecord


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


def _own(one: ClassRecord) -> Prompts:
    """Prompts that were given in place of templates, and the description beside them."""
    return (*one.prompts, *([one.description] if one.description else [])) if one.prompts else ()
