"""From scores to probabilities: one temperature, learnt from shots that were left out."""

import numpy as np

from handful.adapters.scorer import HeldOut
from handful.adapters.support import Support
from handful.rows import FloatArray, IntArray

_NEWTON_STEPS = 30
_LOG_RANGE = (-12.0, 12.0)
_ANCHOR = 1.5  # logits
_MARGIN = 10.0  # logits; CLIP ViT-B/32, two classes of one shot: ECE 3 to 5 %, a half or twice of it 10 %
_GAIN = 3.4  # of t, at one shot, for the shot that was left out; it falls with the cube of their number
_MOST_SCORES = 4_000_000  # of left-out rows that t is learnt from; beyond, rows are sampled evenly
_PRIOR_ROWS = 2.0  # left-out rows that the anchor weighs as much as, for an error of a factor e


def softmax(logits: FloatArray) -> FloatArray:
    """Rows of probabilities, (B, C)."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


def log_loss(logits: FloatArray, y: IntArray) -> FloatArray:
    """−log probability of each row's class, (N,)."""
    top = logits.max(axis=1)
    total = np.log(np.exp(logits - top[:, None]).sum(axis=1)) + top
    return np.asarray(total - logits[np.arange(len(y)), y])


def held_out_sharpness(
    held_out: HeldOut | None,
    support: Support,
    seen: FloatArray | None = None,
    guess: float | None = None,
) -> float:
    """The sharpness of softmax(t·scores) that left-out shots ask for, anchored to the spread of scores.

    With n̄ shots to a class, those left out are judged by n̄ − 1, so at few shots the whole head is surer than
    they say: t is multiplied by 1 + 3.4/n̄³ (CLIP ViT-B/32, mean of three data sets: ECE of `prototype` at 2
    shots from 21 to 14 %, at 4 from 5.4 to 4.6 %, at 16 unchanged).

    The anchor makes the scores of wrong classes spread by `_ANCHOR` logits; it is all there is at one shot
    for each class, and it keeps t finite where every left-out shot is classified rightly. Two classes of a
    shot each have no spread; there the margin by which the whole head names its own shots, `seen` (N, C),
    makes `_MARGIN` logits.
    """
    if held_out is None or support.class_count < 2:
        return 1.0
    wrong = np.ones_like(held_out.scores, bool)
    y = held_out.labels(support)
    wrong[np.arange(len(y)), y] = False
    spread = float(held_out.scores[wrong].std())
    if spread > 1e-5 * float(np.abs(held_out.scores).max()):
        anchor = _ANCHOR / spread
    else:
        anchor = _margin_anchor(seen, support)
    rows = np.flatnonzero(held_out.judged)
    if not rows.size:
        return anchor
    most = max(_MOST_SCORES // support.class_count, 1)
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), most)).astype(int))]
    weights = np.ones(len(rows))
    # Classes with a text are judged by it as well, and lose less.
    gain = gain_of_the_last_shot(support.group_counts[~support.has_text])
    t = fit_sharpness(
        held_out.scores[rows],
        y[rows],
        weights,
        start=anchor,
        prior=_PRIOR_ROWS,
        guess=None if guess is None else guess / gain,
    )
    return t * gain


def _margin_anchor(seen: FloatArray | None, support: Support) -> float:
    if seen is None:
        return 1.0
    rivals = seen.copy()
    rows = np.arange(len(support.y))
    rivals[rows, support.y] = -np.inf
    margin = float((seen[rows, support.y] - rivals.max(axis=1)).mean())
    return _MARGIN / margin if margin > 1e-5 * float(np.abs(seen).max()) else 1.0


def gain_of_the_last_shot(groups: IntArray) -> float:
    """1 + 3.4/n̄³, n̄ the mean of `groups`, those of each class, over classes with two or more."""
    several = groups[groups > 1]
    return 1.0 + _GAIN / float(several.mean()) ** 3 if several.size else 1.0


def fit_sharpness(
    scores: FloatArray,
    y: IntArray,
    weights: FloatArray,
    *,
    start: float = 1.0,
    prior: float = 0.0,
    guess: float | None = None,
    offsets: FloatArray | None = None,
) -> float:
    """The factor t > 0 that minimises Σ wᵢ·NLL of softmax(t·scores + offsets) + prior·log²(t/start)/2.

    t is an inverse temperature; `guess` saves steps where it is nearly known. Newton on log t with bounded
    steps; without the prior the loss is convex in t. Source: Guo et al., ICML 2017, §4.2.
    """
    own = scores[np.arange(len(y)), y]
    S = np.ascontiguousarray(scores.T)  # (C, N): sums over the classes of many rows are quicker so
    shift = None if offsets is None else offsets[:, None]
    share = weights / weights.sum()
    pull = prior / float(weights.sum())
    log_t = float(np.log(start if guess is None else guess))
    for _ in range(_NEWTON_STEPS):
        t = np.exp(log_t)
        p = t * S
        if shift is not None:
            p += shift
        p -= p.max(axis=0)
        np.exp(p, out=p)
        p /= p.sum(axis=0)
        weighed = p * S
        mean = weighed.sum(axis=0)
        slope = float(share @ (mean - own))
        curvature = float(share @ ((weighed * S).sum(axis=0) - mean**2))
        gradient = t * slope + pull * (log_t - np.log(start))  # in log t, as is the bend
        bend = t * slope + t * t * curvature + pull
        step = -gradient / bend if bend > 1e-12 else -np.sign(gradient)
        step = float(np.clip(step, -1.0, 1.0))
        log_t = float(np.clip(log_t + step, *_LOG_RANGE))
        if abs(step) < 1e-4:  # the next step would be its square
            break
    return float(np.exp(log_t))
