"""Statistics of a head that stay while its classes change: a class's row from its own shots alone."""

from dataclasses import dataclass, fields
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from handful.background import Background
from handful.rows import FloatArray, IntArray, Rows, unit
from handful.tensors import Arrays

Matrix = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassShots:
    """Shots of F classes.    X : (n, D) unit rows.    y : (n,) their classes, 0 to F - 1.

    text : (F, D), zeros where a class has none.
    """

    X: Rows
    y: IntArray
    text: Rows

    @property
    def counts(self) -> IntArray:
        """(F,) rows of each class."""
        return np.bincount(self.y, minlength=len(self.text))

    def means(self, X: FloatArray) -> FloatArray:
        """(F, D) means of rows (n, D) by class, zeros where there are none."""
        sums = np.zeros((len(self.text), X.shape[1]))
        np.add.at(sums, self.y, X)
        return np.asarray(sums / np.maximum(self.counts, 1)[:, None])


class FrozenClasses(Protocol):
    """Of one method.    origin : (D,) the head's centre, before it was rounded."""

    kind: ClassVar[str]

    @property
    def origin(self) -> Matrix: ...

    def rows(
        self, shots: ClassShots, background: Background | None, pull: float
    ) -> tuple[FloatArray, FloatArray]:
        """Rows (F, D) and offsets (F,) as seen from `origin`."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class FrozenPrototype:
    """Nothing is learnt over all classes."""

    origin: Matrix

    kind: ClassVar[str] = "prototype"

    def rows(
        self, shots: ClassShots, background: Background | None, pull: float
    ) -> tuple[FloatArray, FloatArray]:
        means = shots.means(shots.X.astype(np.float64))
        own = np.where((shots.counts == 0)[:, None], shots.text, means)
        return np.asarray(unit(own)), np.zeros(len(own))


@dataclass(frozen=True, kw_only=True, eq=False)
class FrozenAuto:
    """Of `auto`, steps 1 to 6.    centre : (D,) of the classes.    axes : (D, r) those of the class means.

    between : (r,) their variance along them.    numbers : factor of the rows; the text's factor; how
    far a class without a shot lies from the centre.    common : (D,) of the texts.
    """

    origin: Matrix
    centre: Matrix
    axes: Matrix
    between: Matrix
    numbers: Matrix
    common: Matrix

    kind: ClassVar[str] = "auto"

    def rows(
        self, shots: ClassShots, background: Background | None, pull: float
    ) -> tuple[FloatArray, FloatArray]:
        factor, spoken, length = self.numbers.astype(np.float64)
        texts = _texts(shots.text, self.common, background)
        means, n = shots.means(_seen(shots.X, background, pull)), shots.counts[:, None]
        seen = np.where(n > 0, means - self.centre, length * texts) @ self.axes
        gain = np.where(n > 0, n * self.between / (1 + n * self.between), 1.0)
        functionals = factor * unit(seen * gain) @ self.axes.T + spoken * texts
        return _functionals(functionals, background), np.zeros(len(texts))


@dataclass(frozen=True, kw_only=True, eq=False)
class FrozenLda:
    """Of `lda`.    precision : (D, D) V⁻¹ with all its factors.    centre : (D,) of the classes.

    numbers : the text's factor; how far a class without a shot lies from it.    common : (D,) of the texts.
    """

    origin: Matrix
    centre: Matrix
    precision: Matrix
    numbers: Matrix
    common: Matrix

    kind: ClassVar[str] = "lda"

    def rows(
        self, shots: ClassShots, background: Background | None, pull: float
    ) -> tuple[FloatArray, FloatArray]:
        spoken, length = self.numbers.astype(np.float64)
        texts = _texts(shots.text, self.common, background)
        means, n = shots.means(_seen(shots.X, background, pull)), shots.counts[:, None]
        means = np.where(n > 0, means, self.centre + length * texts)
        own = means @ self.precision
        offsets = -0.5 * (own * means).sum(axis=1) - spoken * (texts @ self.centre)
        return _functionals(own + spoken * texts, background), np.asarray(offsets)


_KINDS: tuple[type[FrozenPrototype] | type[FrozenAuto] | type[FrozenLda], ...] = (
    FrozenPrototype,
    FrozenAuto,
    FrozenLda,
)


def saved(frozen: FrozenClasses) -> Arrays:
    """Arrays that `restored` reads."""
    kind = next(one for one in _KINDS if one.kind == frozen.kind)
    return {f"{frozen.kind}.{one.name}": getattr(frozen, one.name) for one in fields(kind)}


def restored(arrays: Arrays, dimension: int) -> FrozenClasses | None:
    """What `saved` gave, None for no arrays. KeyError or ValueError where they do not fit."""
    if not arrays:
        return None
    name = next(iter(arrays)).partition(".")[0]
    kind = next((one for one in _KINDS if one.kind == name), None)
    if kind is None:
        return None  # of a newer build: the head answers, and is made anew
    own = {one.name: arrays[f"{name}.{one.name}"].astype(np.float32) for one in fields(kind)}
    for what, array in own.items():
        if what != "numbers" and what != "between" and array.shape[:1] != (dimension,):
            raise ValueError(f"frozen {what} {array.shape} do not fit {dimension} columns")
    made: FrozenClasses = kind(**own)
    return made


def text_common(text: Rows | None, mean: FloatArray) -> Matrix:
    """(D,) the point that texts are seen from, as `TextEvidence` has it."""
    rows = np.zeros((0, len(mean))) if text is None else text[np.any(text, axis=1)].astype(np.float64)
    return np.asarray(rows.mean(axis=0) if len(rows) > 1 else mean, np.float32)


def single(array: NDArray[np.floating]) -> Matrix:
    """In single precision, to be kept."""
    return np.asarray(array, np.float32)


def _seen(X: Rows, background: Background | None, pull: float) -> FloatArray:
    if background is None:
        return X.astype(np.float64)
    drawn = background.drawn(X, pull) if pull else X
    return np.asarray((drawn.astype(np.float64) - background.mean) @ background.whitening)


def _texts(text: Rows, common: Matrix, background: Background | None) -> FloatArray:
    away = text.astype(np.float64) - common
    away[~text.any(axis=1)] = 0.0
    return np.asarray(unit(away if background is None else away @ background.whitening))


def _functionals(rows: FloatArray, background: Background | None) -> FloatArray:
    return rows if background is None else np.asarray(rows @ background.whitening)
