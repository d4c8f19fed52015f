"""`lda`: linear discriminants whose covariance is shrunk towards the background's."""

from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Protocol

import numpy as np

from handful.adapters.calibration import held_out_sharpness
from handful.adapters.class_rows import ClassRows
from handful.adapters.frozen import FrozenLda, single, text_common
from handful.adapters.held_out import level_lone_rows
from handful.adapters.leave_out import leave_out, sampled
from handful.adapters.scorer import Fitted, HeldOut
from handful.adapters.support import Support
from handful.adapters.text_evidence import TextEvidence
from handful.adapters.whitened import Whitened
from handful.rows import FloatArray, IntArray

_MOST_LEFT_OUT = 100_000_000  # entries of the N×C matrix of left-out scores; beyond, a sample of rows
_ROUNDING = 1e-9  # of what two terms cancel to, beside either
_ALIKE = 1e-6  # of the length of rows: what equal pictures lie apart by, in float32
# Of a picture to its class's only shot, in the background's metric.
_KNOWN_COSINE, _KNOWN_DEVIATION = 0.3, 0.15


@dataclass(frozen=True, slots=True, kw_only=True)
class LdaOptions:
    """strength : residuals for each column that the background's covariance counts as (ν / D)."""

    strength: float = 1.0


class _Precision(Protocol):
    """V⁻¹."""

    @property
    def matrix(self) -> FloatArray:
        """(D, D)."""
        ...

    def times(self, rows: FloatArray) -> FloatArray:
        """(n, D) rows times V⁻¹."""
        ...


@dataclass(frozen=True, eq=False)
class _Dense:
    matrix: FloatArray

    def times(self, rows: FloatArray) -> FloatArray:
        return np.asarray(rows @ self.matrix)


@dataclass(frozen=True, eq=False)
class _OfFew:
    """(ridge·I + RᵀR)⁻¹ of N residuals R, N < D, by Woodbury: nothing D×D before `change` asks for it."""

    ridge: float
    R: FloatArray

    @cached_property
    def matrix(self) -> FloatArray:
        return self.times(np.eye(self.R.shape[1]))

    def times(self, rows: FloatArray) -> FloatArray:
        return np.asarray((rows - (rows @ self.R.T) @ self._inner @ self.R) / self.ridge)

    @cached_property
    def _inner(self) -> FloatArray:
        return np.asarray(np.linalg.inv(self.R @ self.R.T + self.ridge * np.eye(len(self.R))))


@dataclass(frozen=True, eq=False)
class _State:
    """What `change` needs of the fit before.

    u : (N, D) whitened rows, sizes : (N,) their squared lengths, means : (C, D) of the classes.
    lengths : (N,) uᵀV⁻¹u.    variance : s.    sharpness : None before it is known.
    """

    u: FloatArray
    sizes: FloatArray
    inverse: _Precision
    lengths: FloatArray
    variance: float
    means: FloatArray
    sharpness: float | None = None


def fit(support: Support, options: LdaOptions) -> Fitted:
    """scores = (ν + N − C)·(uᵀV⁻¹M_c − ½ M_cᵀV⁻¹M_c), V = ν·s·I + Σ r·rᵀ, and the text as far as it is right.

    u are rows in the background's whitened space, M_c class means there, r = u − M_y, ν = strength·D, s the
    within-class variance that background and shots foretell, rounded to a power of √2, so that one shot more
    leaves it as it is and V changes by one rank. Sources: Friedman, JASA 1989 (shrunk discriminants); Wang et
    al., ICLR 2024 (GDA on CLIP).
    """
    space = Whitened.of(support)
    u = space.rows(support.X.astype(np.float64))
    means = support.class_means(u)
    residuals = u - means[support.y]
    variance = _variance(float(np.square(residuals).sum()), space, support)
    inverse = _precision(residuals, options.strength * support.dimension * variance)
    lengths = np.einsum("nd,nd->n", inverse.times(u), u)
    sizes = np.einsum("nd,nd->n", u, u)
    return _fitted(_State(u, sizes, inverse, lengths, variance, means), space, support, options)


