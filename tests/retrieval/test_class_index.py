"""Against a twin that looks at every row, and against itself built anew."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from handful.errors import RetrievalError
from handful.retrieval import ClassIndex

Matrix = NDArray[np.float32]
MANY = 6000  # more than are looked at one by one
ROUNDING = 0.01


def classes(count: int, dimension: int = 48, seed: int = 0) -> Matrix:
    """Unit rows around a few hundred centres, in directions that count for less and less."""
    rng = np.random.default_rng(seed)
    spread = (0.97 ** np.arange(dimension)).astype(np.float32)
    centres = rng.standard_normal((max(count // 20, 1), dimension), np.float32)
    rows = centres[rng.integers(len(centres), size=count)]
    rows = (rows + 0.6 * rng.standard_normal(rows.shape, np.float32)) * spread + 0.5
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def shots(rows: Matrix, count: int, seed: int = 1) -> Matrix:
    """Queries near rows."""
    rng = np.random.default_rng(seed)
    near = rows[rng.integers(len(rows), size=count)]
    return np.asarray(near + 0.05 * rng.standard_normal(near.shape), np.float32)


def exactly(Q: Matrix, rows: Matrix, k: int) -> tuple[NDArray[np.int64], Matrix]:
    scores = Q @ rows.T
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(scores, order, axis=1)


@pytest.fixture(scope="module")
def many() -> Matrix:
    return classes(MANY)


@pytest.fixture(scope="module")
def built(many: Matrix, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of three segments; only read."""
    folder = tmp_path_factory.mktemp("index")
    ClassIndex.build(many, folder, segment_rows=2500, threads=1).close()
    return folder


@pytest.fixture
def index(built: Path, tmp_path: Path) -> Iterator[ClassIndex]:
    with ClassIndex.open(shutil.copytree(built, tmp_path / "index"), threads=2) as index:
        yield index


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_few_rows_are_found_as_a_look_at_each_finds_them(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    count, dimension = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 6))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    rows = rng.standard_normal((count, dimension), np.float32) * 10.0 ** data.draw(st.integers(-3, 3))
    Q = rng.standard_normal((3, dimension), np.float32)
    k = data.draw(st.integers(1, 50))
    gone = data.draw(st.sets(st.integers(0, count - 1)))
    with ClassIndex.build(
        rows.astype(np.float32), tmp_path_factory.mktemp("few"), segment_rows=17, threads=1
    ) as index:
        assert index.remove(sorted(gone)) == len(gone)
        positions, scores = index.search(Q, k)
        kept = index.rows(np.arange(count))
    left = np.setdiff1d(np.arange(count), sorted(gone))
    assert positions.shape == scores.shape == (3, min(k, len(left)))
    assert np.abs(kept - rows).max() <= np.abs(rows).max() / 100
    wanted = (Q @ kept.T)[:, left]
    np.testing.assert_allclose(
        scores, -np.sort(-wanted, axis=1)[:, :k], rtol=1e-4, atol=1e-5 * np.abs(rows).max()
    )
    for own, said, q in zip(positions, scores, Q, strict=True):
        assert len(set(own.tolist())) == len(own)
        np.testing.assert_allclose(kept[own] @ q, said, rtol=1e-4, atol=1e-5 * np.abs(rows).max())


def test_many_rows_are_found_nearly_always_and_scored_exactly(built: Path, many: Matrix) -> None:
    Q = shots(many, 400)
    truth, best = exactly(Q, many, 10)
    with ClassIndex.open(built, threads=2) as index:
        positions, scores = index.search(Q, 10)
        assert len(index) == MANY
        assert index.dimension == 48
    assert (positions[:, 0] == truth[:, 0]).mean() >= 0.99
    assert np.mean([len(np.intersect1d(a, b)) for a, b in zip(positions, truth, strict=True)]) >= 9.8
    own = np.take_along_axis(Q @ many.T, positions, axis=1)
    np.testing.assert_allclose(scores, own, atol=ROUNDING)
    np.testing.assert_allclose(scores[:, 0], best[:, 0], atol=ROUNDING)
    assert (np.diff(scores, axis=1) <= 0).all()


