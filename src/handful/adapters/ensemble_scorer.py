"""What a head of rows of several encoders computes with: the scorers of its parts, weighed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from handful.adapters.scorer import Scorer, Settings
from handful.adapters.scorers import SCORERS
from handful.background import FEWEST_PARTS, MOST_PARTS, Background, JoinedBackground
from handful.rows import FloatArray, IntArray, Rows, apart
from handful.tensors import Arrays

_FORMAT = 1  # of the arrays


@dataclass(frozen=True, kw_only=True, eq=False)
class Ensemble:
    """scores = Σ factors_i · scores of part i.    typicality = Σ telling_i · (typicality_i − mean_i) / dev_i.

    widths : (n,) columns of each part.    shares : (n,) how much each part moves the answer, sum 1.
    telling : (n,) how well each part tells pictures of the classes from pictures of anything, sum 1.
    means, deviations : (n,) typicality to expect of pictures of the classes, by part.
    """

    parts: tuple[Scorer, ...]
    widths: tuple[int, ...]
    factors: FloatArray
    shares: FloatArray
    telling: FloatArray
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
        return self.mixed(scores)

    def typicality(self, Q: Rows, scores: FloatArray) -> FloatArray:
        return self.judged(Q)[1]  # the parts' scores are not to be had from their sum

    def judged(self, Q: Rows) -> tuple[FloatArray, FloatArray]:
        said = [part.judged(rows) for part, rows in self._apart(Q)]
        return self.mixed([scores for scores, _ in said]), self.typical([own for _, own in said])

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
            "telling": self.telling,
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
        names = ("factors", "shares", "telling", "means", "deviations")
        numbers = [arrays[name].astype(np.float64) for name in names]
        needs = arrays["needs"]
        if any(array.shape != (count,) for array in (*numbers, needs)):
            raise ValueError(f"{count} parts, and numbers of another count")
        factors, shares, telling, means, deviations = numbers
        if min(map(np.min, (factors, shares, telling))) < 0 or (deviations <= 0).any():
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
            telling=telling,
            means=means,
            deviations=deviations,
        )

    def typical(self, own: Sequence[FloatArray]) -> FloatArray:
        """(B,) of the parts' own typicalities, (B,) each."""
        z = (np.stack(own) - self.means[:, None]) / self.deviations[:, None]
        return np.asarray(self.telling @ z)

    def mixed(self, scores: Sequence[FloatArray]) -> FloatArray:
        """(B, C) of the parts' own scores, (B, C) each."""
        return np.asarray(sum(factor * own for factor, own in zip(self.factors, scores, strict=True)))

    def _apart(self, Q: Rows) -> list[tuple[Scorer, Rows]]:
        return list(zip(self.parts, apart(Q, self.widths), strict=True))


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