def _precision(residuals: FloatArray, ridge: float) -> _Precision:
    count, dimension = residuals.shape
    if 2 * count < dimension:
        return _OfFew(ridge, residuals)
    return _Dense(np.asarray(np.linalg.inv(residuals.T @ residuals + ridge * np.eye(dimension))))


def change(state: object, before: Support, after: Support, options: LdaOptions) -> Fitted:
    """One shot more or less: V⁻¹ by Sherman–Morrison, O(N·D + D² + N·C·D) instead of O(N·D²)."""
    assert isinstance(state, _State)
    grown = len(after.y) - len(before.y)
    if abs(grown) != 1 or not before.lone_groups or not after.lone_groups:
        return fit(after, options)
    space = Whitened.of(after)
    if grown > 0:
        row, label = space.rows(after.X[-1:].astype(np.float64))[0], int(after.y[-1])
        u = np.concatenate([state.u, row[None, :]])
        sizes = np.append(state.sizes, row @ row)
        lengths = np.append(state.lengths, row @ state.inverse.matrix @ row)
    else:
        gone = next(i for i, name in enumerate(before.ids) if i == len(after.ids) or name != after.ids[i])
        row, label = state.u[gone], int(before.y[gone])
        u, sizes = np.delete(state.u, gone, axis=0), np.delete(state.sizes, gone)
        lengths = np.delete(state.lengths, gone)
    means = state.means.copy()
    own = u[after.y == label]
    means[label] = own.mean(axis=0) if len(own) else 0.0
    scatter = float(sizes.sum() - after.counts @ (means**2).sum(axis=1))
    variance = _variance(scatter, space, after)
    if variance != state.variance:
        return fit(after, options)
    smaller, larger = sorted((int(before.counts[label]), int(after.counts[label])))
    inverse = state.inverse.matrix
    if smaller:
        # The class of `smaller` shots and its larger self differ by q·p·pᵀ, p from the smaller one's mean.
        p = row - (means if grown < 0 else state.means)[label]
        q = np.sign(grown) * smaller / larger
        w = inverse @ p
        factor = q / (1 + q * float(p @ w))
        inverse = inverse - factor * np.outer(w, w)
        lengths = lengths - factor * (u @ w) ** 2
    new = _State(u, sizes, _Dense(inverse), lengths, variance, means, state.sharpness)
    return _fitted(new, space, after, options)


def _variance(scatter: float, space: Whitened, support: Support) -> float:
    """s as a power of √2."""
    s = space.within_variance(scatter, support.freedom)
    return float(2.0 ** (np.round(2 * np.log2(s)) / 2))


