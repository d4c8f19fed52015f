"""An index of an earlier head serves one of mostly the same rows."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from handful.adapters.class_rows import ClassRows
from handful.errors import RetrievalError
from handful.retrieval.head_index import HeadIndex
from handful.retrieval.marks import RowMarks


def head_of(rows: np.ndarray) -> ClassRows:
    return ClassRows(
        rows=rows.astype(np.float32), offsets=np.arange(len(rows)) / 100, centre=np.zeros(rows.shape[1])
    )


@pytest.fixture
def rows() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((200, 8))


def test_rows_are_found_again_in_any_order_and_equal_ones_once(rows: np.ndarray) -> None:
    head = head_of(rows)
    order = np.random.default_rng(1).permutation(200)
    other = replace(head, rows=head.rows[order], offsets=head.offsets[order])
    np.testing.assert_array_equal(RowMarks.of(other).places_in(RowMarks.of(head)), order)
    twice = head.among(np.array([3, 3, 5]))
    assert RowMarks.of(twice).places_in(RowMarks.of(head)).tolist() == [3, -1, 5]


@pytest.mark.parametrize("change", ["rows", "offsets", "centre"])
def test_other_numbers_are_other_marks(rows: np.ndarray, change: str) -> None:
    head = head_of(rows)
    told = getattr(head, change).copy()
    told[7] = told[7] + np.float32(0.001)
    held = RowMarks.of(replace(head, **{change: told})).places_in(RowMarks.of(head)) >= 0
    assert held.sum() == (0 if change == "centre" else 199)


def test_candidates_are_those_still_there_and_all_that_are_fresh(rows: np.ndarray, tmp_path: Path) -> None:
    head = head_of(rows)
    HeadIndex.build(head, tmp_path, threads=1).close()
    kept = np.arange(20, 200)
    fresh = head_of(np.random.default_rng(2).standard_normal((3, 8)))
    other = replace(
        head,
        rows=np.concatenate([head.rows[kept], fresh.rows]),
        offsets=np.concatenate([head.offsets[kept], fresh.offsets]),
    )
    index = HeadIndex.follow(other, tmp_path, most=20, threads=1)
    Q = np.random.default_rng(3).standard_normal((50, 8)).astype(np.float32)
    exact = other.scores(Q)
    for count in (1, 30, 500):
        found = index.candidates(Q, count)
        for row, own in zip(exact, found, strict=True):
            assert len(set(own.tolist())) == len(own) == min(count, 180) + 3
            assert own.min() >= 0
            assert own.max() < 183
            if count > 1:
                assert row.argmax() in own
    index.close()
    with pytest.raises(RetrievalError, match=r"3 are not in the index .*, 20 of its rows are gone, over 19"):
        HeadIndex.follow(other, tmp_path, most=19)
    (tmp_path / "marks.npy").write_bytes(b"no")
    with pytest.raises(RetrievalError, match="cannot be read"):
        HeadIndex.follow(other, tmp_path, most=20)
