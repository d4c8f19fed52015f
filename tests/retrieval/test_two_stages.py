"""A head of many classes, by candidates and by a look at each class."""

from pathlib import Path

import numpy as np
import pytest

from handful import Background, Head, fit_head
from handful.errors import HeadError, RetrievalError
from handful.retrieval.head_index import HeadIndex, SearchedRows
from handful.retrieval.two_stages import TwoStages
from handful.rows import Rows, unit

CLASSES, DIMENSION = 6000, 40
RNG = np.random.default_rng(0)
FALL = (0.95 ** np.arange(DIMENSION)).astype(np.float32)


def scattered(count: int, seed: int) -> Rows:
    drawn = np.random.default_rng(seed).standard_normal((count, DIMENSION), np.float32)
    return np.asarray(unit(drawn * FALL + 0.7 * FALL), np.float32)


CENTRES = scattered(CLASSES, 1)
BACKGROUND = Background.fit(scattered(3000, 2))
SHOTS = np.asarray(unit(CENTRES + 0.05 * RNG.standard_normal(CENTRES.shape, np.float32)), np.float32)
Q = np.asarray(unit(CENTRES[::15] + 0.05 * RNG.standard_normal((400, DIMENSION), np.float32)), np.float32)


def head(method: str, background: Background | None) -> Head:
    return fit_head(method, SHOTS, np.arange(CLASSES), class_count=CLASSES, background=background).compact()


@pytest.fixture(scope="module", params=["prototype", "auto", "auto without background"])
def stages(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TwoStages:
    method = request.param.split()[0]
    made = head(method, None if " " in request.param else BACKGROUND)
    assert made.class_rows is not None
    return TwoStages(made, HeadIndex.build(made.class_rows, tmp_path_factory.mktemp("index"), threads=1))


def test_inner_products_of_searched_rows_are_the_scores(stages: TwoStages) -> None:
    assert stages.head.class_rows is not None
    rows = SearchedRows(stages.head.class_rows)
    products = rows.queries(Q) @ rows[0 : rows.shape[0]].T
    scores = stages.head.scores(Q)
    np.testing.assert_allclose(products, scores, atol=1e-3 * np.abs(scores).max())


def test_the_best_classes_are_found_and_scored_exactly(stages: TwoStages) -> None:
    exact = stages.head.judged(Q)
    places, said = stages.judged(Q, 5)
    assert places.shape == said.scores.shape == said.probabilities.shape == (400, 256)
    np.testing.assert_allclose(
        said.scores, np.take_along_axis(exact.scores, places, axis=1), atol=1e-4 * np.abs(exact.scores).max()
    )
    best = np.take_along_axis(places, said.scores.argmax(axis=1)[:, None], axis=1)[:, 0]
    agree = best == exact.scores.argmax(axis=1)
    assert agree.mean() >= 0.99
    np.testing.assert_allclose(said.known[agree], exact.known[agree], atol=0.02)


def test_probabilities_are_over_all_classes(stages: TwoStages) -> None:
    exact = stages.head.judged(Q)
    places, said = stages.judged(Q, 5)
    expected = np.take_along_axis(exact.probabilities, places, axis=1)
    assert (said.probabilities.sum(axis=1) <= 1 + 1e-9).all()
    assert np.abs(said.probabilities - expected).max() < 0.05
    assert abs((said.probabilities - expected).sum(axis=1).mean()) < 0.01


def test_as_many_candidates_are_looked_at_as_are_asked_for(stages: TwoStages) -> None:
    places, _ = stages.judged(Q[:2], 1000)
    assert [len(set(own)) for own in places.tolist()] == [2000, 2000]


def test_the_index_of_another_head_is_refused(stages: TwoStages, tmp_path: Path) -> None:
    rows = stages.head.class_rows
    assert rows is not None
    few = rows.among(np.arange(50))
    HeadIndex.build(few, tmp_path, threads=1).close()
    with pytest.raises(RetrievalError, match="an index of 50 rows of 41 columns does not fit a head of 6000"):
        HeadIndex.open(rows, tmp_path)


def test_a_head_of_fewer_classes_says_the_same_of_them() -> None:
    made = head("auto", BACKGROUND)
    chosen = np.array([5, 17, 4000])
    np.testing.assert_allclose(made.among(chosen).scores(Q), made.scores(Q)[:, chosen], atol=1e-5)
    np.testing.assert_allclose(made.among(chosen).probabilities(Q).sum(axis=1), 1)


def test_a_head_of_shots_has_no_class_rows() -> None:
    tip = fit_head("tip", SHOTS[:3], np.arange(3), class_count=3)
    assert tip.class_rows is None
    with pytest.raises(HeadError, match="a head of 'tip' compares with shots"):
        tip.among(np.arange(2))
