"""`auto`: one rule for all data, from words alone to hundreds of shots, with nothing to choose.

In the whitened space of the encoder's background, each class is a direction from the centre of the classes,
seen in a within-class metric that starts at the background's and learns from the shots; a text counts for as
much as it foretold the shots. All of it is in closed form, from the support alone.

n_c shots of class c, n̄ their mean; u = whitened rows; D columns. Where the background has anchors, shots and
queries alike are first drawn a little towards those that they are near.

1. Centre μ = Σ_c M_c / (C + 3), M_c the class means: three pseudo-classes lie at the background's mean.
2. Within-class matrix V = ν·s·I + S, S = Σ r·rᵀ over residuals r = u − M_y, s the within-class variance
   that the background foretells, half its own, counted as 50 residuals. ν by left-out likelihood.
3. Class rows: posterior means of a two-covariance model (PLDA; Ioffe, ECCV 2006), at unit length.
4. Offsets: MAP of a softmax over left-out cosines, which mends hubs and unequal shots.
5. Temperature from left-out cosines; at one shot from how far the shots spread beyond the background.
6. Text: its weight is its posterior mean given how well it names the shots.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np

from handful.adapters import zero_shot
from handful.adapters.calibration import fit_sharpness, gain_of_the_last_shot, log_loss, softmax
from handful.adapters.class_rows import ClassRows
from handful.adapters.frozen import FrozenAuto, single, text_common
from handful.adapters.held_out import level_lone_rows
from handful.adapters.leave_out import leave_out, sampled
from handful.adapters.scorer import Fitted, HeldOut, Settings
from handful.adapters.support import Support
from handful.adapters.text_evidence import TextEvidence
from handful.adapters.whitened import Whitened
from handful.rows import BoolArray, FloatArray, IntArray, unit

_ROUNDING = 1e-9  # of squares
_PULL = 0.1  # towards the background's anchors
_PSEUDO_CLASSES = 3.0  # at the background's mean
_PSEUDO_WITHOUT = 0.1  # at the origin, where there is no background: only so that one class has a direction
_PRIOR_CLASSES = 100.0  # that the guess of how class means spread counts as
_STRENGTHS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)  # of the prior, ν / D
_ROWS_FOR_STRENGTH = 64, 640  # left-out rows: from how many on ν is learnt, and how many are used
_STRENGTH_OF_FEW = 2.0  # where there are fewer
_ENOUGH = 8  # left-out rows from which the temperature is learnt
_MOST_LEFT_OUT = 20_000_000  # entries of the N×C matrix of left-out scores; beyond, a sample of rows
_START = 14.0  # sharpness of cosines to start from
_SHARPNESS_PER_SPREAD = 7.5  # at one shot: of cosines, for each part of the background's spread
_SPREAD_UNKNOWN = 1.4  # the shots' spread over the background's, where there is no background
# Cosine of a picture to the best of C classes of one shot each, by log₂ C and the spread; deviation.
_KNOWN_COSINE, _KNOWN_PER_DOUBLING, _KNOWN_PER_SPREAD, _KNOWN_DEVIATION = 0.064, 0.04, 0.06, 0.13


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoOptions:
    """`auto` has nothing to choose."""


@dataclass(frozen=True, eq=False)
class _Within:
    """The within-class metric: eigenvectors E (D, r) and values e (r,) of S, prior variance s.

    Shots and class means, as seen from the centre, lie in these r directions; across them S is zero.
    """

    E: FloatArray
    e: FloatArray
    s: float
    freedom: float  # residual degrees of freedom

    @property
    def dimension(self) -> int:
        """D."""
        return len(self.E)

    def roots(self, strength: float) -> FloatArray:
        """(r,) V^−½ on the eigenvectors, ν = strength·D."""
        return np.asarray(1 / np.sqrt(strength * self.dimension * self.s + self.e))

    def trace(self, strength: float) -> float:
        """tr V⁻¹, of all D directions."""
        across = (self.dimension - len(self.e)) / (strength * self.dimension * self.s)
        return float((self.roots(strength) ** 2).sum()) + across


def fit(support: Support, options: AutoOptions) -> Fitted:
    """Make the head; see the module. Raises SupportError where a class has neither shot nor text."""
    if len(support.X) == 0:
        return zero_shot.fit(support, zero_shot.ZeroShotOptions())
    space = Whitened.of(support)
    background, X, pull = support.background, support.X, 0.0
    if background is not None and background.anchors is not None:
        pull = _PULL
        X = background.drawn(X, pull)
    x = X.astype(np.float64) - space.mean
    u = space.directions(x)
    text = TextEvidence.of(support, space)
    shown = support.counts > 0
    pseudo = _PSEUDO_WITHOUT if space.background is None else _PSEUDO_CLASSES
    means = support.class_means(u)
    shares = 1 / (support.counts[support.y] * (shown.sum() + pseudo))  # of each row in the centre
    centre = shares @ u
    length = float(np.linalg.norm(u - centre, axis=1).mean()) or 1.0
    # A class without a shot is as far from the centre as a shot, in the direction of its text.
    means[~shown] = centre + length * text.directions[~shown]

    within = _within(u - means[support.y], means - centre, space, support)
    z, seen = (u - centre) @ within.E, (means - centre) @ within.E
    strength = _strength(z, seen, within, support, pseudo)
    roots = within.roots(strength)
    chosen = sampled(support, max(_MOST_LEFT_OUT // support.class_count, 1))
    left = leave_out(z * roots, seen * roots, support, chosen, pseudo)
    cosines = left.cosines()
    whole = len(chosen) == len(support.y)
    part = support if whole else support.part(chosen)
    level_lone_rows(cosines, part)
    judged = part.company

    spread = _SPREAD_UNKNOWN if space.background is None else _spread(length, space, int(shown.sum()))
    weights = (len(support.y) / shown.sum()) / support.counts[part.y]
    foretold = _SHARPNESS_PER_SPREAD * spread
    learns = int(judged.sum()) >= _ENOUGH
    sharpness = _sharpness(cosines, part.y, weights, judged, None) if learns else foretold
    # A sample says too little of each class for an offset.
    offsets = np.zeros(len(shown))
    if whole:
        offsets = _offsets(sharpness * cosines, part.y, weights, shown)
    found: Settings = {"prior_strength": strength, "spread": spread}
    final = sharpness
    if learns:
        learnt = _sharpness(cosines, part.y, weights, judged, offsets)
        final = learnt * gain_of_the_last_shot(support.group_counts)
        offsets = offsets * (final / sharpness)

    size = float(np.sqrt(strength * within.dimension + within.freedom))
    scale = roots * size
    guess = roots**2 * (within.dimension / within.trace(strength))
    rows, axes, between = _class_rows(seen * scale, guess, within.dimension, support)
    reach = float(np.sqrt(left.rows).mean()) * size
    functionals = final * ((rows * scale) @ within.E.T) / reach
    logits = final * cosines + offsets
    text_cosines = text.cosines(u[chosen] - centre)
    text_weight = text.weight(np.where(judged[:, None], logits, 0.0), text_cosines, part.y, weights)
    functionals += text_weight / length * text.directions
    seen_by_background = 0 if background is None else background.count  # 0: the shots alone
    found |= {
        "sharpness": final,
        "text_weight": text_weight,
        "background_pictures": float(seen_by_background),
    }
    scorer = ClassRows(
        rows=space.functionals(functionals).astype(np.float32),
        offsets=offsets,
        centre=space.mean + shares @ x,
        background=background,
        pull=pull,
    )
    scores = logits + text_weight * text_cosines
    likeness = (final * cosines + text_weight * text_cosines).max(axis=1) / length
    usual = _KNOWN_COSINE + _KNOWN_PER_DOUBLING * np.log2(shown.sum()) + _KNOWN_PER_SPREAD * spread
    return Fitted(
        scorer=scorer,
        known_prior=(float(usual) * final / length, _KNOWN_DEVIATION * final / length),
        held_out=HeldOut(scores=scores, typicality=likeness[judged], judged=judged, rows=chosen),
        sharpness=1.0,
        found=found,
        freeze=partial(
            _frozen,
            support,
            space,
            origin=scorer.centre,
            centre=centre,
            axes=(within.E, scale, axes),
            between=between,
            numbers=(final / reach, text_weight / length, length),
        ),
    )


def _frozen(
    support: Support,
    space: Whitened,
    *,
    origin: FloatArray,
    centre: FloatArray,
    axes: tuple[FloatArray, FloatArray, FloatArray],
    between: FloatArray,
    numbers: tuple[float, float, float],
) -> FrozenAuto:
    E, scale, turned = axes
    return FrozenAuto(
        origin=single(origin),
        centre=single(centre),
        axes=single((E * scale) @ turned),
        between=single(between),
        numbers=np.array(numbers, np.float32),
        common=text_common(support.text, space.mean),
    )


def _spread(length: float, space: Whitened, classes: int) -> float:
    """The shots' mean squared distance from their centre over that of pictures of anything.

    The centre is drawn to the shots it is made of, the more the fewer classes there are; that is made up for.
    """
    share = 1 / (classes + _PSEUDO_CLASSES)
    return length**2 / space.spread / (1 - 2 * share + classes * share**2)


def _within(residuals: FloatArray, seen: FloatArray, space: Whitened, support: Support) -> _Within:
    e, E = _spectrum(residuals, seen)
    s = space.within_variance(float(e.sum()), support.freedom)
    return _Within(E, np.maximum(e, 0), s, float(support.freedom))


def _spectrum(residuals: FloatArray, seen: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Eigenvalues (r,) and eigenvectors (D, r) of RᵀR, with those of zero that the means `seen` need.

    r = D where there are rows for it; of few rows only small matrices are decomposed.
    """
    if len(residuals) + len(seen) >= residuals.shape[1]:
        e, E = np.linalg.eigh(residuals.T @ residuals)
        return np.asarray(e), np.asarray(E)
    e, E = _directions(residuals, np.square(residuals).sum())
    zero, F = _directions(seen - (seen @ E) @ E.T, np.square(seen).sum())
    return np.concatenate([e, np.zeros(len(zero))]), np.concatenate([E, F], axis=1)


