from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from handful.adapters import Head, fit_head, tip
from handful.adapters.mixture import Mixture
from handful.adapters.pooled_cache import PooledCache
from handful.adapters.tip import TipOptions
from handful.adapters.training import without
from handful.errors import SupportError

PUBLISHED = TipOptions(alpha=1.0, beta=5.5, pooling="sum")


def test_the_published_formula_can_be_had(scene):
    s = scene(text="fair", shots=(1, 4, 2, 3)).support
    Q = scene(text="fair").Q[:5]
    found = tip.fit(s, PUBLISHED).scorer.scores(Q)
    onehot = np.eye(4)[s.y]
    wanted = 100 * Q @ s.text.T + np.exp(-5.5 * (1 - Q @ s.X.T)) @ onehot
    assert_allclose(found, wanted, atol=1e-4)


def test_mean_pooling_is_the_published_form_where_shots_are_equal(scene):
    case = scene(shots=3)
    mean = tip.fit(case.support, TipOptions(alpha=1.0, beta=5.5, pooling="mean")).scorer
    assert_allclose(mean.scores(case.Q), tip.fit(case.support, PUBLISHED).scorer.scores(case.Q), rtol=1e-5)


def test_unit_pooling_is_the_cosine_to_the_class_mean_in_the_kernels_own_space(scene):
    """Features whose dot products are the kernel are the scaled eigenvectors of its Gram matrix."""
    case = scene(classes=3, shots=4, dim=3)
    beta = 1.5
    X, Q, y = case.support.X.astype(float), case.Q.astype(float), case.support.y
    gram = np.exp(beta * (np.vstack([X, Q]) @ np.vstack([X, Q]).T - 1))
    values, vectors = np.linalg.eigh(gram)
    features = vectors * np.sqrt(np.maximum(values, 0))
    means = np.stack([features[: len(X)][y == c].mean(axis=0) for c in range(3)])
    cosines = features[len(X) :] @ (means / np.linalg.norm(means, axis=1, keepdims=True)).T
    found = tip.fit(case.support, TipOptions(alpha=1.0, beta=beta)).scorer.scores(case.Q)
    assert_allclose(found / 4, cosines, atol=1e-5)  # four shots each


@given(
    seed=st.integers(0, 10_000),
    pooling=st.sampled_from(["unit", "mean", "sum"]),
    text=st.sampled_from([None, "fair", (0, 2)]),
    views=st.sampled_from([1, 2]),
)
def test_held_out_scores_are_those_of_a_cache_without_the_group(scene, seed, pooling, text, views):
    s = scene(shots=(1, 2, 4, 3), text=text, views=views, seed=seed).support
    patients = np.random.default_rng(seed).integers(0, 5, len(s.y)) if seed % 2 else s.groups
    s = replace(s, groups=np.unique(patients, return_inverse=True)[1].reshape(-1))
    cache = PooledCache.of(s, 3.0, pooling)
    mixture = Mixture.of(cache, s, 2.0)
    held_out = mixture.held_out(cache.left_out(s), s)
    for group in np.unique(s.groups):
        gone = s.groups == group
        rest = without(s, gone)
        small = replace(PooledCache.of(rest, 3.0, pooling), shots=cache.shots)
        wanted = mixture.scorer(small, rest).scores(s.X[gone])
        found = held_out.scores[gone]
        own = np.zeros_like(found, bool)
        own[np.arange(gone.sum()), s.y[gone]] = ~held_out.judged[gone]
        assert_allclose(found[~own], wanted[~own], atol=2e-3 if text else 2e-5)


def test_a_row_that_was_its_class_s_only_one_counts_as_a_tie(scene):
    held_out = tip.fit(scene(shots=(1, 3, 3, 3)).support, TipOptions()).held_out
    assert not held_out.judged[0]
    assert held_out.scores[0, 0] == held_out.scores[0, 1:].max()


def test_the_order_of_shots_does_not_matter(scene):
    case = scene(shots=(2, 5, 3, 1), text="fair")
    s, order = case.support, np.random.default_rng(1).permutation(11)
    other = replace(s, X=s.X[order], y=s.y[order], groups=s.groups[order])
    options = TipOptions(alpha=2.0, beta=3.0)
    assert_allclose(
        tip.fit(other, options).scorer.scores(case.Q), tip.fit(s, options).scorer.scores(case.Q), atol=1e-4
    )


def test_a_class_of_many_shots_does_not_swamp_the_others(scene):
    case = scene(shots=(40, 2, 2, 2), noise=0.5)
    chosen = {
        name: tip.fit(case.support, TipOptions(alpha=1.0, beta=2.0, pooling=name)).scorer.scores(case.Q)
        for name in ("sum", "mean", "unit")
    }
    right = {name: (scores.argmax(axis=1) == case.labels).mean() for name, scores in chosen.items()}
    assert right["sum"] < 0.3  # the trouble is real
    assert right["unit"] >= right["mean"] > 0.6


