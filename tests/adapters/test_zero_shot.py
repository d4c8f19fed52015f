import numpy as np
import pytest
from numpy.testing import assert_allclose

from handful.adapters import fit_head
from handful.adapters.calibration import softmax
from handful.background import Background
from handful.errors import SupportError


def test_probabilities_are_clip_s_where_there_is_no_shot(scene):
    case = scene(shots=0, text="fair")
    head = fit_head("zero-shot", [], [], class_count=4, text=case.support.text)
    assert_allclose(head.scores(case.Q), 100 * case.Q @ case.support.text.T, atol=1e-4)
    assert_allclose(head.probabilities(case.Q), softmax(100 * (case.Q @ case.support.text.T)), atol=1e-4)


def test_the_encoder_s_own_scale_comes_from_its_background(scene):
    case = scene(shots=0, text="fair")
    b = Background.fit(np.random.default_rng(0).standard_normal((30, 8)), logit_scale=20.0)
    head = fit_head("zero-shot", [], [], class_count=4, text=case.support.text, background=b)
    assert_allclose(head.scores(case.Q), 20 * case.Q @ case.support.text.T, atol=1e-4)


def test_shots_change_the_temperature_and_known_but_not_the_answer(scene):
    case = scene(shots=6, text="fair", noise=2.0)
    s = case.support
    taught = fit_head("zero-shot", s.X, s.y, class_count=4, text=s.text)
    bare = fit_head("zero-shot", [], [], class_count=4, text=s.text)
    assert_allclose(taught.scores(case.Q), bare.scores(case.Q))
    assert taught.sharpness != bare.sharpness
    loss = [-np.log(h.probabilities(case.Q)[np.arange(80), case.labels]).mean() for h in (taught, bare)]
    assert loss[0] < loss[1]
    assert taught.known_test.count == 24
    assert taught.conformal_set(case.Q).any(axis=1).mean() > 0.5


@pytest.mark.parametrize(("text", "missing"), [(None, 0), ((0, 1, 3), 2)])
def test_each_class_needs_a_text(scene, text, missing):
    s = scene(text=text).support
    with pytest.raises(
        SupportError, match=f"zero-shot needs a text for each class, and class {missing} has none"
    ):
        fit_head("zero-shot", s.X, s.y, class_count=4, text=s.text)
