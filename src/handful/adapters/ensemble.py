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

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from handful.adapters.calibration import gain_of_the_last_shot, held_out_sharpness, softmax
from handful.adapters.known_prior import anything_for
from handful.adapters.scorer import Fitted, Scorer, Settings
from handful.adapters.scorers import SCORERS
from handful.adapters.support import Support
from handful.adapters.training import stage
from handful.background import FEWEST_PARTS, MOST_PARTS, Background, JoinedBackground
from handful.errors import EmbeddingError
from handful.rows import FloatArray, IntArray, Rows, apart
from handful.tensors import Arrays

RULE = "parts/1"  # how parts are mixed; a change of meaning is a new version

_START = -0.6  # power of the number of parts that a weight starts at
_PULL_TO_EQUAL, _PULL_TO_START = 20.0, 8.0  # in left-out rows, for weights off by a factor e
_MOST_SCORES = 4_000_000  # of left-out rows that weights are learnt from, by each part
_STEPS = 40
_LARGEST_STEP, _LOG_RANGE = 0.7, (-8.0, 4.0)
_CORRELATION = 0.5  # of how typical a picture is for two parts; 0.1 to 0.8 as measured
_FORMAT = 1  # of the arrays


@dataclass(frozen=True, kw_only=True, eq=False)
class Ensemble:
    """scores = Σ factors_i · scores of part i.    typicality = Σ shares_i · (typicality_i − mean_i) / dev_i.

    widths : (n,) columns of each part.    shares : (n,) how much each part moves the answer, sum 1.
    means, deviations : (n,) typicality to expect of pictures of the classes, by part.
    """

    parts: tuple[Scorer, ...]
    widths: tuple[int, ...]
    factors: FloatArray
    shares: FloatArray
    means: FloatArray
    deviations: FloatArray

    kind: ClassVar[str] = "ensemble"

    @property
    def dimension(self) -> int:
        return sum(self.widths)

    @property
    def class_count(self) -> int:
        return self.parts[0].class_count

    @property
    def key_count(self) -> int | None:
        return self.parts[0].key_count

    @property
    def needs_background(self) -> bool:
        return any(part.needs_background for part in self.parts)

    def scores(self, Q: Rows) -> FloatArray:
        scores = [part.scores(rows) for part, rows in self._apart(Q)]
        return self._mixed(scores)

    def typicality(self, Q: Rows, scores: FloatArray) -> FloatArray:
        return self.judged(Q)[1]  # the parts' scores are not to be had from their sum

    def judged(self, Q: Rows) -> tuple[FloatArray, FloatArray]:
        said = [part.judged(rows) for part, rows in self._apart(Q)]
        return self._mixed([scores for scores, _ in said]), self.typical([own for _, own in said])

    def affinity(self, q: Rows, X: Rows, rows: IntArray) -> FloatArray:
        """Each part's, as shares of what it says of these rows, by how much it moves the answer."""
        total = np.zeros(len(rows))
        own = apart(X[rows], self.widths)
        for share, (part, query), X_part in zip(self.shares, self._apart(q), own, strict=True):
            # Kernel heads look up their own keys, others the rows, of which only these are at hand.
            say = (
                part.affinity(query, X_part, np.arange(len(rows)))
                if part.key_count is None
                else part.affinity(query, X_part, rows)
            )
            if say.sum() > 0:
                total += share * say / say.sum()
        return total

    def compact(self) -> Self:
        return replace(self, parts=tuple(part.compact() for part in self.parts))

    def arrays(self) -> Arrays:
        arrays: Arrays = {
            "widths": np.array(self.widths, np.int64),
            "factors": self.factors,
            "shares": self.shares,
            "means": self.means,
            "deviations": self.deviations,
            "needs": np.array([part.needs_background for part in self.parts], np.uint8),
        }
        for at, part in enumerate(self.parts):
            arrays |= {f"{at}.{part.kind}.{name}": array for name, array in part.arrays().items()}
        return arrays

    def settings(self) -> Settings:
        settings: Settings = {"format": _FORMAT}
        for at, part in enumerate(self.parts):
            settings |= {f"{at}.{name}": value for name, value in part.settings().items()}
        return settings

    @classmethod
    def restore(cls, arrays: Arrays, settings: Mapping[str, float], background: Background | None) -> Self:
        if settings["format"] != _FORMAT:
            raise ValueError(f"parts of format {settings['format']:g}, and this build reads {_FORMAT}")
        widths = widths_of(arrays)
        count = len(widths)
        numbers = [arrays[name].astype(np.float64) for name in ("factors", "shares", "means", "deviations")]
        needs = arrays["needs"]
        if any(array.shape != (count,) for array in (*numbers, needs)):
            raise ValueError(f"{count} parts, and numbers of another count")
        factors, shares, means, deviations = numbers
        if (factors < 0).any() or (shares < 0).any() or (deviations <= 0).any():
            raise ValueError("weights of parts below zero")
        backgrounds: Sequence[Background | None] = [None] * count
        if isinstance(background, JoinedBackground) and background.widths == widths:
            backgrounds = background.parts
        parts = []
        for at, (needed, own) in enumerate(zip(needs, backgrounds, strict=True)):
            if needed and own is None:
                raise ValueError(f"part {at + 1} needs its background")
            parts.append(_restored_part(at, arrays, settings, own if needed else None))
        if any(part.dimension != width for part, width in zip(parts, widths, strict=True)):
            raise ValueError(f"parts of {[part.dimension for part in parts]} columns in place of {widths}")
        if len({(part.class_count, part.key_count) for part in parts}) > 1:
            raise ValueError("its parts have other classes or shots")
        return cls(
            parts=tuple(parts),
            widths=widths,
            factors=factors,
            shares=shares,
            means=means,
            deviations=deviations,
        )

    def typical(self, own: Sequence[FloatArray]) -> FloatArray:
        """(B,) of the parts' own typicalities, (B,) each."""
        z = (np.stack(own) - self.means[:, None]) / self.deviations[:, None]
        return np.asarray(self.shares @ z)

    def _mixed(self, scores: Sequence[FloatArray]) -> FloatArray:
        return np.asarray(sum(factor * own for factor, own in zip(self.factors, scores, strict=True)))

    def _apart(self, Q: Rows) -> list[tuple[Scorer, Rows]]:
        return list(zip(self.parts, apart(Q, self.widths), strict=True))


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
    moves = factors * [_contrast(one, part) for one, part in zip(made, parts, strict=True)]
    shares = moves / moves.sum() if moves.sum() > 0 else np.full(len(parts), 1 / len(parts))
    means, deviations = (np.array(column) for column in zip(*(one.known_prior for one in made), strict=True))
    scorer = Ensemble(
        parts=tuple(one.scorer for one in made),
        widths=tuple(part.dimension for part in parts),
        factors=factors,
        shares=shares,
        means=means,
        deviations=deviations,
    )
    left = [one.held_out for one in made if one.held_out is not None]
    held_out = None
    if len(left) == len(made):
        held_out = replace(
            left[0],
            scores=scorer._mixed([one.scores for one in left]),
            typicality=scorer.typical([one.typicality for one in left]),
        )
    return Fitted(
        scorer=scorer,
        held_out=held_out,
        sharpness=1.0,
        known_prior=(0.0, float(np.sqrt(_CORRELATION + (1 - _CORRELATION) * (shares @ shares)))),
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


def widths_of(arrays: Arrays) -> tuple[int, ...]:
    """Columns of the parts of what `Ensemble.arrays` gave. Raises KeyError or ValueError."""
    widths = arrays["widths"].astype(np.int64)
    if widths.ndim != 1 or not FEWEST_PARTS <= len(widths) <= MOST_PARTS or (widths < 1).any():
        raise ValueError(f"widths of parts {widths.shape} are not those of {FEWEST_PARTS} to {MOST_PARTS}")
    return tuple(int(width) for width in widths)


def _restored_part(
    at: int, arrays: Arrays, settings: Mapping[str, float], background: Background | None
) -> Scorer:
    own: dict[str, NDArray[np.generic]] = {}
    kinds = set()
    for name, array in arrays.items():
        place, _, rest = name.partition(".")
        if place == str(at):
            kind, _, of_part = rest.partition(".")
            kinds.add(kind)
            own[of_part] = array
    if len(kinds) != 1 or not kinds <= SCORERS.keys():
        raise ValueError(f"part {at + 1} is of scorer {', '.join(sorted(kinds)) or 'none'}")
    start = f"{at}."
    told = {name.removeprefix(start): value for name, value in settings.items() if name.startswith(start)}
    return SCORERS[kinds.pop()].restore(own, told, background)


def _sharpness(fitted: Fitted, support: Support) -> float:
    """From a part's scores to its calibrated logits."""
    if fitted.sharpness is not None:
        return fitted.sharpness
    seen = fitted.scorer.scores(support.X) if support.class_count == 2 else None
    return held_out_sharpness(fitted.held_out, support, seen)


def _contrast(fitted: Fitted, support: Support) -> float:
    """How far apart a part holds the classes, for pictures of anything."""
    return float(fitted.scorer.scores(anything_for(support)).std(axis=1).mean())


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
