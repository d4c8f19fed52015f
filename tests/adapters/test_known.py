import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from handful.adapters.known import KnownTest, _normal_cdf

numbers = st.floats(-100, 100).map(lambda v: round(v, 9))  # np.interp loses its way between subnormals


def fitted(values, mean=0.0, deviation=1.0):
    return KnownTest.fit(np.asarray(values, float), prior_mean=mean, prior_deviation=deviation)


def test_the_normal_distribution_is_close_to_the_error_function():
    z = np.linspace(-14, 14, 400)
    wanted = [(1 + math.erf(v / math.sqrt(2))) / 2 for v in z]
    assert_allclose(_normal_cdf(z), wanted, atol=2e-4)


def test_without_shots_the_prior_speaks_alone():
    assert_allclose(fitted([], 3.0, 2.0).p_values(np.array([3.0, -1.0])), [0.5, 0.0228], atol=2e-4)


def test_few_shots_are_mixed_with_the_prior_and_twenty_are_not():
    far = np.array([-1e6])
    for count in (1, 5, 19):
        own = count / (count + 20)
        low = fitted(np.arange(count)).p_values(far)[0]
        assert low == pytest.approx(own * 0.5 / (count + 1), abs=1e-6)
        assert low < 0.05  # unknown can be said from the first shot
    many = fitted(np.arange(20.0))
    assert many.p_values(far)[0] == pytest.approx(0.5 / 21)
    assert_allclose(many.p_values(np.array([0.0, 1e6])), [1 / 21, 1], atol=1e-6)


@given(st.lists(numbers, max_size=40), st.lists(numbers, min_size=2, max_size=20), st.booleans())
def test_p_values_lie_in_the_unit_interval_and_grow_with_typicality(null, asked, compact):
    test = fitted(null, 1.0, 3.0)
    p = (test.compact() if compact else test).p_values(np.sort(asked))
    assert ((p >= 0) & (p <= 1)).all()
    assert (np.diff(p) >= -1e-12).all()


@given(st.lists(numbers, min_size=20, max_size=60, unique=True), numbers)
def test_a_p_value_lies_between_the_ranks_that_conformal_prediction_leaves_open(null, s):
    p = fitted(null).p_values(np.array([s]))[0]
    below = sum(v < s for v in null)
    not_above = sum(v <= s for v in null)
    assert below / (len(null) + 1) - 1e-9 <= p <= (not_above + 1) / (len(null) + 1) + 1e-9


@pytest.mark.parametrize("count", [20, 60, 400])
def test_pictures_of_the_classes_are_called_unknown_as_often_as_promised(count):
    random = np.random.default_rng(0)
    rejected = [
        fitted(random.standard_normal(count)).p_values(random.standard_normal(50)) <= 0.1 for _ in range(200)
    ]
    assert 0.06 < np.mean(rejected) < 0.115


def test_a_compact_test_says_almost_the_same_and_is_kept_exactly_in_float32():
    random = np.random.default_rng(0)
    for count in (3, 30, 5000):
        test = fitted(random.standard_normal(count))
        compact = test.compact()
        assert (compact.null == compact.null.astype(np.float32)).all()
        assert len(compact.null) == min(count, 64)
        assert compact.count == count
        asked = random.standard_normal(200)
        assert_allclose(compact.p_values(asked), test.p_values(asked), atol=0.02)
