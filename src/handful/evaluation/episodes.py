"""Episodes: seeded draws of what is shown to a classifier and what it is then asked."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from handful.errors import SupportError
from handful.rows import IntArray

Shots = int | tuple[int, int]  # k for each class, or for each class a number from low to high


@dataclass(frozen=True, kw_only=True, eq=False)
class Episode:
    """Positions of pictures: those to teach, those to ask, and those of classes that are not taught.

    shots : as asked for; a class with fewer pictures has fewer.    seed : of the draw.
    classes : (W,) the classes taught, ascending; class i of the taught classifier is classes[i].
    support, queries : pictures of `classes`.    foreign : pictures of the other classes.
    labels : (N,) class of every picture, as given to `episodes`.
    """

    shots: Shots
    seed: int
    classes: IntArray
    support: IntArray
    queries: IntArray
    foreign: IntArray
    labels: IntArray

    @cached_property
    def support_labels(self) -> IntArray:
        """(n,) of the support, 0..W−1."""
        return np.searchsorted(self.classes, self.labels[self.support]).astype(np.int64)

    @cached_property
    def query_labels(self) -> IntArray:
        """(m,) of the queries, 0..W−1."""
        return np.searchsorted(self.classes, self.labels[self.queries]).astype(np.int64)


def episodes(
    y: ArrayLike,
    *,
    shots: Sequence[Shots],
    seeds: Sequence[int],
    ways: int | None = None,
    groups: Sequence[object] | None = None,
) -> Iterator[Episode]:
    """For each seed and each number of shots, a draw; draws of one seed grow, and are asked the same
    pictures.

    y : (N,) class of each picture.    ways : classes to teach, drawn by the seed; None: all.
    groups : (N,) names; pictures of a group (a patient, a series) are never split between support and
    queries. A class keeps at least a fifth of its pictures, and one, as queries, so small classes give fewer
    shots.

    Raises SupportError where a class has a single picture or group, or `ways` is out of range.

    >>> [len(e.support) for e in episodes([0, 0, 0, 1, 1, 1], shots=[1, 2], seeds=[0])]
    [2, 4]
    """
    labels = np.asarray(y, np.int64)
    names = group_codes(groups, len(labels))
    classes = np.unique(labels)
    if ways is not None and not 2 <= ways <= len(classes):
        raise SupportError(f"ways is {ways}; choose from 2 to {len(classes)}, the number of classes")
    for label in classes:
        if len(np.unique(names[labels == label])) < 2:
            raise SupportError(
                f"class {label} has {np.sum(labels == label)} picture(s) in one group; "
                "an episode needs two, one to show and one to ask"
            )
    for seed in seeds:
        rng = np.random.default_rng(seed)
        taught = classes if ways is None else np.sort(rng.permutation(classes)[:ways])
        drawn = [_order(np.flatnonzero(labels == label), names, rng) for label in taught]
        wanted = [[_wanted(k, rng) for k in shots] for _ in taught]
        taken = [
            [rows[: min(k, room)] for k in counts] for (rows, room), counts in zip(drawn, wanted, strict=True)
        ]
        largest = np.concatenate([max(draws, key=len) for draws in taken])
        asked = ~np.isin(names, names[largest]) & np.isin(labels, taught)
        for position, k in enumerate(shots):
            yield Episode(
                shots=k,
                seed=seed,
                classes=taught,
                support=np.concatenate([draws[position] for draws in taken]),
                queries=np.flatnonzero(asked),
                foreign=np.flatnonzero(~np.isin(labels, taught)),
                labels=labels,
            )


def group_codes(groups: Sequence[object] | None, count: int) -> IntArray:
    """(N,) a number for each group; a picture whose group is None is a group by itself.

    >>> group_codes(["anna", None, "anna", None], 4)
    array([0, 1, 0, 3])
    """
    if groups is None:
        return np.arange(count)
    if len(groups) != count:
        raise SupportError(f"{len(groups)} groups for {count} pictures; give one each, or None")
    first: dict[object, int] = {}
    return np.array(
        [i if name is None else first.setdefault(name, i) for i, name in enumerate(groups)], np.int64
    )


def _order(rows: IntArray, names: IntArray, rng: np.random.Generator) -> tuple[IntArray, int]:
    """The class's pictures, group by group in a drawn order, and how many of them may be shown."""
    rows = rng.permutation(rows)
    order = rng.permutation(np.unique(names[rows]))
    rank = {name: position for position, name in enumerate(order)}
    ranks = np.array([rank[name] for name in names[rows]])
    rows = rows[np.argsort(ranks, kind="stable")]
    kept_groups = max(1, int(np.ceil(len(order) / 5)))
    return rows, int(np.sum(ranks < len(order) - kept_groups))


def _wanted(shots: Shots, rng: np.random.Generator) -> int:
    return shots if isinstance(shots, int) else int(rng.integers(shots[0], shots[1] + 1))
