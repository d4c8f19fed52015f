"""How good answers are: the measures, and how sure one may be of each."""

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, isnan, pi, sin, sqrt, tan
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from handful.rows import FloatArray, IntArray

BINS = 15  # of the expected calibration error, as usual since Guo et al., ICML 2017
_RESAMPLES = 1000
_LEAST_PROBABILITY = 1e-12  # a wrong answer given with certainty costs at most 27.6 nats


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95 % interval; NaN where it cannot be told.

    >>> f"{Estimate(0.912, 0.901, 0.923):.1%}"
    '91.2% [90.1%, 92.3%]'
    """

    value: float
    low: float
    high: float

    def __format__(self, spec: str) -> str:
        """The three numbers, each formatted by `spec`."""
        if isnan(self.value):
            return "–"
        if isnan(self.low):
            return format(self.value, spec)
        return f"{self.value:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"

    def as_dict(self) -> dict[str, float | None]:
        """For JSON; None for NaN."""
        parts = {"value": self.value, "low": self.low, "high": self.high}
        return {name: None if isnan(part) else part for name, part in parts.items()}


def accuracy(y: IntArray, answers: IntArray) -> float:
    """Share of right answers (top-1); NaN without any."""
    return float(np.mean(y == answers)) if len(y) else np.nan


def macro_f1(y: IntArray, answers: IntArray) -> float:
    """Mean over classes of the harmonic mean of precision and recall; NaN without any answer.

    Classes that are neither asked for nor answered do not count.
    """
    if not len(y):
        return np.nan
    matrix = confusion(y, answers, int(max(y.max(), answers.max())) + 1)
    asked, answered, right = matrix.sum(axis=1), matrix.sum(axis=0), np.diag(matrix)
    seen = asked + answered > 0
    return float(np.mean(2 * right[seen] / (asked + answered)[seen]))


def confusion(y: IntArray, answers: IntArray, class_count: int) -> IntArray:
    """(C, C) counts: row is the truth, column the answer."""
    matrix = np.zeros((class_count, class_count), np.int64)
    np.add.at(matrix, (y, answers), 1)
    return matrix


def expected_calibration_error(y: IntArray, probabilities: FloatArray) -> float:
    """Σ_b |bin b|/N · |accuracy − mean confidence| over 15 equal bins of the answer's probability.

    y : (N,).    probabilities : (N, C).    Source: Naeini et al., AAAI 2015; Guo et al., ICML 2017, eq. 3.
    """
    if not len(y):
        return np.nan
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == y
    bins = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    gaps = np.bincount(bins, weights=right - confidence, minlength=BINS)
    return float(np.abs(gaps).sum() / len(y))


def negative_log_likelihood(y: IntArray, probabilities: FloatArray) -> float:
    """Mean of −ln probability of the truth, in nats."""
    if not len(y):
        return np.nan
    truth = probabilities[np.arange(len(y)), y]
    return float(-np.log(np.maximum(truth, _LEAST_PROBABILITY)).mean())


def auroc(known: FloatArray, foreign: FloatArray) -> float:
    """How often a picture of the classes scores above a foreign one, ties counting half.

    known, foreign : "belongs to the classes" of pictures that do, and of pictures that do not.
    """
    if not (len(known) and len(foreign)):
        return np.nan
    ordered = np.sort(foreign)
    below = np.searchsorted(ordered, known, side="left")
    at_most = np.searchsorted(ordered, known, side="right")
    return float((below + at_most).sum() / (2 * len(known) * len(foreign)))


def fpr95(known: FloatArray, foreign: FloatArray) -> float:
    """Share of foreign pictures let through by the threshold that lets 95 % of the known ones through."""
    if not (len(known) and len(foreign)):
        return np.nan
    kept = int(np.ceil(0.95 * len(known) - 1e-9))
    return float(np.mean(foreign >= np.sort(known)[len(known) - kept]))


def over_seeds(values: ArrayLike) -> Estimate:
    """Mean of one value for each seed, with Student's interval; NaN values are left out.

    It covers how the figure varies with the draw of shots, for pictures such as these.
    """
    kept = np.asarray(values, np.float64)
    kept = kept[~np.isnan(kept)]
    if not len(kept):
        return Estimate(np.nan, np.nan, np.nan)
    mean = float(kept.mean())
    if len(kept) == 1:
        return Estimate(mean, np.nan, np.nan)
    half = student_t(len(kept) - 1) * float(kept.std(ddof=1)) / sqrt(len(kept))
    return Estimate(mean, mean - half, mean + half)


def paired_difference(ours: ArrayLike, theirs: ArrayLike) -> Estimate:
    """Mean of `ours` − `theirs`, seed by seed, with Student's interval."""
    return over_seeds(np.asarray(ours, np.float64) - np.asarray(theirs, np.float64))


