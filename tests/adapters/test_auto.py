"""The one rule: what it must never do, and what it must gain."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from handful.adapters import Head, auto


def accuracy(head, made):
    return (head.scores(made.Q).argmax(axis=1) == made.labels).mean()


def mean_accuracy(scene, fit, method, seeds=8, **given):
    scores = []
    for seed in range(seeds):
        made = scene(seed=seed, **given)
        scores.append(accuracy(fit(method, made.support), made))
    return float(np.mean(scores))


@pytest.mark.parametrize("shots", [2, 6])
def test_a_direction_of_nuisance_is_learnt_and_left_aside(scene, fit, shots):
    given = {"classes": 6, "shots": shots, "dim": 24, "nuisance": 1.0, "background": True}
    assert mean_accuracy(scene, fit, "auto", **given) > mean_accuracy(scene, fit, "prototype", **given) + 0.03


@pytest.mark.parametrize(("shots", "price"), [(1, 0.03), (4, 0.02), (8, 0.01)])
def test_a_text_that_says_nothing_costs_little(scene, fit, shots, price):
    given = {"classes": 8, "shots": shots, "dim": 32, "background": True}
    without = mean_accuracy(scene, fit, "auto", seeds=12, **given)
    assert mean_accuracy(scene, fit, "auto", seeds=12, text="random", **given) > without - price


def test_a_fair_text_gains_most_where_shots_are_few(scene, fit):
    def gain(shots):
        given = {"classes": 8, "shots": shots, "dim": 32, "background": True, "noise": 1.0}
        with_text = mean_accuracy(scene, fit, "auto", text="fair", **given)
        return with_text - mean_accuracy(scene, fit, "auto", **given)

    assert gain(1) > 0.05
    assert gain(1) > gain(8)


def test_the_texts_weight_follows_from_how_well_it_names_the_shots(scene, fit):
    given = {"classes": 24, "shots": 2, "dim": 32, "background": True, "noise": 1.5}
    fair = fit("auto", scene(text="fair", **given).support)
    said_nothing = fit("auto", scene(text="random", **given).support)
    assert fair.found["text_weight"] > 3 * said_nothing.found["text_weight"]
    assert fit("auto", scene(**given).support).found["text_weight"] == 0


def test_left_out_cosines_come_from_heads_fitted_without_the_shot(scene, fit):
    """The null of `known` is what a left-out shot would have looked like, up to the shrinking of rows."""
    made = scene(classes=5, shots=6, dim=16, background=True)
    head = fit("auto", made.support)
    refitted = []
    for row in range(30):
        kept = np.arange(30) != row
        support = made.support.part(np.flatnonzero(kept))
        smaller = fit("auto", support)
        x = made.support.X[row : row + 1]
        refitted.append(smaller.scorer.typicality(x, smaller.scorer.scores(x))[0])
    ours = head.known_test.null
    assert np.corrcoef(np.sort(refitted), ours)[0, 1] > 0.95


@pytest.mark.parametrize("noise", [0.5, 1.0, 1.5])
def test_probabilities_of_one_shot_are_near_the_truth(scene, fit, noise):
    gaps = []
    for seed in range(6):
        made = scene(classes=10, shots=1, dim=256, noise=noise, background=True, seed=seed)
        head = fit("auto", made.support)
        gaps.append(head.probabilities(made.Q).max(axis=1).mean() - accuracy(head, made))
    assert abs(np.mean(gaps)) < 0.25


def test_known_rejects_from_the_first_shot_on(scene, fit):
    made = scene(classes=6, shots=1, dim=512, noise=0.7, background=True)
    head = fit("auto", made.support)
    strangers = scene(classes=20, shots=1, dim=512, noise=0.7, seed=0).support.X[6:]
    assert (head.known(strangers) < 0.05).mean() >= 0.1
    assert (head.known(made.Q) < 0.05).mean() <= 0.1


def test_unequal_shots_do_not_swamp_the_small_classes(scene, fit):
    given = {"classes": 4, "shots": [1, 1, 16, 16], "dim": 16, "background": True, "noise": 0.8}
    recall = []
    for seed in range(8):
        made = scene(seed=seed, **given)
        answers = fit("auto", made.support).scores(made.Q).argmax(axis=1)
        recall.append((answers[made.labels < 2] == made.labels[made.labels < 2]).mean())
    assert np.mean(recall) > 0.5


def test_a_large_support_is_judged_by_a_sample(scene, fit, monkeypatch):
    made = scene(classes=10, shots=8, dim=16, background=True)
    whole = fit("auto", made.support)
    monkeypatch.setattr(auto, "_MOST_LEFT_OUT", 400)
    sampled = fit("auto", made.support)
    assert sampled.known_test.count == 40
    assert whole.known_test.count == 80
    assert accuracy(sampled, made) > accuracy(whole, made) - 0.05
    assert_allclose(sampled.probabilities(made.Q).sum(axis=1), 1)


def test_words_alone_are_zero_shot(scene, fit):
    made = scene(classes=4, shots=0, dim=16, text="fair", background=True)
    assert_allclose(fit("auto", made.support).scores(made.Q), fit("zero-shot", made.support).scores(made.Q))


def anchored(made, pull_to=9):
    """The scene's support with a background that has anchors."""
    anchors = np.random.default_rng(2).standard_normal((pull_to, made.support.dimension))
    return replace(made.support, background=replace(made.support.background, anchors=anchors))


def test_shots_and_queries_are_drawn_to_the_anchors_alike(scene, fit):
    made = scene(background=True)
    support = anchored(made)
    head = fit("auto", support)
    pull = head.scorer.pull
    assert pull > 0
    assert fit("auto", made.support).scorer.settings() == {}
    # The same as a fit on rows that were drawn before, with nothing left to draw.
    before = fit("auto", replace(made.support, X=support.background.drawn(support.X, pull)))
    assert_allclose(head.scores(made.Q), before.scores(support.background.drawn(made.Q, pull)), atol=1e-5)


def test_a_drawn_head_grows_and_is_read_again(scene, fit):
    made = scene(background=True)
    support = anchored(made)
    head = fit("auto", support)
    grown = head.add(made.Q[0], int(made.labels[0]), "more")
    assert_allclose(grown.scores(made.Q), fit("auto", grown.support).scores(made.Q), atol=1e-4)
    compact = Head.from_bytes(head.compact().to_bytes(), support.background)
    assert_allclose(compact.probabilities(made.Q), head.probabilities(made.Q), atol=0.02)


def test_texts_that_name_the_shots_wrongly_weigh_next_to_nothing(scene, fit):
    made = scene(classes=8, dim=32, shots=1, text="fair", background=True)
    swapped = replace(made.support, text=np.roll(made.support.text, 1, axis=0))
    weights = [fit("auto", support).found["text_weight"] for support in (made.support, swapped)]
    assert weights[0] > 2
    assert weights[1] < 0.01
