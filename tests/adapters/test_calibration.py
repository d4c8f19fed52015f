import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from handful.adapters.calibration import fit_sharpness, held_out_sharpness, log_loss, softmax
from handful.adapters.scorer import HeldOut
from handful.adapters.support import Support


def scores_and_labels(sharpness, count=4000, classes=4, seed=0):
    """Labels drawn with probabilities softmax(sharpness·scores)."""
    random = np.random.default_rng(seed)
    scores = random.standard_normal((count, classes))
    chance = softmax(sharpness * scores).cumsum(axis=1)
    return scores, (random.random((count, 1)) > chance).sum(axis=1)


def support(y, classes, groups=None, text=None):
    X = np.random.default_rng(0).standard_normal((len(y), 3))
    return Support.checked(X, y, class_count=classes, groups=groups, text=text)


def held_out(scores, judged=None):
    scores = np.asarray(scores, float)
    judged = np.ones(len(scores), bool) if judged is None else np.asarray(judged)
    return HeldOut(scores=scores, typicality=scores.max(axis=1), judged=judged)


def test_softmax_by_hand_and_without_overflow():
    assert_allclose(softmax(np.log([[1.0, 3.0]])), [[0.25, 0.75]])
    assert_allclose(softmax(np.array([[1000.0, 1000.0], [-2000.0, 0.0]])), [[0.5, 0.5], [0, 1]])


def test_log_loss_is_minus_the_log_of_softmax_and_finite():
    logits = np.array([[0.0, 2.0, -1.0], [5.0, 0.0, 0.0]])
    assert_allclose(log_loss(logits, np.array([1, 2])), -np.log(softmax(logits)[[0, 1], [1, 2]]))
    assert_allclose(log_loss(np.array([[0.0, 5000.0]]), np.array([0])), [5000.0])


@pytest.mark.parametrize("truth", [0.3, 2.0, 20.0])
@pytest.mark.parametrize("start", [0.01, 1.0, 300.0])
def test_the_sharpness_that_drew_the_labels_is_found_from_anywhere(truth, start):
    scores, y = scores_and_labels(truth)
    assert fit_sharpness(scores, y, np.ones(len(y)), start=start) == pytest.approx(truth, rel=0.15)


@given(st.integers(0, 10_000), st.floats(0, 5))
def test_sharpness_is_the_minimum_of_its_loss(seed, prior):
    """Against a fine grid of log t."""
    scores, y = scores_and_labels(1.5, count=30, seed=seed)
    random = np.random.default_rng(seed)
    weights, offsets = random.random(30) + 0.1, random.standard_normal(4)

    def loss(t):
        return weights @ log_loss(t * scores + offsets, y) + prior * np.log(t / 2.0) ** 2 / 2

    found = fit_sharpness(scores, y, weights, start=2.0, prior=prior, offsets=offsets)
    assert loss(found) <= min(loss(t) for t in np.geomspace(1e-3, 1e3, 400)) + 1e-3 * weights.sum()


def test_sharpness_stays_finite_where_every_answer_is_right_or_every_one_wrong():
    scores = 10 * np.eye(3)
    right = fit_sharpness(scores, np.arange(3), np.ones(3), prior=2.0, start=1.0)
    wrong = fit_sharpness(scores, np.array([1, 2, 0]), np.ones(3), prior=2.0, start=1.0)
    assert 0 < wrong < 1 < right < 10
    assert np.isfinite(fit_sharpness(scores, np.arange(3), np.ones(3)))


def test_without_shots_or_with_one_class_there_is_nothing_to_sharpen():
    s = support([0, 1], 2)
    assert held_out_sharpness(None, s) == 1.0
    assert held_out_sharpness(held_out([[1.0], [2.0]]), support([0, 0], 1)) == 1.0


def test_one_shot_each_is_anchored_to_the_spread_of_wrong_classes():
    scores = np.array([[9.0, 1, 2], [3, 9, 1], [4, 1, 9]])
    s = support([0, 1, 2], 3)
    wrong = [1, 2, 3, 1, 4, 1]
    found = held_out_sharpness(held_out(scores, judged=[False] * 3), s)
    assert found == pytest.approx(1.5 / np.std(wrong))


def test_two_classes_of_one_shot_are_anchored_to_the_whole_head_s_margin():
    s = support([0, 1], 2)
    alike = held_out([[0.6, 0.6], [0.6, 0.6 + 1e-12]], judged=[False, False])
    assert held_out_sharpness(alike, s, np.array([[1.0, 0.6], [0.6, 1.0]])) == pytest.approx(10 / 0.4)
    assert held_out_sharpness(alike, s) == 1.0
    assert held_out_sharpness(alike, s, np.full((2, 2), 0.6)) == 1.0  # one picture in both classes


@given(st.integers(0, 1000), st.floats(0.01, 100))
def test_sharpness_undoes_the_scale_of_scores(seed, scale):
    scores, y = scores_and_labels(2.0, count=12, classes=3, seed=seed)
    s = support(np.concatenate([y, [0, 1, 2]]), 3)
    scores = np.concatenate([scores, np.eye(3)])
    one, other = (held_out_sharpness(held_out(k * scores), s) for k in (1, scale))
    assert other == pytest.approx(one / scale, rel=1e-3)


def test_few_shots_learn_a_sharper_head_than_left_out_ones_show():
    """1 + 3.4/n̄³, with n̄ groups, not rows, in classes with two or more and no text."""
    scores = np.random.default_rng(0).standard_normal((8, 3))
    y = [0, 0, 0, 0, 1, 1, 1, 1]

    def ratio(**more):
        text = more.pop("text", [[0, 0, 0], [0, 0, 0], [1, 0, 0]])
        return held_out_sharpness(held_out(scores), support(y, 3, text=text, **more))

    texts = ratio(text=np.eye(3))
    assert ratio() / texts == pytest.approx(1 + 3.4 / 64)
    assert ratio(groups=[0, 0, 1, 1, 2, 2, 3, 3]) / texts == pytest.approx(1 + 3.4 / 8)
    assert ratio(groups=[0, 0, 0, 0, 1, 2, 3, 4]) / texts == pytest.approx(1 + 3.4 / 64)
    assert ratio(groups=[0, 0, 0, 0, 1, 1, 1, 1]) / texts == pytest.approx(1)


def test_of_very_many_left_out_rows_an_even_sample_says_as_much(monkeypatch):
    scores, y = scores_and_labels(3.0, count=3000)
    found = []
    for most in (10**9, 4 * 1000):
        monkeypatch.setattr("handful.adapters.calibration._MOST_SCORES", most)
        found.append(held_out_sharpness(held_out(scores), support(y, 4)))
    assert found[0] != found[1]
    assert found[1] == pytest.approx(found[0], rel=0.15)
