import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from handful.adapters.class_rows import ClassRows
from handful.adapters.known_prior import typicality_without_shots
from handful.adapters.support import Support
from handful.background import Background
from handful.rows import unit


def plane_scorer(dim):
    """Typicality: the first column."""
    return ClassRows(rows=np.eye(1, dim, dtype="f4"), offsets=np.zeros(1), centre=np.zeros(dim))


def test_without_a_background_pictures_of_anything_lie_in_all_directions():
    s = Support.checked(np.eye(1, 100), [0], class_count=1)
    mean, deviation = typicality_without_shots(plane_scorer(100), s)
    assert deviation == pytest.approx(0.1, rel=0.15)  # a column of a random unit row: 1/√D
    assert mean == pytest.approx(2 * deviation, abs=0.02)


def test_with_a_background_they_look_as_it_says():
    random = np.random.default_rng(0)
    X = unit(np.array([3.0, 0, 0, 0]) + random.standard_normal((4000, 4)))
    s = Support.checked(np.eye(1, 4), [0], class_count=1, background=Background.fit(X))
    mean, deviation = typicality_without_shots(plane_scorer(4), s)
    drawn = unit(random.multivariate_normal(X.mean(axis=0), np.cov(X.T), 20_000))[:, 0]
    assert deviation == pytest.approx(drawn.std(), rel=0.15)
    assert mean - 2 * deviation == pytest.approx(drawn.mean(), abs=0.02)


def test_pictures_of_anything_are_drawn_once_as_unit_rows_of_the_background_s_shape():
    X = unit(np.array([2.0, 0, 0]) + np.random.default_rng(0).standard_normal((500, 3)) * [0.1, 0.5, 0.02])
    b = Background.fit(X)
    assert b.anything is b.anything
    assert_array_equal(b.anything, Background.fit(X).anything)
    assert_allclose(np.linalg.norm(b.anything, axis=1), 1, atol=1e-6)
    assert_allclose(np.cov(b.anything.T), b.covariance, atol=0.01)
    assert_allclose(b.anything.mean(axis=0), b.mean, atol=0.03)


def test_a_background_of_one_point_leaves_a_deviation_above_nothing():
    b = Background(mean=np.array([1.0, 0]), covariance=np.zeros((2, 2)), count=2)
    s = Support.checked(np.eye(1, 2), [0], class_count=1, background=b)
    mean, deviation = typicality_without_shots(plane_scorer(2), s)
    assert deviation == 1e-6
    assert mean == pytest.approx(1, abs=1e-5)
    nothing = Background(mean=np.zeros(2), covariance=np.zeros((2, 2)), count=2)
    assert np.isfinite(nothing.anything).all()
