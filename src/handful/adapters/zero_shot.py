"""`zero-shot`: classes by their texts alone."""

from dataclasses import dataclass

import numpy as np

from handful.adapters.class_rows import ClassRows
from handful.adapters.known_prior import typicality_without_shots
from handful.adapters.scorer import Fitted, HeldOut
from handful.adapters.support import Support
from handful.errors import SupportError

_LOGIT_SCALE = 100.0  # CLIP's, where no background names the encoder's own


@dataclass(frozen=True, slots=True, kw_only=True)
class ZeroShotOptions:
    """`zero-shot` has nothing to choose."""


def fit(support: Support, options: ZeroShotOptions) -> Fitted:
    """scores = s·cos(q, text), s the encoder's logit scale.

    Shots are not used for the scores; those there are calibrate the probabilities and `known`.
    Source: Radford et al., ICML 2021 (CLIP), §3.1.2.
    """
    if support.text is None or not support.has_text.all():
        missing = 0 if support.text is None else int(np.flatnonzero(~support.has_text)[0])
        raise SupportError(f"zero-shot needs a text for each class, and class {missing} has none; add one")
    scale = _LOGIT_SCALE if support.background is None else support.background.logit_scale
    scorer = ClassRows(
        rows=(scale * support.text).astype(np.float32),
        offsets=np.zeros(support.class_count),
        centre=np.zeros(support.dimension),
    )
    held_out = None
    if len(support.X):
        scores = scorer.scores(support.X)
        held_out = HeldOut(
            scores=scores,
            typicality=scorer.typicality(support.X, scores),
            judged=np.ones(len(support.X), bool),
        )
    return Fitted(
        scorer=scorer,
        held_out=held_out,
        sharpness=1.0 if held_out is None else None,
        known_prior=typicality_without_shots(scorer, support),
    )
