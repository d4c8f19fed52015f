from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from handful.adapters import fit_head, tip, tip_f
from handful.adapters.tip_f import KeyTraining, TipFOptions
from handful.adapters.training import deal, descend, without
from handful.errors import SupportError

LOUD = {"classes": 8, "shots": 12, "dim": 32, "noise": 2.0, "nuisance": 2.0}


@pytest.mark.parametrize("pooling", ["unit", "mean", "sum"])
@pytest.mark.parametrize("text", [None, (0, 2)])
def test_the_gradient_is_that_of_differences(scene, pooling, text):
    s = scene(shots=(3, 2, 1, 4), views=2, text=text).support
    training = KeyTraining.of(s, 2.0, 3.0, pooling, 1.3)
    rows = training.rows()
    keys = s.X.astype(np.float64)
    _, (gradient,) = training.loss_and_gradient((keys,), rows)
    random = np.random.default_rng(0)
    for _ in range(5):
        way = random.standard_normal(keys.shape)
        up, down = (training.loss_and_gradient((keys + e * way,), rows)[0] for e in (1e-5, -1e-5))
        assert (gradient * way).sum() == pytest.approx((up - down) / 2e-5, rel=1e-5, abs=1e-8)


def test_a_shot_is_trained_on_by_the_keys_of_other_groups_alone(scene):
    s = scene(shots=3, views=2).support
    training = KeyTraining.of(s, 1.0, 3.0, "unit", 1.0)
    own = s.groups == s.groups[0]
    _, (gradient,) = training.loss_and_gradient((s.X,), np.array([0]))
    assert_array_equal(gradient[own], 0)
    assert np.abs(gradient[~own]).min(axis=0).max() > 0


def test_rows_without_another_of_their_class_are_not_trained_on_unless_there_is_a_text(scene):
    assert 0 not in KeyTraining.of(scene(shots=(1, 3, 3, 3)).support, 1, 3, "unit", 1).rows()
    assert 0 in KeyTraining.of(scene(shots=(1, 3, 3, 3), text="fair").support, 1, 3, "unit", 1).rows()


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(scene):
    s = scene(**LOUD).support
    one, two, three = (
        fit_head("tip-f", s.X, s.y, class_count=8, options=TipFOptions(seed=seed)).to_bytes()
        for seed in (0, 0, 1)
    )
    assert one == two
    assert one != three


def test_training_names_more_new_pictures_rightly_where_pictures_differ_in_what_does_not_matter(scene):
    gains = []
    for seed in range(4, 7):
        case = scene(classes=8, shots=16, dim=32, noise=2.0, nuisance=1.0, seed=seed)
        fitted = tip_f.fit(case.support, TipFOptions(learning_rate=1e-2, epochs=12, batch=32))
        start = tip.fit(case.support, tip.TipOptions())
        right = [(f.scorer.scores(case.Q).argmax(axis=1) == case.labels).mean() for f in (fitted, start)]
        gains.append(right[0] - right[1])
        assert fitted.found["epochs"] > 0
    assert np.mean(gains) > 0.03


def test_left_out_shots_are_named_no_worse_than_by_the_start(scene):
    for seed in range(4):
        s = scene(classes=6, shots=4, dim=12, noise=1.5, seed=seed).support
        options = TipFOptions(learning_rate=0.3, seed=seed)  # far too large: nothing good comes of it
        fitted = tip_f.fit(s, options)
        alpha, beta = fitted.found["alpha"], fitted.found["beta"]
        folds = deal(s, 5, seed)
        hits = 0
        for fold in np.unique(folds):
            start = KeyTraining.of(without(s, folds == fold), alpha, beta, "unit", 1.0)
            scores = start.scores(start.start(0), s.X[folds == fold])
            hits += (scores.argmax(axis=1) == s.y[folds == fold]).sum()
        if fitted.found["epochs"]:
            assert (fitted.held_out.scores.argmax(axis=1) == s.y).sum() >= hits
        else:
            assert_array_equal(fitted.scorer.keys, s.X)


def test_held_out_scores_come_from_models_that_never_saw_the_row(scene):
    s = scene(**LOUD).support
    options = TipFOptions()
    fitted = tip_f.fit(s, options)
    assert fitted.found["epochs"] > 0
    temperature = tip_f.held_out_sharpness(tip.fit(s, tip.TipOptions()).held_out, s)
    folds = deal(s, 3, 0)
    inside = folds == folds[0]
    part = KeyTraining.of(
        without(s, inside), fitted.found["alpha"], fitted.found["beta"], "unit", temperature, shots=12.0
    )
    epochs = list(descend(part, options.schedule()))
    parameters = epochs[int(fitted.found["epochs"])]
    assert_allclose(fitted.held_out.scores[inside], part.scores(parameters, s.X[inside]), atol=1e-6)


def test_at_one_shot_it_is_tip(scene):
    case = scene(shots=1, text="fair")
    fitted = tip_f.fit(case.support, TipFOptions())
    start = tip.fit(case.support, tip.TipOptions())
    assert fitted.found["epochs"] == 0
    assert_array_equal(fitted.scorer.scores(case.Q), start.scorer.scores(case.Q))
    assert_array_equal(fitted.held_out.scores, start.held_out.scores)


def test_without_any_shot_it_is_the_texts(scene):
    case = scene(shots=0, text="fair")
    scores = tip_f.fit(case.support, TipFOptions()).scorer.scores(case.Q)
    assert_allclose(scores, 100 * case.Q @ case.support.text.T, atol=1e-3)


def test_a_class_of_one_shot_and_one_of_text_alone_are_trained_beside_the_others(scene):
    case = scene(classes=5, shots=(0, 1, 9, 9, 9), dim=16, text=(0, 1, 2, 3), nuisance=1.0)
    fitted = tip_f.fit(case.support, TipFOptions())
    assert np.isfinite(fitted.scorer.scores(case.Q)).all()
    assert fitted.held_out.judged[1:].all()


def test_options_are_checked_as_those_of_tip_and_of_training(scene):
    with pytest.raises(SupportError, match="pooling is 'max'"):
        TipFOptions(pooling="max")
    with pytest.raises(SupportError, match="epochs is -3"):
        replace(TipFOptions(), epochs=-3)
