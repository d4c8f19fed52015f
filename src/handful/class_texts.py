"""What the words of classes say: from names and descriptions to rows of the text prior."""

from collections.abc import Mapping, Sequence

import numpy as np

from handful.encoders import Encoder
from handful.errors import SupportError
from handful.labels import Label, Labels, native
from handful.prompts import class_prompts, text_prior
from handful.rows import Rows

Descriptions = Mapping[Label, str | Sequence[str]]
Prompts = tuple[str, ...]


def prompts_of(
    classes: Labels,
    *,
    templates: str | Sequence[str],
    domain: str | None,
    descriptions: Descriptions | None,
) -> list[Prompts]:
    """(C,) the prompts of each class, none for a class that no word is known of.

    A number, or a name without a letter, says nothing about pictures: such a class has its descriptions only.
    Raises SupportError for a description of no class, and as `class_prompts` does.
    """
    labels = [native(label) for label in classes]
    given = {native(label): text for label, text in (descriptions or {}).items()}
    if strangers := [label for label in given if label not in labels]:
        raise SupportError(
            f"there is a description of {strangers[0]!r}, which is no class; add it to `classes` to have it "
            "without a picture, or correct the name"
        )
    spoken = [label for label in labels if isinstance(label, str) and any(map(str.isalpha, label))]
    named: dict[Label, Prompts] = {}
    if spoken:
        told = {label: given[label] for label in spoken if label in given}
        made = class_prompts(spoken, templates=templates, domain=domain, descriptions=told)
        named = {label: tuple(own) for label, own in zip(spoken, made, strict=True)}
    return [named[label] if label in named else _sentences(given.get(label, ())) for label in labels]


def class_rows(encoder: Encoder, prompts: Sequence[Prompts], known: dict[Prompts, Rows]) -> Rows | None:
    """(C, D) unit rows, zeros for a class without a prompt; None where no class has one.

    known : rows of prompts made before, (D,) each; those made now are added.
    """
    if fresh := list(dict.fromkeys(own for own in prompts if own and own not in known)):
        known.update(zip(fresh, text_prior(encoder.encode_texts, fresh), strict=True))
    if not any(prompts):
        return None
    nothing = np.zeros(encoder.dimension, np.float32)
    return np.stack([known[own] if own else nothing for own in prompts])


def _sentences(description: str | Sequence[str]) -> Prompts:
    sentences = [description] if isinstance(description, str) else description
    return tuple(sentence for sentence in sentences if sentence.strip())
