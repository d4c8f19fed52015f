"""Heads for rows of several encoders side by side: each part by itself, their log-probabilities mixed.

With F_i the calibrated logits of part i, the whole says softmax(Σ a_i F_i): a weighted product of the parts'
answers, whose weights also say how sure they are together. One a_i after the other would make it surer with
each part; as parts see the same picture, they err alike, and a_i = n^−0.6 is where the weights start.

The weights are learnt from left-out shots, in closed form for all parts at once, so nothing of a shot's own
is in what it is asked. At one shot, where none can be left out, all parts move the answer alike and none is
made surer by another: of a part that is much worse than its fellows nothing warns there.

Sources: Hinton, Neural Computation 2002 (products of experts); Zhang et al., CVPR 2023 (CaFo: caches of two
encoders, mixed; theirs by how like the zero-shot answer they are).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from handful.adapters.calibration import gain_of_the_last_shot, held_out_sharpness, softmax
from handful.adapters.ensemble_scorer import Ensemble
from handful.adapters.known_prior import anything_for
from handful.adapters.scorer import Fitted, Settings
from handful.adapters.support import Support
from handful.adapters.training import stage
from handful.background import JoinedBackground
from handful.errors import EmbeddingError
from handful.rows import FloatArray, IntArray, apart

RULE = "parts/1"  # how parts are mixed; a change of meaning is a new version

_START = -0.6  # power of the number of parts that a weight starts at
_PULL_TO_EQUAL, _PULL_TO_START = 20.0, 8.0  # in left-out rows, for weights off by a factor e
_MOST_SCORES = 4_000_000  # of left-out rows that weights are learnt from, by each part
_STEPS = 40
_LARGEST_STEP, _LOG_RANGE = 0.7, (-8.0, 4.0)
_CORRELATION = 0.5  # of how typical a picture is for two parts; 0.1 to 0.8 as measured


def fit(make: Callable[[Support], Fitted], support: Support) -> Fitted:
    """Make the head of each part by a method, and mix them.

    support : with a JoinedBackground. Raises EmbeddingError for a row that says nothing in some part.
    """
    parts = parts_of(support)
    made = []
    for at, part in enumerate(parts):
        with stage(at, len(parts)):
            made.append(make(part))
    sharpness = np.array([_sharpness(one, part) for one, part in zip(made, parts, strict=True)])
    weights = _weights(made, parts, sharpness)
    factors = weights * sharpness
    shares = _shares(factors * [_contrast(one, part) for one, part in zip(made, parts, strict=True)])
    telling = _shares([_telling(one, part) for one, part in zip(made, parts, strict=True)])
    means, deviations = (np.array(column) for column in zip(*(one.known_prior for one in made), strict=True))
    scorer = Ensemble(
        parts=tuple(one.scorer for one in made),
        widths=tuple(part.dimension for part in parts),
        factors=factors,
        shares=shares,
        telling=telling,
        means=means,
        deviations=deviations,
    )
    left = [one.held_out for one in made if one.held_out is not None]
    held_out = None
    if len(left) == len(made):
        held_out = replace(
            left[0],
            scores=scorer.mixed([one.scores for one in left]),
            typicality=scorer.typical([one.typicality for one in left]),
        )
    return Fitted(
        scorer=scorer,
        held_out=held_out,
        sharpness=1.0,
        known_prior=(0.0, float(np.sqrt(_CORRELATION + (1 - _CORRELATION) * (telling @ telling)))),
        found=_found(made, shares),
    )


def _found(made: Sequence[Fitted], shares: FloatArray) -> Settings:
    """By part: how much it moves the answer, and pictures in its background, where that counts."""
    found: Settings = {}
    for at, (one, share) in enumerate(zip(made, shares, strict=True), start=1):
        found[f"part_{at}_share"] = float(share)
        if "background_pictures" in one.found:
            found[f"part_{at}_background_pictures"] = one.found["background_pictures"]
    return found


def parts_of(support: Support) -> list[Support]:
    """The support as each part sees it. Raises EmbeddingError for a row that says nothing in some part."""
    background = support.background
    assert isinstance(background, JoinedBackground)
    X = apart(support.X, background.widths)
    text = [None] * len(X) if support.text is None else apart(support.text, background.widths)
    parts = []
    for at, (rows, own_text, own) in enumerate(zip(X, text, background.parts, strict=True)):
        lacks = np.flatnonzero(~rows.any(axis=1))
        if lacks.size:
            raise EmbeddingError(
                f"row {lacks[0]} of X says nothing in part {at + 1} of {len(X)}: its {rows.shape[1]} columns "
                "are zero"
            )
        if own_text is not None and (own_text.any(axis=1) != support.has_text).any():
            raise EmbeddingError(f"a text says nothing in part {at + 1} of {len(X)}: its columns are zero")
        parts.append(replace(support, X=rows, text=own_text, background=own))
    return parts


def _sharpness(fitted: Fitted, support: Support) -> float:
    """From a part's scores to its calibrated logits."""
    if fitted.sharpness is not None:
        return fitted.sharpness
    seen = fitted.scorer.scores(support.X) if support.class_count == 2 else None
    return held_out_sharpness(fitted.held_out, support, seen)