def share(hits: NDArray[np.bool_]) -> Estimate:
    """Share of True, with Wilson's score interval, which stays honest where all or none are."""
    count = len(hits)
    if not count:
        return Estimate(np.nan, np.nan, np.nan)
    z = NormalDist().inv_cdf(0.975)
    p = float(np.mean(hits))
    centre = (p + z * z / (2 * count)) / (1 + z * z / count)
    half = z * sqrt(p * (1 - p) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    return Estimate(p, max(centre - half, 0.0), min(centre + half, 1.0))


def paired_shares(ours: NDArray[np.bool_], theirs: NDArray[np.bool_], *, certainty: float = 0.95) -> Estimate:
    """Share of True in `ours` less that in `theirs`, pair by pair, with an exact interval.

    Of the d of n pairs that differ, w are ours; w/d has the interval of Clopper & Pearson (Biometrika 1934),
    and the difference (2w/d − 1)·d/n goes with it: its lower end is above 0 just where McNemar's exact test
    says so. Where none differ, up to 1 − (α/2)^(1/n) of such pairs might.

    >>> f"{paired_shares(np.ones(8, bool), np.zeros(8, bool)):.2f}"
    '1.00 [0.26, 1.00]'
    """
    count, tail = len(ours), (1 - certainty) / 2
    if not count:
        return Estimate(np.nan, np.nan, np.nan)
    differ = ours != theirs
    wins, among = int((ours & differ).sum()), int(differ.sum())
    if not among:
        rest = 1 - tail ** (1 / count)
        return Estimate(0.0, -rest, rest)
    scale = among / count
    ends = (_least(wins, among, tail), 1 - _least(among - wins, among, tail))
    low, high = ((2 * end - 1) * scale for end in ends)
    return Estimate((2 * wins - among) / count, low, high)


def _least(hits: int, count: int, tail: float) -> float:
    """The p of a binomial under which `hits` or more of `count` come with probability `tail`."""
    if not hits:
        return 0.0
    k = np.arange(hits, count + 1)
    facts = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, count + 1)))])
    ways = facts[count] - facts[k] - facts[count - k]
    low, high = 0.0, 1.0
    for _ in range(60):
        p = (low + high) / 2
        at_least = float(np.exp(ways + k * np.log(p) + (count - k) * np.log1p(-p)).sum())
        low, high = (p, high) if at_least < tail else (low, p)
    return low


def bootstrap(statistic: Callable[[IntArray], float], count: int, *, seed: int = 0) -> Estimate:
    """A statistic of a set of pictures, with the interval of 1,000 draws of as many pictures, with
    replacement.

    statistic : takes positions (count,) in 0..count−1.    Source: Efron, Annals of Statistics 1979.
    """
    value = statistic(np.arange(count))
    if count < 2 or isnan(value):
        return Estimate(value, np.nan, np.nan)
    rng = np.random.default_rng(seed)
    draws = [statistic(rng.integers(0, count, count)) for _ in range(_RESAMPLES)]
    low, high = np.nanquantile(draws, [0.025, 0.975])
    return Estimate(value, float(low), float(high))


def bootstrap_pair(
    statistic: Callable[[FloatArray, FloatArray], float], one: FloatArray, other: FloatArray, *, seed: int = 0
) -> Estimate:
    """`bootstrap` of a statistic of two samples, each drawn anew."""
    rng = np.random.default_rng(seed)
    value = statistic(one, other)
    draws = [statistic(rng.choice(one, len(one)), rng.choice(other, len(other))) for _ in range(_RESAMPLES)]
    low, high = np.quantile(draws, [0.025, 0.975])
    return Estimate(value, float(low), float(high))


def student_t(freedom: int) -> float:
    """The t that a Student variable stays within, either side, 95 % of the time.

    By bisection of its exact distribution (Abramowitz & Stegun, 26.7.3 and 26.7.4).

    >>> round(student_t(4), 3)
    2.776
    """
    low, high = 0.0, pi / 2
    for _ in range(60):
        angle = (low + high) / 2
        low, high = (angle, high) if _within(angle, freedom) < 0.95 else (low, angle)
    return sqrt(freedom) * tan(low)


def _within(angle: float, freedom: int) -> float:
    """P(|T| < √freedom · tan angle)."""
    if freedom == 1:
        return 2 * angle / pi
    odd = freedom % 2
    power = cos(angle) if odd else 1.0
    total, term = power, power
    for step in range(2 + odd, freedom - 1, 2):
        term *= (step - 1) / step * cos(angle) ** 2
        total += term
    return 2 / pi * (angle + sin(angle) * total) if odd else sin(angle) * total
