"""What a classifier has learnt: classes and shots, and the head made of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from handful.adapters.head import Head, fit_head
from handful.adapters.methods import method_named
from handful.background import Background
from handful.encoders import Encoder
from handful.errors import SupportError
from handful.labels import Labels, native
from handful.rows import IntArray, Rows
from handful.shots import Shots

Step = Callable[[Head], Head]


@dataclass(frozen=True, slots=True)
class EncoderKey:
    """Which encoder made rows: equal fingerprints may be mixed."""

    name: str
    fingerprint: str

    @classmethod
    def of(cls, encoder: Encoder) -> Self:
        """The key of an encoder."""
        return cls(encoder.name, encoder.fingerprint)

    def __str__(self) -> str:
        return f"{self.name!r} (fingerprint {self.fingerprint})"


@dataclass(frozen=True, kw_only=True, eq=False)
class Learnt:
    """Immutable: learning more makes a new one.

    classes : (C,) sorted.    named : those of them that stay without a shot.
    encoder : None for rows of unknown origin.
    text : (C, D) the text prior; None where there is none, and in what was read from a file.
    """

    classes: Labels
    named: Labels
    shots: Shots
    head: Head
    encoder: EncoderKey | None
    background: Background | None
    text: Rows | None

    @classmethod
    def from_shots(
        cls,
        shots: Shots,
        *,
        classes: Labels,
        named: Labels,
        method: str,
        options: Any,  # Any: each method has its own class of options
        encoder: Encoder | None,
        text: Rows | None,
        before: Self | None = None,
        step: Step | None = None,
    ) -> Self:
        """Make the head of a support set.

        before, step : what was known with one shot more or less, and how its head becomes the new one; taken
            where nothing else differs, else the head is made afresh.
        Raises SupportError for a class with neither shot nor text.
        """
        if not len(classes):
            raise SupportError(
                "there is nothing to learn from; give pictures with their labels, or names as `classes`"
            )
        background = None if encoder is None else encoder.background
        y = np.searchsorted(classes, np.asarray([shot.label for shot in shots.table], classes.dtype))
        _check_none_bare(classes, y, text)
        if (
            before is not None
            and step is not None
            and _is(before.head, method, options)
            and np.array_equal(before.classes, classes)
            and _equal(before.text, text)
            and before.background is background
        ):
            head = step(before.head)
        else:
            of_row = shots.shot_of_row
            head = fit_head(
                method,
                shots.X,
                y[of_row],
                class_count=len(classes),
                text=text,
                groups=[shots.table[at].group for at in of_row],
                background=background,
                shot_ids=[shots.table[at].id for at in of_row],
                options=options,
            )
        return cls(
            classes=classes,
            named=named,
            shots=shots,
            head=head,
            encoder=None if encoder is None else EncoderKey.of(encoder),
            background=background,
            text=text,
        )


def _is(head: Head, method: str, options: Any) -> bool:
    """Whether a head can be changed in steps, and is what this method with these options makes."""
    wanted = method_named(method).options() if options is None else options
    return head.support is not None and (head.method, head.options) == (method, wanted)


def _equal(text: Rows | None, other: Rows | None) -> bool:
    return text is other if text is None or other is None else np.array_equal(text, other)


def _check_none_bare(classes: Labels, y: IntArray, text: Rows | None) -> None:
    bare = np.bincount(y, minlength=len(classes)) == 0
    if text is not None:
        bare &= ~text.any(axis=1)
    if bare.any():
        first = native(classes[bare][0])
        raise SupportError(
            f"class {first!r} has no shot and no text ({bare.sum()} of {len(classes)} classes are so); "
            "add a shot or a description"
        )
