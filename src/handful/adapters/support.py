"""The support set as the adapters see it: checked arrays, nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from handful.background import Background
from handful.errors import EmbeddingError, SupportError
from handful.rows import FloatArray, IntArray, Rows, as_rows, unit

ShotId = str | int


@dataclass(frozen=True, kw_only=True, eq=False)
class Support:
    """All shots of a classifier, with what is known besides them.

    X : (N, D) unit rows, a row per view.    y : (N,) class of each row.    ids : (N,) shot of each row.
    groups : (N,) 0..G-1; rows of a group are left out together.
    text : (C, D) unit rows, zeros where a class has no text; or None.
    """

    X: Rows
    y: IntArray
    class_count: int
    ids: tuple[str, ...]
    groups: IntArray
    text: Rows | None = None
    background: Background | None = None

    @classmethod
    def checked(
        cls,
        X: ArrayLike,
        y: ArrayLike,
        *,
        class_count: int,
        text: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        background: Background | None = None,
        shot_ids: Sequence[ShotId] | None = None,
    ) -> Self:
        """Check untrusted arrays. Raises SupportError or EmbeddingError, each saying what was found."""
        if class_count < 1:
            raise SupportError(f"class_count is {class_count}; a classifier has at least one class")
        prior = None if text is None else _text_rows(text, class_count)
        dimension = None if prior is None else prior.shape[1]
        if background is not None:
            if dimension not in (None, background.dimension):
                raise EmbeddingError(
                    f"text has {dimension} columns but the background {background.dimension}; use one encoder"
                )
            dimension = background.dimension
        if np.size(X) == 0:
            if dimension is None:
                raise SupportError("there is neither a shot nor a text; give embeddings X, or text rows")
            rows = np.zeros((0, dimension), np.float32)
        else:
            rows = as_rows(X, dimension=dimension)
        labels = _labels(y, len(rows), class_count)
        ids = tuple(str(i) for i in (range(len(rows)) if shot_ids is None else shot_ids))
        if len(ids) != len(rows):
            raise SupportError(f"{len(ids)} shot ids for {len(rows)} rows; give one each")
        if len(set(zip(ids, labels.tolist(), strict=True))) != len(set(ids)):
            twice = next(i for i in ids if len({c for j, c in zip(ids, labels, strict=True) if i == j}) > 1)
            raise SupportError(
                f"shot {twice!r} has rows of several classes; rows of one shot are its views, so give other "
                "shots other ids"
            )
        support = cls(
            X=rows,
            y=labels,
            class_count=int(class_count),
            ids=ids,
            groups=_numbered(ids if groups is None else groups, len(rows)),
            text=prior,
            background=background,
        )
        bare = np.flatnonzero((support.counts == 0) & ~support.has_text)
        if bare.size:
            raise SupportError(
                f"class {bare[0]} has no shot and no text ({bare.size} of {class_count} classes are so); "
                "add a shot or a description"
            )
        return support

    @property
    def dimension(self) -> int:
        """Columns D of the embeddings."""
        return int(self.X.shape[1])

    @cached_property
    def counts(self) -> IntArray:
        """(C,) rows of each class."""
        return np.bincount(self.y, minlength=self.class_count)

    @cached_property
    def group_counts(self) -> IntArray:
        """(C,) groups with a row in each class: what can be left out of it."""
        _, classes, _, _ = self.leavings
        return np.bincount(classes, minlength=self.class_count)

    @cached_property
    def has_text(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """(C,) whether a class has a text row."""
        if self.text is None:
            return np.zeros(self.class_count, bool)
        return np.asarray(self.text.any(axis=1))

    @cached_property
    def leavings(self) -> tuple[IntArray, IntArray, IntArray, IntArray]:
        """What leaves each class when a row's group is left out.

        pair (N,): each row's pair of group and class; the pairs' classes (P,).
        rows (M,), pairs (M,): for each row, the pairs of its group; leaving the row's group out takes the
        sum of each such pair from the pair's class.
        """
        codes, pair = np.unique(self.groups * self.class_count + self.y, return_inverse=True)
        pair = pair.reshape(-1).astype(np.int64)
        pair_groups, classes = np.divmod(codes, self.class_count)
        order = np.argsort(self.groups, kind="stable")
        first = np.searchsorted(pair_groups, self.groups[order], side="left")
        last = np.searchsorted(pair_groups, self.groups[order], side="right")
        sizes = last - first
        rows = np.repeat(order, sizes)
        pairs = np.repeat(first - np.cumsum(sizes) + sizes, sizes) + np.arange(int(sizes.sum()))
        return pair, classes.astype(np.int64), rows.astype(np.int64), pairs.astype(np.int64)

    @cached_property
    def lone_groups(self) -> bool:
        """Whether each row is left out by itself."""
        return len(self.y) == 0 or int(self.groups.max()) + 1 == len(self.y)

    @cached_property
    def company(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """(N,) whether the row's class keeps a row when the row's group is left out."""
        pair, _, _, _ = self.leavings
        return np.asarray(self.counts[self.y] > np.bincount(pair)[pair])

    def part(self, rows: IntArray) -> Self:
        """Some rows of this support; whether they have company is still a matter of the whole."""
        part = replace(
            self,
            X=self.X[rows],
            y=self.y[rows],
            ids=tuple(self.ids[row] for row in rows),
            groups=self.groups[rows],
        )
        part.__dict__["company"] = self.company[rows]
        return part

    def class_sums(self, values: FloatArray) -> FloatArray:
        """(C, …) sums of (N, …) values over each class's rows."""
        sums = np.zeros((self.class_count, *values.shape[1:]))
        order = np.argsort(self.y, kind="stable")
        labels, starts = np.unique(self.y[order], return_index=True)
        if len(labels):
            sums[labels] = np.add.reduceat(values[order], starts, axis=0)
        return sums

    def class_means(self, values: FloatArray) -> FloatArray:
        """(C, …) means of (N, …) values over each class's rows; zero for a class without one."""
        return np.asarray(self.class_sums(values) / np.maximum(self.counts, 1)[:, None])

    @property
    def freedom(self) -> int:
        """Rows beyond the first of each class: the degrees of freedom of what differs within classes."""
        return len(self.y) - int((self.counts > 0).sum())

    def added(self, x: ArrayLike, label: int, shot_id: ShotId, group: ShotId | None = None) -> Self:
        """This support with one shot more: `x` is its (D,) row, or its views (V, D)."""
        rows = as_rows(x, name="x", dimension=self.dimension)
        labels = _labels([label] * len(rows), len(rows), self.class_count)
        if str(shot_id) in self.ids:
            raise SupportError(
                f"there is a shot {str(shot_id)!r} already; remove it first, or choose another id"
            )
        fresh = int(self.groups.max(initial=-1)) + 1
        if group is not None:
            if str(group) not in self.ids:
                raise SupportError(f"there is no shot {str(group)!r} whose group the new one could join")
            fresh = int(self.groups[self.ids.index(str(group))])
        return replace(
            self,
            X=np.concatenate([self.X, rows]),
            y=np.concatenate([self.y, labels]),
            ids=self.ids + (str(shot_id),) * len(rows),
            groups=np.concatenate([self.groups, np.full(len(rows), fresh, np.int64)]),
        )

    def removed(self, shot_id: ShotId) -> Self:
        """This support without a shot and its views."""
        keep = np.array([i != str(shot_id) for i in self.ids], bool)
        if keep.all():
            raise SupportError(
                f"there is no shot {str(shot_id)!r}; this head holds {len(set(self.ids))} shots"
            )
        label = int(self.y[~keep][0])
        if not (self.y[keep] == label).any() and not self.has_text[label]:
            raise SupportError(
                f"shot {str(shot_id)!r} is the last of class {label}, which has no text; "
                "refit without the class, or add another shot first"
            )
        return replace(
            self,
            X=self.X[keep],
            y=self.y[keep],
            ids=tuple(i for i, kept in zip(self.ids, keep, strict=True) if kept),
            groups=_numbered(self.groups[keep], int(keep.sum())),
        )


