"""Kernel sums of classes, brought to one scale, and what they are when a group is left out."""

from dataclasses import dataclass

import numpy as np

from handful.adapters.key_value_cache import ClassOrder, kernel, kernel_blocks
from handful.adapters.support import Support
from handful.rows import FloatArray, IntArray

_TINY = 1e-12  # in place of a pool of nothing


@dataclass(frozen=True, kw_only=True, eq=False)
class PooledCache:
    """Each class's kernel sum over its pool, 0 where a class has no shot.

    shots : n̂ of the formula.    pool : (C,).
    """

    beta: float
    pooling: str
    shots: float
    pool: FloatArray

    @classmethod
    def of(cls, support: Support, beta: float, pooling: str, shots: float | None = None) -> "PooledCache":
        """shots : n̂ where it is not the support's own, because this is a part of another one."""
        counts = support.counts.astype(np.float64)
        pool = np.ones(support.class_count)
        if pooling == "mean":
            pool = counts
        elif pooling == "unit":
            pool = np.sqrt(support.class_sums(_own_sums(support, beta)[0]))
        return cls(
            beta=beta,
            pooling=pooling,
            shots=shots or spoken_shots(support, pooling),
            pool=np.maximum(pool, _TINY),
        )

    def left_out(self, support: Support, rows: IntArray | None = None) -> FloatArray:
        """(n, C) pooled sums of rows whose group is left out; NaN where that empties a class."""
        chosen = np.arange(len(support.y)) if rows is None else rows
        return left_out_sums(support, self.beta, chosen) * self.left_out_factors(support, chosen)

    def left_out_factors(self, support: Support, rows: IntArray) -> FloatArray:
        """(n, C) what the sums of `left_out_sums` are multiplied with; NaN where no shot stays."""
        counts = left_out_counts(support, rows)
        pools = np.ones_like(counts)
        if self.pooling == "mean":
            pools = counts
        elif self.pooling == "unit":
            pools = np.sqrt(np.maximum(self._left_out_squares(support, rows), 0))
        return np.where(counts > 0, self.shots / np.maximum(pools, _TINY), np.nan)

    def _left_out_squares(self, support: Support, rows: IntArray) -> FloatArray:
        """(n, C) Σᵢⱼ kᵢⱼ over the shots of a class that stay."""
        squares = np.tile(self.pool**2, (len(rows), 1))
        pair, classes, _, _ = support.leavings
        of_class, of_group = _own_sums(support, self.beta)
        lost = np.bincount(pair, 2 * of_class - of_group, minlength=len(classes))
        places, pairs = leaving_places(support, rows)
        squares[places, classes[pairs]] -= lost[pairs]
        return squares


def spoken_shots(support: Support, pooling: str) -> float:
    """n̂: as how many shots each class speaks; the mean of the classes that have any, but for "sum"."""
    counts = support.counts[support.counts > 0]
    return 1.0 if pooling == "sum" or not len(counts) else float(counts.mean())


def left_out_sums(support: Support, beta: float, rows: IntArray) -> FloatArray:
    """(n, C) kernel sums of rows over the shots that stay when the row's group leaves."""
    order = ClassOrder.of(support.y, support.class_count)
    keys, groups = support.X[order.order], support.groups[order.order]
    sums = np.empty((len(rows), support.class_count))
    for block in kernel_blocks(len(rows), len(keys)):
        affinities = kernel(support.X[rows[block]], keys, beta)
        affinities[support.groups[rows[block]][:, None] == groups[None, :]] = 0
        sums[block] = order.sums(affinities)
    return sums


def left_out_counts(support: Support, rows: IntArray) -> FloatArray:
    """(n, C) shots of each class that stay when a row's group leaves."""
    pair, classes, _, _ = support.leavings
    counts = np.tile(support.counts.astype(np.float64), (len(rows), 1))
    places, pairs = leaving_places(support, rows)
    counts[places, classes[pairs]] -= np.bincount(pair, minlength=len(classes))[pairs]
    return counts


def leaving_places(support: Support, rows: IntArray) -> tuple[IntArray, IntArray]:
    """What leaves with each of some rows: places in `rows`, and pairs as in `Support.leavings`."""
    _, _, all_rows, all_pairs = support.leavings
    place = np.full(len(support.y), -1)
    place[rows] = np.arange(len(rows))
    here = place[all_rows] >= 0
    return place[all_rows[here]], all_pairs[here]


def _own_sums(support: Support, beta: float) -> tuple[FloatArray, FloatArray]:
    """(N,) each row's kernel sum over the shots of its class, and over those that are of its group too."""
    of_class, of_group = np.zeros(len(support.y)), np.zeros(len(support.y))
    order = np.argsort(support.y, kind="stable")
    for members in np.split(order, np.cumsum(support.counts)[:-1]):
        keys, groups = support.X[members], support.groups[members]
        for block in kernel_blocks(len(members), len(members)):
            rows = members[block]
            affinities = kernel(support.X[rows], keys, beta)
            of_class[rows] = affinities.sum(axis=1, dtype=np.float64)
            affinities[support.groups[rows][:, None] != groups[None, :]] = 0
            of_group[rows] = affinities.sum(axis=1, dtype=np.float64)
    return of_class, of_group
