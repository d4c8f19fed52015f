from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from handful.adapters import fit_head, prototype
from handful.adapters.prototype import PrototypeOptions
from handful.adapters.training import without


def fitted(support):
    return prototype.fit(support, PrototypeOptions())


def test_scores_are_cosines_with_class_means(scene):
    case = scene(shots=(1, 3, 2, 5))
    s = case.support
    means = np.stack([s.X[s.y == c].mean(axis=0) for c in range(4)])
    wanted = case.Q @ (means / np.linalg.norm(means, axis=1, keepdims=True)).T
    assert_allclose(fitted(s).scorer.scores(case.Q), wanted, atol=1e-6)


def test_worked_by_hand():
    head = fit_head("prototype", [[1, 0], [0, 1], [-1, 0]], [0, 0, 1], class_count=2)
    assert_allclose(head.scores([0, 2]), [[np.sqrt(0.5), 0]], atol=1e-6)


def test_a_class_without_shots_is_its_text_and_with_shots_its_shots(scene):
    case = scene(shots=(0, 2, 2, 0), text="fair")
    rows = fitted(case.support).scorer.rows
    assert_allclose(rows[[0, 3]], case.support.text[[0, 3]], atol=1e-6)
    bare = fitted(scene(shots=(2, 2, 2, 2), text="fair").support).scorer.rows
    assert_array_equal(bare, fitted(scene(shots=(2, 2, 2, 2)).support).scorer.rows)


@given(seed=st.integers(0, 10_000), text=st.booleans(), views=st.sampled_from([1, 2]))
def test_left_out_scores_are_those_of_a_head_without_the_group(scene, seed, text, views):
    """A brute-force twin: refit without each group, and ask for its rows."""
    s = scene(shots=(1, 2, 4, 3), text="fair" if text else None, views=views, seed=seed).support
    patients = np.random.default_rng(seed).integers(0, 5, len(s.y)) if seed % 2 else s.groups
    s = replace(s, groups=np.unique(patients, return_inverse=True)[1].reshape(-1))
    found = fitted(s).held_out
    for group in np.unique(s.groups):
        gone = s.groups == group
        rest = without(s, gone)
        emptied = (rest.counts == 0) & (s.counts > 0)
        twin = fitted(rest).scorer
        wanted = s.X[gone].astype(float) @ twin.rows.T
        compare = np.broadcast_to(~emptied, wanted.shape)
        assert_allclose(found.scores[gone][compare], wanted[compare], atol=1e-6)
        assert_array_equal(found.judged[gone], ~emptied[s.y[gone]])


def test_a_lone_row_neither_wins_nor_loses(scene):
    held_out = fitted(scene(shots=(1, 3, 3, 3)).support).held_out
    assert held_out.judged.tolist() == [False] + [True] * 9
    assert held_out.scores[0, 0] == held_out.scores[0, 1:].max()
    assert_array_equal(held_out.typicality, held_out.scores.max(axis=1))


def test_without_shots_nothing_is_left_out(scene):
    assert fitted(scene(shots=0, text="fair").support).held_out is None