def test_one_query_is_answered_as_among_others(built: Path, many: Matrix) -> None:
    Q = shots(many, 70)
    with ClassIndex.open(built, threads=2) as index:
        together = index.search(Q, 7)
        alone = [index.search(q[None], 7) for q in Q]
    np.testing.assert_array_equal(together[0], np.concatenate([positions for positions, _ in alone]))
    np.testing.assert_allclose(together[1], np.concatenate([scores for _, scores in alone]), atol=1e-5)


def test_a_thousand_rows_can_be_asked_for(built: Path, many: Matrix) -> None:
    with ClassIndex.open(built, threads=1) as index:
        positions, _ = index.search(shots(many, 2), 1000)
        everything, _ = index.search(shots(many, 1), 10 * MANY)
    assert [len(set(own.tolist())) for own in positions] == [1000, 1000]
    assert set(everything[0].tolist()) == set(range(MANY))


def test_blocks_and_slices_give_the_same_rows_as_an_array(many: Matrix, tmp_path: Path) -> None:
    class Made:
        shape = many.shape

        def __getitem__(self, part: slice) -> Matrix:
            return many[part]

    Q = shots(many, 50)
    ways = {"array": many, "blocks": np.array_split(many, 9), "made": Made()}
    said = {}
    for name, rows in ways.items():
        with ClassIndex.build(rows, tmp_path / name, segment_rows=MANY, threads=1) as index:
            said[name] = index.search(Q, 3)
    for name in ("blocks", "made"):
        np.testing.assert_array_equal(said[name][0], said["array"][0])
        np.testing.assert_array_equal(said[name][1], said["array"][1])


def test_rows_added_are_found_at_once_as_if_they_had_been_built_in(index: ClassIndex, many: Matrix) -> None:
    more = classes(1500, seed=5)
    given = np.concatenate([index.add(more[:1]), index.add(more[1:700]), index.add(more[700:])])
    np.testing.assert_array_equal(given, MANY + np.arange(1500))
    assert len(index) == index.positions == MANY + 1500
    whole = np.concatenate([many, more])
    Q = np.concatenate([shots(many, 200), shots(more, 200)])
    positions, scores = index.search(Q, 5)
    truth, _ = exactly(Q, whole, 5)
    assert (positions[:, 0] == truth[:, 0]).mean() >= 0.99
    np.testing.assert_allclose(scores, np.take_along_axis(Q @ whole.T, positions, axis=1), atol=ROUNDING)
    assert (index.search(more, 1)[0][:, 0] == given).mean() >= 0.998


def test_rows_added_to_few_are_all_looked_at(tmp_path: Path) -> None:
    rows = classes(300, 8)
    with ClassIndex.build(rows[:50], tmp_path / "grown", threads=1) as grown:
        grown.add(rows[50:])
        with ClassIndex.build(rows, tmp_path / "whole", threads=1) as whole:
            Q = shots(rows, 40)
            np.testing.assert_array_equal(grown.search(Q, 1)[0], whole.search(Q, 1)[0])


def test_rows_removed_are_found_no_more(index: ClassIndex, many: Matrix) -> None:
    Q = shots(many, 100)
    first, _ = index.search(Q, 3)
    assert index.remove(first[:, :2].ravel()) == len(np.unique(first[:, :2]))
    assert index.remove(first[0, :2]) == 0
    positions, _ = index.search(Q, 3)
    assert not np.isin(positions, first[:, :2]).any()
    left = np.setdiff1d(np.arange(MANY), first[:, :2])
    truth, _ = exactly(Q, index.rows(left), 1)
    assert (positions[:, 0] == left[truth[:, 0]]).mean() >= 0.99
    assert len(index) == len(left)
    assert index.add(many[:1]).tolist() == [MANY]


def test_where_all_that_is_near_was_removed_the_rest_is_looked_at(index: ClassIndex, many: Matrix) -> None:
    q = many[:1]
    order, _ = exactly(q, many, MANY)
    index.remove(order[0, :-3])
    positions, scores = index.search(q, 5)
    assert positions.tolist() == [order[0, -3:].tolist()]
    np.testing.assert_allclose(scores[0], many[order[0, -3:]] @ q[0], atol=ROUNDING)
    index.remove(order[0, -3:])
    assert index.search(q, 5)[0].shape == (1, 0)


