"""The measures, against scikit-learn, paper and brute force."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix, f1_score, log_loss, roc_auc_score

from handful.evaluation.metrics import (
    Estimate,
    accuracy,
    auroc,
    bootstrap,
    bootstrap_pair,
    confusion,
    expected_calibration_error,
    fpr95,
    macro_f1,
    negative_log_likelihood,
    over_seeds,
    paired_difference,
    paired_shares,
    share,
    student_t,
)

scores = st.lists(st.integers(-5, 5), min_size=1, max_size=30).map(lambda values: np.array(values, float))


@pytest.fixture
def answered():
    """200 pictures of 5 classes, a class never asked for, with probabilities that are often wrong."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, 200)
    logits = rng.normal(size=(200, 5)) + 1.5 * np.eye(5)[y]
    p = np.exp(logits)
    return y, p / p.sum(axis=1, keepdims=True)


def test_macro_f1_is_that_of_scikit_learn(answered):
    y, p = answered
    assert_allclose(macro_f1(y, p.argmax(1)), f1_score(y, p.argmax(1), average="macro"))


def test_macro_f1_passes_over_classes_that_nobody_spoke_of():
    assert macro_f1(np.array([0, 5]), np.array([0, 5])) == 1.0


def test_log_loss_is_that_of_scikit_learn(answered):
    y, p = answered
    assert_allclose(negative_log_likelihood(y, p), log_loss(y, p, labels=range(5)))


def test_a_wrong_answer_given_with_certainty_costs_a_bounded_loss():
    loss = negative_log_likelihood(np.array([1]), np.array([[1.0, 0.0]]))
    assert_allclose(loss, -np.log(1e-12))


def test_confusion_is_that_of_scikit_learn(answered):
    y, p = answered
    assert (confusion(y, p.argmax(1), 5) == confusion_matrix(y, p.argmax(1), labels=range(5))).all()


def test_calibration_error_is_the_weighted_gap_of_each_bin(answered):
    y, p = answered
    confidence, right = p.max(1), p.argmax(1) == y
    expected = 0.0
    for b in range(15):
        inside = (confidence > b / 15) & (confidence <= (b + 1) / 15)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert_allclose(expected_calibration_error(y, p), expected)


def test_calibration_error_worked_out_on_paper():
    p = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.4, 0.6]])
    # 0.9 twice, right once: gap 0.4, weight ½; 0.6 twice, right twice: gap 0.4, weight ½
    assert_allclose(expected_calibration_error(np.array([0, 1, 0, 1]), p), 0.4)


@given(scores, scores)
def test_auroc_is_that_of_scikit_learn_ties_included(known, foreign):
    truth = np.r_[np.ones(len(known)), np.zeros(len(foreign))]
    assert_allclose(auroc(known, foreign), roc_auc_score(truth, np.r_[known, foreign]))


@given(scores, scores)
def test_auroc_of_the_two_sides_adds_up_to_one(known, foreign):
    assert_allclose(auroc(known, foreign) + auroc(foreign, known), 1)


@given(scores, scores)
def test_fpr95_is_what_trying_every_threshold_finds(known, foreign):
    kept = [t for t in np.unique(known) if np.mean(known >= t) >= 0.95]
    assert fpr95(known, foreign) == np.mean(foreign >= max(kept))


def test_measures_of_nothing_are_not_a_number():
    nothing, none = np.zeros(0), np.zeros(0, int)
    assert np.isnan([accuracy(none, none), macro_f1(none, none), auroc(nothing, nothing)]).all()
    assert np.isnan([fpr95(np.ones(2), nothing), negative_log_likelihood(none, np.zeros((0, 2)))]).all()
    assert np.isnan([expected_calibration_error(none, np.zeros((0, 2))), share(none > 0).value]).all()
    assert f"{over_seeds([np.nan]):.1%}" == "–"


@pytest.mark.parametrize(
    ("freedom", "t"), [(1, 12.706), (2, 4.303), (3, 3.182), (9, 2.262), (30, 2.042), (120, 1.980)]
)
def test_students_t_is_that_of_the_printed_tables(freedom, t):
    assert_allclose(student_t(freedom), t, atol=6e-4)