def _directions(rows: FloatArray, size: float) -> tuple[FloatArray, FloatArray]:
    """Eigenvalues (r,) of RᵀR that are more than rounding beside `size`, and their eigenvectors (D, r)."""
    e, V = np.linalg.eigh(rows @ rows.T)
    whole = e > _ROUNDING * size
    return e[whole], rows.T @ (V[:, whole] / np.sqrt(e[whole]))


def _strength(z: FloatArray, seen: FloatArray, within: _Within, support: Support, pseudo: float) -> float:
    """ν / D by left-out log likelihood: a climb from 1, with a price for leaving it."""
    often = support.group_counts[support.group_counts > 1]
    fewest, most = _ROWS_FOR_STRENGTH
    rows = sampled(support, most)
    rows = rows[support.company[rows]]
    if len(rows) < fewest:
        return _STRENGTH_OF_FEW
    y = support.y[rows]
    weights = 1 / support.counts[y]
    costs: dict[int, float] = {}

    def cost(step: int) -> float:
        if step not in costs:
            roots = within.roots(_STRENGTHS[step])
            cosines = leave_out(z * roots, seen * roots, support, rows, pseudo).cosines()
            losses = log_loss(fit_sharpness(cosines, y, weights, start=_START) * cosines, y)
            price = abs(np.log2(_STRENGTHS[step])) / len(rows)
            costs[step] = float(weights @ losses / weights.sum() + price)
        return costs[step]

    here = _STRENGTHS.index(1.0)
    while True:
        best = min((s for s in (here - 1, here, here + 1) if 0 <= s < len(_STRENGTHS)), key=cost)
        if best == here:
            # All shots know a little more than all but one.
            return _STRENGTHS[here] * (1 - 1 / float(often.mean()))
        here = best


