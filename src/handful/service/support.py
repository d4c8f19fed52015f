"""The support of a classifier: as the store keeps it, and as arrays."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handful.rows import IntArray, Rows, unit
from handful.storage.records import ClassifierRecord, ClassRecord, ShotRecord, Support

_OVERHEAD = 2000  # bytes of objects


@dataclass(frozen=True, slots=True, kw_only=True)
class SupportRows:
    """What closed-form heads are made of, as arrays.

    X : (N, D) a row per view.    keys : (N,) class of each row.    ids : (N,) shot of each row.
    groups : (N,) name or None.    classes : by key.    pictured : ids of shots whose picture is kept.
    """

    classifier: ClassifierRecord
    classes: tuple[ClassRecord, ...]
    X: Rows
    keys: IntArray
    ids: tuple[str, ...]
    groups: tuple[str, ...]
    pictured: frozenset[str]

    def places(self, classes: Sequence[ClassRecord]) -> IntArray:
        """(N,) where each row's class stands among `classes`, which are by key."""
        return np.searchsorted([one.key for one in classes], self.keys)

    @property
    def nbytes(self) -> int:
        """About what it takes in memory."""
        return self.X.nbytes + 300 * len(self.ids) + _OVERHEAD


def support_rows(support: Support) -> SupportRows:
    """Arrays of what the store keeps."""
    per_shot = [_rows_of(shot) for shot in support.shots]
    counts = [len(X) for X in per_shot]
    return SupportRows(
        classifier=support.classifier,
        classes=support.classes,
        X=np.concatenate(per_shot) if per_shot else np.zeros((0, 0), np.float32),
        keys=np.repeat(np.array([shot.class_key for shot in support.shots], np.int64), counts),
        ids=_repeated((shot.id for shot in support.shots), counts),
        groups=_repeated((_group(shot) for shot in support.shots), counts),
        pictured=frozenset(shot.id for shot in support.shots if shot.blob is not None),
    )


def _rows_of(shot: ShotRecord) -> Rows:
    return np.asarray(unit(unpacked_rows(shot.rows).astype(np.float32)), np.float32)


def unpacked_rows(rows: bytes) -> NDArray[np.float16]:
    """(V, D) as `packed_rows` packed them."""
    width = int.from_bytes(rows[:2], "little")
    return np.frombuffer(rows, "<f2", offset=2).reshape(-1, width)


def packed_rows(X: NDArray[np.floating]) -> bytes:
    """(V, D) as a shot keeps them: D in two bytes, then halves, all little-endian."""
    return int(X.shape[1]).to_bytes(2, "little") + X.astype("<f2").tobytes()


def _group(shot: ShotRecord) -> str:
    return f"picture {shot.sha256}" if shot.group is None else f"group {shot.group}"


def _repeated(names: Iterable[str], counts: list[int]) -> tuple[str, ...]:
    return tuple(name for name, count in zip(names, counts, strict=True) for _ in range(count))
