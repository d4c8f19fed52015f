"""What each part of an ensemble is worth: by itself, beside the whole, and what it costs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handful.adapters.ensemble_scorer import Ensemble
from handful.adapters.head import Head
from handful.background import JoinedBackground
from handful.encoders.base import Encoder, leaves
from handful.encoders.cost import Cost
from handful.evaluation.curve import Teach
from handful.evaluation.held_out import HeldOut, hold_out
from handful.evaluation.metrics import Estimate, paired_shares, share
from handful.rows import IntArray, Rows, apart


@dataclass(frozen=True, slots=True, kw_only=True)
class PartFound:
    """share : how much it moves the answer; all parts', 1.    accuracy : by itself.
    gain : of the whole over it, picture by picture, with its interval.    milliseconds : a picture, or None.
    """

    name: str
    share: float
    accuracy: Estimate
    gain: Estimate
    milliseconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PartsFound:
    """An ensemble and its parts, asked the same pictures.    milliseconds : a picture, of the whole."""

    accuracy: Estimate
    milliseconds: float | None
    parts: tuple[PartFound, ...]

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            "accuracy": self.accuracy.as_dict(),
            "milliseconds": self.milliseconds,
            "parts": [
                {
                    "name": part.name,
                    "share": part.share,
                    "accuracy": part.accuracy.as_dict(),
                    "gain": part.gain.as_dict(),
                    "milliseconds": part.milliseconds,
                }
                for part in self.parts
            ],
        }


def parts_found(
    head: Head,
    whole: NDArray[np.bool_],
    parts: Sequence[NDArray[np.bool_]],
    *,
    encoder: Encoder | None,
    cost: Cost | None,
) -> PartsFound:
    """head : the ensemble's.    whole, parts : (M,) whether each picture was answered rightly.
    encoder : that names the parts.    cost : of encoding, where it was measured.
    """
    assert isinstance(head.scorer, Ensemble)
    names = [f"part {at + 1}" for at in range(len(parts))]
    if encoder is not None and len(leaves(encoder)) == len(parts):
        names = [part.name for part in leaves(encoder)]
    return PartsFound(
        accuracy=share(whole),
        milliseconds=None if cost is None else cost.whole,
        parts=tuple(
            PartFound(
                name=name,
                share=float(weight),
                accuracy=share(own),
                gain=paired_shares(whole, own),
                milliseconds=None if cost is None else cost.parts[at],
            )
            for at, (name, weight, own) in enumerate(zip(names, head.scorer.shares, parts, strict=True))
        ),
    )


def parts_held_out(
    X: Rows,
    y: IntArray,
    whole: HeldOut,
    teach: Callable[[int], Teach],
    background: JoinedBackground,
    *,
    groups: Sequence[object] | None,
    from_words: bool,
) -> tuple[NDArray[np.bool_], list[NDArray[np.bool_]]]:
    """Which pictures that could be left out the whole, and each part alone, answered rightly.

    X (N, D), y (N,), groups, from_words : as `hold_out` was given them for the whole.
    teach : of part i, from its rows, episodes of the same pictures.
    """
    rows = whole.judged
    right = []
    for at, own in enumerate(apart(X, background.widths)):
        alone = hold_out(
            own, y, teach(at), class_count=whole.class_count, groups=groups, from_words=from_words
        )
        right.append(alone.answers[rows] == whole.y[rows])
    return whole.answers[rows] == whole.y[rows], right