def _contrast(fitted: Fitted, support: Support) -> float:
    """How far apart a part holds the classes, for left-out shots; without one, for pictures of anything."""
    left = fitted.held_out
    if left is not None and left.judged.any():
        scores = left.scores[left.judged]
    else:
        scores = fitted.scorer.scores(anything_for(support))
    return float(scores.std(axis=1).mean())


def _telling(fitted: Fitted, support: Support) -> float:
    """d′², how far apart left-out shots and pictures of anything typically are; 1 where none is left out."""
    left = np.zeros(0) if fitted.held_out is None else fitted.held_out.typicality
    if not len(left):
        return 1.0
    anything = fitted.scorer.judged(anything_for(support))[1]
    apart_by = max(float(left.mean() - anything.mean()), 0.0)
    return apart_by**2 / max(float(left.var() + anything.var()), 1e-12)


def _shares(values: Sequence[float] | FloatArray) -> FloatArray:
    """(n,) that sum to 1; equal ones where all are zero."""
    found = np.asarray(values, np.float64)
    return found / found.sum() if found.sum() > 0 else np.full(len(found), 1 / len(found))


def _weights(made: Sequence[Fitted], parts: Sequence[Support], sharpness: FloatArray) -> FloatArray:
    """(n,) a_i ≥ 0, of calibrated logits: MAP given left-out shots."""
    count = len(made)
    left = [one.held_out for one in made if one.held_out is not None]
    rows = np.flatnonzero(left[0].judged) if len(left) == count else np.zeros(0, np.int64)
    if not len(rows) or parts[0].class_count < 2:
        contrasts = sharpness * [_contrast(one, part) for one, part in zip(made, parts, strict=True)]
        least = contrasts.min()
        return np.asarray(least / contrasts / count if least > 0 else np.full(count, 1 / count))
    most = max(_MOST_SCORES // parts[0].class_count, 1)
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), most)).astype(int))]
    # The shot that was left out makes each part surer than what left-out shots are judged by.
    gains = [
        gain_of_the_last_shot(part.group_counts[~part.has_text | (one.sharpness is not None)])
        for one, part in zip(made, parts, strict=True)
    ]
    logits = np.stack(
        [t / gain * one.scores[rows] for t, gain, one in zip(sharpness, gains, left, strict=True)]
    )
    return fit_weights(logits, left[0].labels(parts[0])[rows], start=count**_START)


def fit_weights(logits: FloatArray, y: IntArray, *, start: float) -> FloatArray:
    """(n,) a that minimises Σ NLL of softmax(Σ aᵢ·logitsᵢ) + a pull of log a towards log start.

    logits : (n, N, C).    y : (N,). Towards equal weights the pull is the stronger one. Newton on log a with
    bounded steps; without the pull the loss is convex in a.
    """
    count = len(logits)
    common = np.full((count, count), 1 / count)
    pull = _PULL_TO_EQUAL * (np.eye(count) - common) + _PULL_TO_START * common
    own = logits[:, np.arange(len(y)), y]
    beginning = np.full(count, np.log(start))
    log_a = beginning.copy()
    for _ in range(_STEPS):
        a = np.exp(log_a)
        p = softmax(np.tensordot(a, logits, 1))
        means = (p * logits).sum(axis=2)
        slope = a * (means - own).sum(axis=1)
        products = np.array([[(p * one * other).sum() for other in logits] for one in logits])
        curvature = np.outer(a, a) * (products - means @ means.T) + np.diag(np.maximum(slope, 0))
        gradient = slope + pull @ (log_a - beginning)
        step = np.clip(-np.linalg.solve(curvature + pull, gradient), -_LARGEST_STEP, _LARGEST_STEP)
        log_a = np.clip(log_a + step, *_LOG_RANGE)
        if np.abs(step).max() < 1e-5:
            break
    return np.asarray(np.exp(log_a))