def test_the_interval_over_seeds_worked_out_on_paper():
    found = over_seeds([0.7, 0.8, 0.9, np.nan])  # mean 0.8, deviation 0.1, t(2) = 4.303, √3
    half = 4.302653 * 0.1 / np.sqrt(3)
    assert_allclose([found.value, found.low, found.high], [0.8, 0.8 - half, 0.8 + half], rtol=1e-6)


def test_one_seed_has_no_interval():
    assert f"{over_seeds([0.5]):.0%}" == "50%"
    assert over_seeds([0.5]).as_dict() == {"value": 0.5, "low": None, "high": None}


def test_a_constant_lead_has_no_spread_however_the_seeds_differ():
    ours = np.array([0.5, 0.9, 0.7])
    found = paired_difference(ours, ours - 0.125)
    assert_allclose([found.value, found.low, found.high], 0.125)


def test_intervals_over_seeds_hold_the_truth_about_95_times_in_100():
    rng = np.random.default_rng(0)
    found = [over_seeds(rng.normal(0.3, 1, 5)) for _ in range(2000)]
    held = np.mean([e.low <= 0.3 <= e.high for e in found])
    assert 0.93 < held < 0.97


def test_a_share_has_wilsons_interval():
    found = share(np.arange(10) < 8)  # Newcombe 1998: 8 of 10
    assert_allclose([found.value, found.low, found.high], [0.8, 0.4902, 0.9433], atol=1e-4)


def test_a_share_of_all_is_not_certain():
    found = share(np.ones(6, bool))
    assert found.value == found.high == 1.0
    assert 0.6 < found.low < 0.62


def test_the_bootstrap_interval_of_a_mean_is_near_the_normal_one():
    values = np.random.default_rng(0).normal(size=400)
    found = bootstrap(lambda rows: float(values[rows].mean()), 400)
    half = 1.96 * values.std() / 20
    assert_allclose([found.low, found.high], [values.mean() - half, values.mean() + half], atol=0.02)


def test_a_bootstrap_of_one_picture_has_no_interval():
    assert np.isnan(bootstrap(lambda rows: 1.0, 1).low)


def test_the_bootstrap_of_a_pair_holds_its_value():
    rng = np.random.default_rng(0)
    found = bootstrap_pair(auroc, rng.normal(1, 1, 80), rng.normal(0, 1, 60))
    assert found.low < found.value < found.high < 1


def test_an_estimate_prints_its_interval_in_the_format_asked_for():
    assert f"{Estimate(0.912, 0.9, 0.93):.2f}" == "0.91 [0.90, 0.93]"


def test_a_paired_interval_begins_above_nothing_just_where_mcnemars_exact_test_is_sure():
    for wins, losses in ((5, 0), (6, 0), (9, 1), (10, 2), (12, 2), (40, 20), (40, 25)):
        ours = np.array([True] * wins + [False] * losses + [True] * 7)
        theirs = np.array([False] * wins + [True] * losses + [True] * 7)
        found = paired_shares(ours, theirs)
        assert found.value == pytest.approx((wins - losses) / len(ours))
        assert found.low <= found.value <= found.high
        p = binomtest(wins, wins + losses).pvalue
        assert (found.low > 0) == (p < 0.05), (wins, losses, p, found)
        ends = binomtest(wins, wins + losses).proportion_ci(method="exact")
        scale = (wins + losses) / len(ours)
        assert (found.low, found.high) == pytest.approx(
            ((2 * ends.low - 1) * scale, (2 * ends.high - 1) * scale), abs=1e-9
        )


def test_pairs_that_never_differ_may_still_do_so_once():
    same = np.ones(20, bool)
    found = paired_shares(same, same)
    assert (found.value, found.high) == (0, pytest.approx(0.168, abs=1e-3))
    assert found.low == -found.high
    assert np.isnan(paired_shares(same[:0], same[:0]).value)
