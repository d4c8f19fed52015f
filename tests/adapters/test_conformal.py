import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from handful.adapters import fit_head
from handful.adapters.conformal import ConformalSets
from handful.errors import SupportError


def fitted(count, seed=0):
    return ConformalSets.fit(np.random.default_rng(seed).random(count))


@pytest.mark.parametrize(
    ("count", "coverage", "needed", "most"),
    [
        (0, 0.9, 9, "0"),
        (8, 0.9, 9, "0.889"),
        (18, 0.95, 19, "0.947"),
        (98, 0.99, 99, "0.99"),
        (1, 0.8, 4, "0.5"),
    ],
)
def test_too_few_shots_are_named_with_what_would_do(count, coverage, needed, most):
    with pytest.raises(SupportError) as caught:
        fitted(count).sets(np.ones((1, 2)) / 2, coverage)
    assert f"a coverage of {coverage:g} needs {needed} shots" in str(caught.value)
    assert f"there are {count}; add shots, or ask for at most {most}" in str(caught.value)
    fitted(needed).sets(np.ones((1, 2)) / 2, coverage)


@pytest.mark.parametrize("coverage", [0, 1, -0.1, 90, float("nan")])
def test_coverage_is_a_share(coverage):
    with pytest.raises(SupportError, match="give a share between 0 and 1, such as"):
        fitted(50).sets(np.ones((1, 2)) / 2, coverage)


@given(st.integers(1, 60), st.floats(0.05, 0.95), st.integers(0, 1000))
def test_the_limit_is_the_rank_that_the_promise_asks_for(count, coverage, seed):
    """Against a search: the least limit that (N + 1)·coverage left-out shots do not exceed."""
    sets = fitted(count, seed)
    rank = next((r for r in range(1, count + 1) if r >= (count + 1) * coverage - 1e-9), None)
    if rank is None:
        with pytest.raises(SupportError):
            sets.sets(np.ones((1, 1)), coverage)
        return
    limit = sorted(sets.nonconformity)[rank - 1]
    probabilities = 1 - np.array([[limit - 1e-6, limit, limit + 1e-6]])
    assert sets.sets(probabilities, coverage).tolist() == [[True, True, False]]


@given(st.integers(20, 3000), st.integers(0, 100), st.sampled_from([0.5, 0.8, 0.9]))
def test_compact_sets_are_kept_in_float32_and_never_smaller(count, seed, coverage):
    sets = fitted(count, seed)
    compact = sets.compact()
    assert len(compact.nonconformity) == min(count, 512)
    assert_array_equal(compact.nonconformity, compact.nonconformity.astype(np.float32))
    p = np.random.default_rng(seed + 1).random((50, 4))
    before, after = sets.sets(p, coverage), compact.sets(p, coverage)
    assert (after >= before).all()
    assert (after != before).mean() < 0.05


@pytest.mark.parametrize("method", ["prototype", "tip"])
@pytest.mark.parametrize("coverage", [0.7, 0.9])
def test_sets_hold_the_truth_about_as_often_as_promised(scene, method, coverage):
    held, sizes = [], []
    for seed in range(12):
        case = scene(classes=5, shots=12, dim=16, noise=1.6, seed=seed)
        s = case.support
        head = fit_head(method, s.X, s.y, class_count=5)
        sets = head.conformal_set(case.Q, coverage)
        held.append(sets[np.arange(len(sets)), case.labels].mean())
        sizes.append(sets.sum(axis=1).mean())
    assert coverage - 0.05 < np.mean(held) < coverage + 0.07
    assert np.mean(sizes) < 4  # not by naming all five


def test_a_larger_coverage_gives_no_smaller_sets(scene):
    case = scene(classes=5, shots=12, dim=16, noise=1.6)
    head = fit_head("prototype", case.support.X, case.support.y, class_count=5)
    sizes = [head.conformal_set(case.Q, c).sum() for c in (0.5, 0.7, 0.9, 0.95)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]


def test_shots_without_another_of_their_class_do_not_count(scene):
    case = scene(classes=4, shots=(1, 1, 5, 4))
    head = fit_head("prototype", case.support.X, case.support.y, class_count=4)
    with pytest.raises(SupportError, match="needs 19 shots of classes with two or more, and there are 9"):
        head.conformal_set(case.Q, 0.95)
    head.conformal_set(case.Q, 0.9)