def _text_rows(text: ArrayLike, class_count: int) -> Rows:
    """Unit rows; a row of zeros or NaN means that the class has no text."""
    try:
        with np.errstate(over="ignore"):  # too large for float32: not finite, said below
            rows = np.array(text, dtype=np.float32)
    except (TypeError, ValueError) as exc:
        raise SupportError(f"text is not a matrix of numbers: {exc}") from None
    if rows.ndim != 2 or rows.shape[0] != class_count:
        raise SupportError(f"text has shape {rows.shape}; it is one row for each of {class_count} classes")
    rows[np.isnan(rows).all(axis=1)] = 0
    if not np.isfinite(rows).all():
        raise EmbeddingError("text holds numbers that are not finite; give whole rows, or NaN for no text")
    return np.asarray(unit(rows), dtype=np.float32)


def _labels(y: ArrayLike, count: int, class_count: int) -> IntArray:
    try:
        labels = np.asarray(y)
    except ValueError as exc:
        raise SupportError(f"y is not a list of labels: {exc}") from None
    if labels.size == 0 and count == 0:
        return np.zeros(0, np.int64)
    if labels.shape != (count,):
        raise SupportError(f"y has shape {labels.shape} for {count} rows of X; give one label each")
    if not np.issubdtype(labels.dtype, np.integer) and not (
        np.issubdtype(labels.dtype, np.floating) and (labels == np.floor(labels)).all()
    ):
        raise SupportError(
            f"y holds {labels.dtype} values; labels are whole numbers from 0 to {class_count - 1}"
        )
    wrong = np.flatnonzero((labels < 0) | (labels >= class_count))
    if wrong.size:
        raise SupportError(
            f"label {labels[wrong[0]]} of row {wrong[0]} is outside 0 to {class_count - 1}; "
            "give a larger class_count for a new class"
        )
    return labels.astype(np.int64)


def _numbered(names: ArrayLike, count: int) -> IntArray:
    """(N,) 0..G-1 in the order in which the names first come.

    So a shot that is added gets the number that it has when all are fitted together; folds depend on it.
    """
    try:
        found = np.asarray(names)
    except ValueError as exc:
        raise SupportError(f"groups is not a list of names: {exc}") from None
    if found.shape != (count,):
        raise SupportError(f"groups has shape {found.shape}; it names a group for each of {count} rows")
    if found.dtype.kind == "O":  # names of several types have no order
        found = found.astype(str)
    _, first, inverse = np.unique(found, return_index=True, return_inverse=True)
    number = np.empty(len(first), np.int64)
    number[np.argsort(first)] = np.arange(len(first))
    return np.asarray(number[inverse.reshape(-1)])