def _fitted(state: _State, space: Whitened, support: Support, options: LdaOptions) -> Fitted:
    text = TextEvidence.of(support, space)
    means, shown = state.means.copy(), support.counts > 0
    size = float(np.sqrt(state.sizes).mean()) if len(state.u) else float(np.sqrt(space.spread))
    common = means[shown].mean(axis=0) if shown.any() else np.zeros(support.dimension)
    means[~shown] = common + size * text.directions[~shown]
    scale = options.strength * support.dimension + support.freedom
    rows = scale * state.inverse.times(means)
    offsets = -0.5 * (rows * means).sum(axis=1)
    held_out, sharpness, weight = None, 1.0, 0.0
    if len(support.y):
        chosen = sampled(support, max(_MOST_LEFT_OUT // support.class_count, 1))
        whole = len(chosen) == len(support.y)
        part = support if whole else support.part(chosen)
        cross, penalties = _left_out(state, means, rows / scale, support, chosen)
        scores = scale * (cross - 0.5 * penalties)
        scores[np.abs(scores) < _ROUNDING * scale * np.abs(cross)] = 0.0  # no sharpness is learnt from it
        level_lone_rows(scores, part)
        lengths = np.sqrt(state.sizes)[chosen]
        judged = part.company
        without = HeldOut(scores=scores, typicality=lengths, judged=judged, rows=chosen)
        sharpness = held_out_sharpness(without, support, guess=state.sharpness)
        cosines = text.cosines(state.u[chosen] - common)
        weight = text.weight(
            np.where(judged[:, None], sharpness * scores, 0.0),
            cosines,
            part.y,
            np.ones(len(chosen)),
        )
        level_lone_rows(cross, part)
        held_out = HeldOut(
            scores=sharpness * scores + weight * cosines,
            typicality=(sharpness * scale * cross + weight * cosines).max(axis=1) / lengths,
            judged=judged,
            rows=chosen,
        )
    reach = size
    if weight and len(state.u) > 1:
        apart = float(np.linalg.norm(state.u - common, axis=1).mean())
        reach = apart if apart > _ALIKE * size else size
    spoken = weight / max(reach, 1e-9) * text.directions
    functionals = sharpness * rows + spoken
    scorer = ClassRows(
        rows=space.functionals(functionals).astype(np.float32),
        offsets=sharpness * offsets - spoken @ common,
        centre=space.mean,
        background=space.background,
    )
    usual = float(np.linalg.norm(functionals, axis=1).mean())
    return Fitted(
        scorer=scorer,
        known_prior=(_KNOWN_COSINE * usual, _KNOWN_DEVIATION * usual),
        held_out=held_out,
        sharpness=1.0,
        found={"within_variance": state.variance, "sharpness": sharpness, "text_weight": weight},
        state=replace(state, sharpness=sharpness),
        freeze=partial(
            _frozen,
            support,
            space,
            inverse=state.inverse,
            factor=sharpness * scale,
            centre=common,
            numbers=(weight / max(reach, 1e-9), size),
        ),
    )


def _frozen(
    support: Support,
    space: Whitened,
    *,
    inverse: _Precision,
    factor: float,
    centre: FloatArray,
    numbers: tuple[float, float],
) -> FrozenLda:
    return FrozenLda(
        origin=single(space.mean),
        centre=single(centre),
        precision=single(factor * inverse.matrix),
        numbers=np.array(numbers, np.float32),
        common=text_common(support.text, space.mean),
    )


def _left_out(
    state: _State, means: FloatArray, rows: FloatArray, support: Support, chosen: IntArray
) -> tuple[FloatArray, FloatArray]:
    """uᵀV⁻¹M_c and M_cᵀV⁻¹M_c, both (n, C), as without each chosen row's group; `rows` are V⁻¹M_c."""
    if not support.lone_groups:
        root = np.linalg.cholesky(state.inverse.matrix)
        left = leave_out(state.u @ root, means @ root, support, chosen, pseudo=float("inf"))
        return left.cross, left.means
    own, y = np.arange(len(chosen)), support.y[chosen]
    n = support.counts[y].astype(np.float64)
    rest = np.maximum(n - 1, 1)
    q = np.where(n > 1, n / rest, 0.0)
    move = np.where(n > 1, 1 / rest, 0.0)
    # M_yᵀV⁻¹M_k
    between = means[y] @ rows.T if len(chosen) < len(means) else (means @ rows.T)[y]
    lengths = state.lengths[chosen]
    cross = state.u[chosen] @ rows.T
    toward = cross[own, y]
    row_r = lengths - toward  # uᵀV⁻¹r
    rr = lengths - 2 * toward + between[own, y]
    mean_r = cross - between  # M_cᵀV⁻¹r
    squares = np.repeat((means * rows).sum(axis=1)[None, :], len(y), axis=0)
    cross[own, y] -= move * row_r
    squares[own, y] += move**2 * rr - 2 * move * mean_r[own, y]
    mean_r[own, y] -= move * rr
    kappa = (q / np.maximum(1 - q * rr, 1e-9))[:, None]
    return cross + kappa * row_r[:, None] * mean_r, squares + kappa * mean_r**2
