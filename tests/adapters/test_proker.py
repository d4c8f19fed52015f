from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from handful.adapters import fit_head, proker
from handful.adapters.kernel_ridge import KernelRidge
from handful.adapters.proker import ProkerOptions
from handful.adapters.training import without
from handful.errors import SupportError


def test_values_are_the_published_ones_where_shots_are_equal(scene):
    case = scene(shots=3, text="fair")
    s = case.support
    K = np.exp(-2.0 * (1 - s.X.astype(float) @ s.X.T))
    values = np.linalg.inv(K / 0.2 + np.eye(12)) @ (np.eye(4)[s.y] - s.X @ s.text.T)
    wanted = case.Q @ s.text.T + np.exp(-2.0 * (1 - case.Q @ s.X.T)) @ values
    fitted = proker.fit(s, ProkerOptions(beta=2.0, ridge=0.2))
    assert_allclose(fitted.scorer.values, values, atol=1e-5)
    assert_allclose(fitted.scorer.scores(case.Q), wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("shots", "beta", "ridge"), [(1, 3.0, 0.05), (2, 2.6, 0.05), (8, 1.66, 0.07), (20, 1.7, 0.1)]
)
def test_hyper_parameters_are_those_of_the_authors_table(scene, shots, beta, ridge):
    found = proker.fit(scene(classes=2, shots=shots).support, ProkerOptions()).found
    assert found == pytest.approx({"beta": beta, "ridge": ridge})


def test_between_the_rows_of_the_table_the_logarithm_of_the_shots_decides(scene):
    found = proker.fit(scene(classes=2, shots=(2, 6)).support, ProkerOptions()).found  # 4 on average
    assert found["beta"] == pytest.approx(1.5)
    found = proker.fit(scene(classes=2, shots=(2, 3)).support, ProkerOptions()).found
    assert found["beta"] == pytest.approx(2.6 - 1.1 * np.log2(2.5 / 2))


@given(seed=st.integers(0, 10_000), views=st.sampled_from([1, 3]), text=st.sampled_from([None, "fair"]))
def test_held_out_scores_are_those_of_a_fit_without_the_group(scene, seed, views, text):
    s = scene(shots=(1, 2, 4, 3), views=views, text=text, seed=seed).support
    if seed % 2:
        patients = np.random.default_rng(seed).integers(0, 5, len(s.y))
        s = replace(s, groups=np.unique(patients, return_inverse=True)[1].reshape(-1))
    held_out = proker.fit(s, ProkerOptions(beta=2.0, ridge=0.2)).held_out
    weights = 0.2 * s.counts[s.y] / s.counts.mean()
    prior = np.zeros((len(s.y), 4)) if s.text is None else s.X @ s.text.T
    K = np.exp(-2.0 * (1 - s.X.astype(float) @ s.X.T))
    for group in np.unique(s.groups):
        gone = s.groups == group
        kept = ~gone
        solution = np.linalg.solve(
            K[np.ix_(kept, kept)] + np.diag(weights[kept]), np.eye(4)[s.y[kept]] - prior[kept]
        )
        wanted = prior[gone] + 0.2 * K[np.ix_(gone, kept)] @ solution
        found = held_out.scores[gone]
        own = np.zeros_like(found, bool)
        own[np.arange(gone.sum()), s.y[gone]] = ~held_out.judged[gone]
        assert_allclose(found[~own], wanted[~own], atol=1e-5)


def test_adding_and_removing_a_shot_equals_refitting(scene):
    case = scene(shots=3)
    s = case.support
    head = fit_head("proker", s.X[:-1], s.y[:-1], class_count=4)
    whole = fit_head("proker", s.X, s.y, class_count=4)
    assert_allclose(head.add(s.X[-1], 3, "11").scores(case.Q), whole.scores(case.Q), atol=1e-6)
    assert_allclose(whole.remove("11").scores(case.Q), head.scores(case.Q), atol=1e-6)


def test_a_class_of_many_shots_does_not_swamp_the_others(scene):
    case = scene(shots=(40, 2, 2, 2), noise=0.5)
    answers = proker.fit(case.support, ProkerOptions()).scorer.scores(case.Q).argmax(axis=1)
    assert (answers == case.labels).mean() > 0.7