def test_adding_and_removing_a_shot_equals_refitting(scene):
    s = scene(shots=3).support
    head = fit_head("tip", s.X[:-1], s.y[:-1], class_count=4)
    whole = fit_head("tip", s.X, s.y, class_count=4)
    Q = scene().Q
    assert_allclose(head.add(s.X[-1], 3, "11").probabilities(Q), whole.probabilities(Q), atol=1e-6)
    assert_allclose(whole.remove("11").probabilities(Q), head.probabilities(Q), atol=1e-6)


def test_a_class_with_only_a_text_can_win_and_so_can_one_with_only_shots(scene):
    """Texts lie apart from pictures, so the two scores have to be brought together."""
    case = scene(classes=5, shots=(0, 6, 6, 6, 6), dim=24, text=(0, 1, 2, 3), noise=0.5, seed=3)
    head = fit_head("tip", case.support.X, case.support.y, class_count=5, text=case.support.text)
    answers = head.scores(case.Q).argmax(axis=1)
    assert (answers[case.labels == 0] == 0).mean() > 0.5
    assert (answers[case.labels == 4] == 4).mean() > 0.5
    assert (answers == case.labels).mean() > 0.7


@pytest.mark.parametrize("shots", [(0, 4, 0, 0), (0, 0, 0, 0)])
def test_few_or_no_classes_with_shots_still_make_a_head(scene, shots):
    case = scene(shots=shots, text="fair", background=True, dim=24, noise=0.3)
    s = case.support
    head = fit_head("tip", s.X, s.y, class_count=4, text=s.text, background=s.background)
    answers = head.probabilities(case.Q).argmax(axis=1)
    assert (answers == case.labels).mean() > 0.4  # the texts alone: a half
    assert np.isfinite(head.known(case.Q)).all()


def test_left_out_shots_weigh_the_cache_by_what_the_texts_are_worth(scene):
    found = {}
    for text in ("fair", "random"):
        s = scene(classes=12, shots=10, dim=24, noise=2.5, text=text).support
        found[text] = tip.fit(s, TipOptions(beta=3.0)).found["alpha"]
    assert found["random"] > 3 * found["fair"]


def test_given_alpha_and_beta_are_kept_and_the_other_one_chosen(scene):
    s = scene(shots=6, text="fair").support
    assert tip.fit(s, TipOptions(alpha=7.0)).found["alpha"] == 7.0
    assert tip.fit(s, TipOptions(beta=4.25)).found["beta"] == 4.25
    assert tip.fit(s, TipOptions(alpha=7.0, beta=4.25)).found == {"alpha": 7.0, "beta": 4.25}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pooling": "max"}, "pooling is 'max'; choose one of unit, mean, sum"),
        ({"alpha": 0.0}, "alpha is 0.0; give a number above 0"),
        ({"beta": float("nan")}, "beta is nan"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, message):
    with pytest.raises(SupportError, match=message):
        TipOptions(**options)


def test_reasons_are_the_shots_share_of_the_kernel_sum(scene):
    s = scene(shots=3).support
    head = fit_head("tip", s.X, s.y, class_count=4, options=PUBLISHED)
    q = scene().Q[0]
    answer = head.scores(q).argmax()
    values = np.exp(-5.5 * (1 - s.X[s.y == answer] @ q))
    shares = [n.share for n in head.explain(q, k=3)]
    assert_allclose(shares, np.sort(values / values.sum())[::-1], rtol=1e-5)


@pytest.mark.parametrize("method", ["tip", "tip-f", "proker", "clip-adapter"])
@pytest.mark.parametrize("text", [None, "fair"])
def test_heads_are_saved_exactly_and_compact_ones_answer_alike(scene, method, text):
    case = scene(classes=10, shots=6, dim=32, text=text, noise=1.0, background=True)
    s = case.support
    head = fit_head(method, s.X, s.y, class_count=10, text=s.text, background=s.background)
    compact = head.compact()
    for h in (head, compact):
        again = Head.from_bytes(h.to_bytes(), s.background)
        assert np.array_equal(again.probabilities(case.Q), h.probabilities(case.Q))
        assert again.to_bytes() == h.to_bytes()
    agree = compact.scores(case.Q).argmax(axis=1) == head.scores(case.Q).argmax(axis=1)
    assert agree.mean() >= 0.98
    assert len(compact.to_bytes()) < 0.5 * len(head.to_bytes())