def test_what_was_saved_is_there_again_and_the_rest_is_not(index: ClassIndex, tmp_path: Path) -> None:
    more = classes(30, seed=6)
    index.add(more)
    index.remove([0, 17, MANY + 3])
    index.save()
    index.add(more)
    index.remove([1])
    with ClassIndex.open(tmp_path / "index", threads=1) as again:
        assert (len(again), again.positions) == (MANY + 27, MANY + 30)
        again.verify()
        Q = shots(more, 20)
        assert not np.isin(again.search(Q, 50)[0], [0, 17, MANY + 3]).any()
        np.testing.assert_array_equal(again.rows([MANY + 4]), index.rows([MANY + 4]))
    assert len(index) == MANY + 56


def test_many_small_savings_leave_few_files_and_every_row_in_its_place(tmp_path: Path) -> None:
    rows = classes(5000)
    with ClassIndex.build(rows[:4200], tmp_path, segment_rows=4200, threads=1) as index:
        for at in range(4200, 5000, 40):
            index.add(rows[at : at + 40])
            index.save()
        np.testing.assert_allclose(index.rows(np.arange(5000)), rows, atol=ROUNDING)
    with ClassIndex.open(tmp_path, threads=1) as again:
        np.testing.assert_allclose(again.rows(np.arange(5000)), rows, atol=ROUNDING)
        found, _ = again.search(rows[4200:], 1)
        assert (found[:, 0] == np.arange(4200, 5000)).mean() >= 0.99
    assert len(list(tmp_path.glob("values-*"))) <= 7


def test_searches_beside_additions_removals_and_savings_see_whole_rows(
    index: ClassIndex, many: Matrix
) -> None:
    more = classes(3000, seed=8)
    whole = np.concatenate([many, more])
    Q = shots(many, 8)
    over, failed = Event(), []

    def ask() -> None:
        while not over.is_set():
            positions, scores = index.search(Q, 5)
            own = np.take_along_axis(Q @ whole.T, positions, axis=1)
            if np.abs(scores - own).max() > ROUNDING:
                failed.append((positions, scores))

    asking = [Thread(target=ask) for _ in range(2)]
    for one in asking:
        one.start()
    try:
        for at in range(0, 3000, 300):
            assert index.add(more[at : at + 300])[0] == MANY + at
            index.remove(np.arange(at, at + 20))
            if at % 900 == 0:
                index.save()
    finally:
        over.set()
        for one in asking:
            one.join()
    assert not failed
    assert len(index) == MANY + 3000 - 200
    found, _ = index.search(more, 1)
    assert (found[:, 0] == MANY + np.arange(3000)).mean() >= 0.99


def test_what_does_not_fit_is_said(index: ClassIndex, tmp_path: Path) -> None:
    with pytest.raises(RetrievalError, match=r"rows of an index are numbers \(n, 48\), not float64 of shape"):
        index.search(np.zeros((1, 7)), 1)
    with pytest.raises(RetrievalError, match="row 1 holds numbers that are not finite"):
        index.add(np.array([[0.0] * 48, [np.nan] * 48]))
    with pytest.raises(RetrievalError, match="k is 0"):
        index.search(np.zeros((1, 48)), 0)
    with pytest.raises(
        RetrievalError, match="there is no position 6000; the index gave those from 0 to 5999"
    ):
        index.remove([MANY])
    with pytest.raises(RetrievalError, match="positions are whole numbers"):
        index.remove([0.5])
    with pytest.raises(RetrievalError, match="there are no rows to build an index of"):
        ClassIndex.build([], tmp_path / "none")
    with pytest.raises(RetrievalError, match="there are no rows to build an index of"):
        ClassIndex.build(np.zeros((0, 4), np.float32), tmp_path / "none")
    with pytest.raises(RetrievalError, match="segment_rows is 0"):
        ClassIndex.build(np.zeros((2, 4), np.float32), tmp_path / "none", segment_rows=0)
    assert index.search(np.zeros((0, 48)), 3)[0].shape == (0, 3)


def test_equal_rows_and_columns_that_never_differ_are_no_trouble(tmp_path: Path) -> None:
    rows = np.ones((MANY, 4), np.float32)
    with ClassIndex.build(rows, tmp_path, threads=1) as index:
        positions, scores = index.search(rows[:1], 3)
        assert len(set(positions[0].tolist())) == 3
        np.testing.assert_allclose(scores, 4.0, atol=ROUNDING)