def test_a_class_without_text_is_as_near_as_the_texts_are_on_average(scene):
    case = scene(shots=4, text=(0, 1, 2))
    scorer = proker.fit(case.support, ProkerOptions()).scorer
    assert_allclose(scorer.text[3], case.support.text[:3].mean(axis=0), atol=1e-6)
    answers = scorer.scores(case.Q).argmax(axis=1)
    assert (answers[case.labels == 3] == 3).mean() > 0.5


def test_texts_count_in_the_encoders_own_scale(scene):
    s = scene(shots=2, text="fair", background=True).support
    assert s.background is not None
    halved = replace(s, background=replace(s.background, logit_scale=50.0))
    one, half = (proker.fit(x, ProkerOptions()).scorer.text for x in (s, halved))
    assert_allclose(half, one / 2, rtol=1e-6)


def test_without_any_shot_it_is_the_texts(scene):
    case = scene(shots=0, text="fair")
    head = fit_head("proker", [], [], class_count=4, text=case.support.text)
    assert_allclose(head.scores(case.Q), case.Q @ case.support.text.T, atol=1e-6)
    assert head.sharpness == 100


def test_more_rows_than_can_be_inverted_are_refused_with_what_to_do(scene, monkeypatch):
    monkeypatch.setattr(proker, "_MOST_ROWS", 10)
    with pytest.raises(SupportError, match="N is 12 rows; give at most 10, leave out"):
        proker.fit(scene(shots=3).support, ProkerOptions())


def test_reasons_are_the_shots_positive_parts_of_the_score(scene):
    s = scene(shots=4, noise=1.5).support
    head = fit_head("proker", s.X, s.y, class_count=4)
    q = scene().Q[:1]
    answer = head.scores(q).argmax()
    own = np.flatnonzero(s.y == answer)
    beta = head.found["beta"]
    parts = np.maximum(head.scorer.values[own, answer] * np.exp(-beta * (1 - s.X[own] @ q[0])), 0)
    shares = [n.share for n in head.explain(q, k=4)]
    assert_allclose(shares, np.sort(parts / parts.sum())[::-1], atol=1e-6)


def test_values_of_another_shape_are_refused(scene):
    scorer = proker.fit(scene().support, ProkerOptions()).scorer
    assert isinstance(scorer, KernelRidge)
    for whole, name in ((scorer, "values"), (scorer.compact(), "values_scales")):
        with pytest.raises(ValueError, match="do not fit"):
            KernelRidge.restore(whole.arrays() | {name: np.zeros((3, 4), "f4")}, whole.settings(), None)


def test_compact_values_keep_sums_in_which_large_numbers_cancel(scene):
    case = scene(classes=10, shots=30, dim=32, noise=1.0)
    scorer = proker.fit(case.support, ProkerOptions()).scorer
    rounded = replace(scorer, values=scorer.compact().values)
    assert not np.array_equal(rounded.values, scorer.values)
    assert_allclose(rounded.scores(case.Q), scorer.scores(case.Q), atol=5e-5)


@pytest.mark.parametrize("options", [{"beta": -1.0}, {"ridge": 0.0}])
def test_options_that_mean_nothing_are_refused(options):
    with pytest.raises(SupportError, match=r"give a number above 0, or None for the table's"):
        ProkerOptions(**options)


def test_the_group_identity_holds_for_one_group_of_all_but_one_row(scene):
    s = scene(shots=2).support
    s = replace(s, groups=np.minimum(np.arange(8), 1))
    held_out = proker.fit(s, ProkerOptions(beta=2.0, ridge=0.2)).held_out
    rest = without(s, s.groups == 1)
    k = np.exp(-2.0 * (1 - s.X[1:].astype(float) @ rest.X.T))
    wanted = 0.2 * k / (1 + 0.2) * np.eye(4)[rest.y]
    judged = held_out.judged[1:]
    assert_allclose(held_out.scores[1:][judged], wanted[judged], atol=1e-5)
