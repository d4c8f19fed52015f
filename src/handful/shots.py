"""Shots: the labelled pictures of a classifier, and the rows that stand for them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from handful.errors import SupportError
from handful.labels import Label
from handful.rows import IntArray, Rows

_ID_LENGTH = 12  # hex digits of the digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """One labelled picture.

    id : its name in the classifier.    source : file name, or what it was made of.
    sha256 : of its content.    group : shots of a group are left out together.
    """

    id: str
    label: Label
    source: str
    sha256: str
    group: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Shots:
    """The support set: shots in the order they came, and their rows.

    X : (R, D), the rows of a shot (its views) follow each other.    rows : (N,) how many rows each shot has.
    """

    table: tuple[Shot, ...]
    X: Rows
    rows: IntArray

    @classmethod
    def of(
        cls,
        X: Rows,
        *,
        labels: Sequence[Label],
        sources: Sequence[str],
        digests: Sequence[str],
        groups: Sequence[str | None],
        rows: IntArray,
        taken: Collection[str] = (),
    ) -> Self:
        """Name shots by their content; equal pictures are separate shots, in one group unless told otherwise.

        taken : ids that are given already.
        """
        used = set(taken)
        table = []
        for label, source, digest, group in zip(labels, sources, digests, groups, strict=True):
            shot_id = _free_id(digest[:_ID_LENGTH], used)
            used.add(shot_id)
            together = f"picture {digest}" if group is None else f"group {group}"
            table.append(Shot(id=shot_id, label=label, source=source, sha256=digest, group=together))
        return cls(table=tuple(table), X=X, rows=np.asarray(rows, np.int64))

    def __len__(self) -> int:
        return len(self.table)

    @property
    def ids(self) -> list[str]:
        """(N,) ids."""
        return [shot.id for shot in self.table]

    @property
    def shot_of_row(self) -> IntArray:
        """(R,) which shot a row belongs to."""
        return np.repeat(np.arange(len(self.table)), self.rows)

    def joined(self, others: Self) -> Self:
        """These and others."""
        return type(self)(
            table=self.table + others.table,
            X=np.concatenate([self.X, others.X]),
            rows=np.concatenate([self.rows, others.rows]),
        )

    def without(self, ids: Collection[str]) -> Self:
        """These but some. Raises SupportError for an id that no shot has."""
        there = set(self.ids)
        unknown = [shot_id for shot_id in ids if shot_id not in there]
        if unknown:
            raise SupportError(
                f"there is no shot {unknown[0]!r} among {len(self)}; `shots_` lists each with its id"
            )
        keep = np.array([shot.id not in ids for shot in self.table], bool)
        return type(self)(
            table=tuple(shot for shot, kept in zip(self.table, keep, strict=True) if kept),
            X=self.X[np.repeat(keep, self.rows)],
            rows=self.rows[keep],
        )


def _free_id(name: str, used: Collection[str]) -> str:
    if name not in used:
        return name
    number = 2
    while f"{name}-{number}" in used:
        number += 1
    return f"{name}-{number}"