def _class_rows(
    seen: FloatArray, guess: FloatArray, dimension: int, support: Support
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(C, r) unit rows: class means shrunk along each axis by what is noise there; step 3.

    With the axes (r, r), and the variance of class means along them (r,), in units of a shot's noise.

    guess : (r,) how the variance of class means is taken to lie along the axes; 1 in the mean of all D.
    """
    shown = support.counts > 0
    Z, n = seen[shown], support.counts[shown].astype(np.float64)
    noise = float((1 / n).mean())
    signal = max(float((Z**2).sum(axis=1).mean()) / dimension - noise, 0.05)
    total = Z.T @ Z
    total[np.diag_indices_from(total)] += _PRIOR_CLASSES * (signal * guess + noise)
    total /= len(Z) + _PRIOR_CLASSES
    values, Q = np.linalg.eigh(total)
    between = np.maximum(values - noise, 1e-3)
    gain = n[:, None] * between / (1 + n[:, None] * between)
    rows = seen.copy()
    rows[shown] = ((Z @ Q) * gain) @ Q.T
    return np.asarray(unit(rows)), Q, between


def _sharpness(
    cosines: FloatArray, y: IntArray, weights: FloatArray, judged: BoolArray, offsets: FloatArray | None
) -> float:
    rows = np.flatnonzero(judged)
    return fit_sharpness(cosines[rows], y[rows], weights[rows], start=_START, prior=1.0, offsets=offsets)


def _offsets(logits: FloatArray, y: IntArray, weights: FloatArray, shown: BoolArray) -> FloatArray:
    """(C,) MAP of softmax(logits + b), Gaussian prior; four diagonal Newton steps; step 4."""
    precision = 1 + 10 / float(shown.sum())
    b = np.zeros(logits.shape[1])
    wanted = np.bincount(y, weights=weights, minlength=len(b))
    for _ in range(4):
        p = softmax(logits + b)
        slope = wanted - weights @ p - precision * b
        b = b + slope / (weights @ (p * (1 - p)) + precision)
        b[~shown] = 0.0
    return np.asarray(np.where(shown, b - b[shown].mean(), 0.0))
