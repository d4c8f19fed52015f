"""The support of a classifier: as the store keeps it, and as arrays."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handful.rows import IntArray, Rows, unit
from handful.storage.records import ClassifierRecord, ClassRecord, ShotRecord, Support

_OVERHEAD = 2000  # bytes of objects
_WIDTH_BYTES = 2  # before a shot's rows


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
    packed = [shot.rows for shot in support.shots]
    counts = [_row_count(rows) for rows in packed]
    return SupportRows(
        classifier=support.classifier,
        classes=support.classes,
        X=_unit_rows(packed),
        keys=np.repeat(np.array([shot.class_key for shot in support.shots], np.int64), counts),
        ids=_repeated((shot.id for shot in support.shots), counts),
        groups=_repeated((_group(shot) for shot in support.shots), counts),
        pictured=frozenset(shot.id for shot in support.shots if shot.blob is not None),
    )


def _unit_rows(packed: Sequence[bytes]) -> Rows:
    """(N, D) of all of them, which are as wide as the first."""
    if not packed:
        return np.zeros((0, 0), np.float32)
    width = _width(packed[0])
    halves = np.frombuffer(b"".join([rows[_WIDTH_BYTES:] for rows in packed]), "<f2").reshape(-1, width)
    return np.asarray(unit(halves.astype(np.float32)), np.float32)


def _row_count(rows: bytes) -> int:
    """V, as `packed_rows` packed them."""
    return (len(rows) - _WIDTH_BYTES) // (2 * _width(rows))


def _width(rows: bytes) -> int:
    return int.from_bytes(rows[:_WIDTH_BYTES], "little")


def unpacked_rows(rows: bytes) -> NDArray[np.float16]:
    """(V, D) as `packed_rows` packed them."""
    return np.frombuffer(rows, "<f2", offset=_WIDTH_BYTES).reshape(-1, _width(rows))


def packed_rows(X: NDArray[np.floating]) -> bytes:
    """(V, D) as a shot keeps them: D in two bytes, then halves, all little-endian."""
    return int(X.shape[1]).to_bytes(_WIDTH_BYTES, "little") + X.astype("<f2").tobytes()


def packed_each(X: NDArray[np.floating]) -> list[bytes]:
    """`packed_rows` of each row of (N, D) by itself, for less."""
    width, data = 2 * X.shape[1], X.astype("<f2").tobytes()
    first = int(X.shape[1]).to_bytes(_WIDTH_BYTES, "little")
    return [first + data[start : start + width] for start in range(0, len(data), width)]


def _group(shot: ShotRecord) -> str:
    return f"picture {shot.sha256}" if shot.group is None else f"group {shot.group}"


def _repeated(names: Iterable[str], counts: list[int]) -> tuple[str, ...]:
    return tuple(name for name, count in zip(names, counts, strict=True) for _ in range(count))
