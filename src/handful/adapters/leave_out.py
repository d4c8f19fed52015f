"""Leaving shots out of class means, their centre and their common covariance, exactly and in closed form."""

from dataclasses import dataclass

import numpy as np

from handful.adapters.support import Support
from handful.rows import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class LeftOut:
    """Inner products that rows have when their group was never shown, in the metric that is left.

    cross : (N, C) of a row with each class mean.    rows : (N,) squared lengths of the rows.
    means : (N, C) squared lengths of the class means. All seen from the centre that is left.
    """

    cross: FloatArray
    rows: FloatArray
    means: FloatArray

    def cosines(self) -> FloatArray:
        """(N, C)."""
        return np.asarray(self.cross / np.sqrt(np.maximum(self.rows[:, None] * self.means, 1e-18)))


def leave_out(Z: FloatArray, means: FloatArray, support: Support, chosen: IntArray, pseudo: float) -> LeftOut:
    """Leave each chosen row's group out.

    Z : (N, D) rows, means : (C, D), both seen from the centre Σ means / (classes with shots + pseudo), in
    coordinates where the within-class matrix V (prior + Σ r·rᵀ, r = row − class mean) is the identity.
    A class whose rows would all go keeps its mean.

    With one row left out, n shots in its class and e = 1/((n−1)(classes + pseudo)): V loses q·r·rᵀ,
    q = n/(n−1); the class mean moves by −r/(n−1), the centre by −e·r; and by Sherman–Morrison
    ⟨a, b⟩ = a·b + κ(a·r)(b·r), κ = q/(1 − q·r·r). Groups of several rows take the Woodbury form.
    """
    shown = float((support.counts > 0).sum()) + pseudo
    if support.lone_groups:
        return _one_by_one(Z, means, support, chosen, shown)
    return _by_group(Z, means, support, chosen, shown)


def _one_by_one(
    Z: FloatArray, means: FloatArray, support: Support, chosen: IntArray, shown: float
) -> LeftOut:
    y = support.y[chosen]
    z = Z[chosen]
    r = z - means[y]
    n = support.counts[y].astype(np.float64)
    rest = np.maximum(n - 1, 1)
    kept = n > 1
    centre = np.where(kept, 1 / (rest * shown), 0.0)
    q = np.where(kept, n / rest, 0.0)
    rr, zr = (r * r).sum(axis=1), (z * r).sum(axis=1)
    kappa = q / np.maximum(1 - q * rr, 1e-9)
    cross, mean_r = z @ means.T, r @ means.T
    own = np.arange(len(chosen))
    move = np.repeat(centre[:, None], len(means), axis=1)  # of each mean, as seen from the centre, along r
    move[own, y] -= np.where(kept, 1 / rest, 0.0)
    row_r = zr + centre * rr
    seen_r = mean_r + move * rr[:, None]
    lengths = (means * means).sum(axis=1)[None, :] + 2 * move * mean_r + move**2 * rr[:, None]
    cross = cross + move * zr[:, None] + centre[:, None] * (mean_r + move * rr[:, None])
    rows = (z * z).sum(axis=1) + 2 * centre * zr + centre**2 * rr
    return LeftOut(
        cross=cross + kappa[:, None] * row_r[:, None] * seen_r,
        rows=rows + kappa * row_r**2,
        means=lengths + kappa[:, None] * seen_r**2,
    )


def _by_group(Z: FloatArray, means: FloatArray, support: Support, chosen: IntArray, shown: float) -> LeftOut:
    cross = np.empty((len(chosen), len(means)))
    rows, lengths = np.empty(len(chosen)), np.empty_like(cross)
    members = np.argsort(support.groups, kind="stable")
    starts = np.searchsorted(support.groups[members], np.arange(int(support.groups.max()) + 2))
    asked: dict[int, list[int]] = {}
    for position, row in enumerate(chosen):
        asked.setdefault(int(support.groups[row]), []).append(position)
    for group, positions in asked.items():
        leaving = members[starts[group] : starts[group + 1]]
        left, taken, centre = means.copy(), [], np.zeros(Z.shape[1])
        for label in np.unique(support.y[leaving]):
            r = Z[leaving[support.y[leaving] == label]] - means[label]
            taken.append(r)
            rest = int(support.counts[label]) - len(r)
            if rest:
                total = r.sum(axis=0)
                taken.append(total[None, :] / np.sqrt(rest))
                left[label] -= total / rest
                centre -= total / (rest * shown)
        U = np.concatenate(taken)
        left -= centre
        x = Z[chosen[positions]] - centre
        inverse = np.linalg.inv(np.eye(len(U)) * (1 + 1e-9) - U @ U.T)
        xU, leftU = x @ U.T, left @ U.T
        cross[positions] = x @ left.T + xU @ inverse @ leftU.T
        rows[positions] = (x * x).sum(axis=1) + ((xU @ inverse) * xU).sum(axis=1)
        lengths[positions] = (left * left).sum(axis=1) + ((leftU @ inverse) * leftU).sum(axis=1)
    return LeftOut(cross=cross, rows=rows, means=lengths)


def sampled(support: Support, most: int) -> IntArray:
    """At most about `most` rows, spread evenly over the support; the rows of a group stay together."""
    total = len(support.y)
    if total <= most:
        return np.arange(total)
    if support.lone_groups:
        return np.linspace(0, total - 1, most).astype(np.int64)
    groups = int(support.groups.max()) + 1
    wanted = np.unique(np.linspace(0, groups - 1, max(groups * most // total, 1)).astype(np.int64))
    return np.flatnonzero(np.isin(support.groups, wanted))
