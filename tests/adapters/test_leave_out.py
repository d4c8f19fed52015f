"""Leaving out in closed form against leaving out by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from handful.adapters.leave_out import LeftOut, leave_out, sampled
from handful.adapters.support import Support

PSEUDO = 3.0


def support_of(y, groups, dim=6, seed=0):
    X = np.random.default_rng(seed).standard_normal((len(y), dim))
    return Support.checked(X, y, class_count=max(y) + 1, groups=groups)


def means_of(X, y, classes):
    return np.array([X[y == c].mean(axis=0) for c in range(classes)])


def closed_form(support: Support, prior: float) -> LeftOut:
    X, y = support.X.astype(float), support.y
    means = means_of(X, y, support.class_count)
    centre = means.sum(axis=0) / (support.class_count + PSEUDO)
    residuals = X - means[y]
    V = residuals.T @ residuals + prior * np.eye(X.shape[1])
    root = np.linalg.inv(np.linalg.cholesky(V)).T
    return leave_out((X - centre) @ root, (means - centre) @ root, support, np.arange(len(y)), PSEUDO)


def by_hand(support: Support, row: int, prior: float) -> tuple[np.ndarray, float, np.ndarray]:
    X, y = support.X.astype(float), support.y
    kept = support.groups != support.groups[row]
    means = means_of(X, y, support.class_count)
    for c in range(support.class_count):
        if (kept & (y == c)).any():
            means[c] = X[kept & (y == c)].mean(axis=0)
    centre = means.sum(axis=0) / (support.class_count + PSEUDO)
    residuals = X[kept] - means[y[kept]]
    metric = np.linalg.inv(residuals.T @ residuals + prior * np.eye(X.shape[1]))
    x, seen = X[row] - centre, means - centre
    return seen @ metric @ x, float(x @ metric @ x), ((seen @ metric) * seen).sum(axis=1)


@settings(deadline=None, max_examples=40)
@given(
    counts=st.lists(st.integers(2, 4), min_size=2, max_size=4),
    grouping=st.sampled_from(["alone", "pairs", "across classes"]),
    seed=st.integers(0, 10_000),
)
def test_leaving_out_in_closed_form_equals_leaving_out_by_hand(counts, grouping, seed):
    y = np.repeat(np.arange(len(counts)), counts)
    groups = {
        "alone": np.arange(len(y)),
        "pairs": np.arange(len(y)) // 2,
        "across classes": np.random.default_rng(seed).integers(0, len(y), len(y)),
    }[grouping]
    support = support_of(y, groups, seed=seed)
    left = closed_form(support, prior=0.7)
    for row in np.flatnonzero(support.company):
        cross, length, lengths = by_hand(support, row, prior=0.7)
        if not all((support.y[support.groups != support.groups[row]] == c).any() for c in range(len(counts))):
            continue  # a class that would be emptied keeps its mean but gives up its scatter
        assert_allclose(left.cross[row], cross, atol=1e-6)
        assert_allclose(left.rows[row], length, atol=1e-6)
        assert_allclose(left.means[row], lengths, atol=1e-6)


def test_groups_of_one_give_what_single_rows_give():
    y = np.repeat([0, 1, 2], [1, 2, 4])
    alone = support_of(y, None)
    # Two rows that share a group send the whole support the other way; they are not compared.
    paired = support_of(y, [0, 1, 2, 3, 4, 5, 5])
    a, b = closed_form(alone, 1.0), closed_form(paired, 1.0)
    assert_allclose(a.cross[:5], b.cross[:5], atol=1e-7)
    assert_allclose(a.cosines()[:5], b.cosines()[:5], atol=1e-7)


def test_a_sample_keeps_groups_whole_and_is_spread_over_the_support():
    y = np.repeat(np.arange(50), 4)
    assert_allclose(sampled(support_of(y, None), 1000), np.arange(200))
    lone = sampled(support_of(y, None), 50)
    assert len(lone) == 50
    assert lone[0] == 0
    assert lone[-1] == 199
    grouped = support_of(y, np.arange(200) // 2)
    rows = sampled(grouped, 50)
    assert 40 <= len(rows) <= 60
    assert all(np.isin(np.flatnonzero(grouped.groups == grouped.groups[row]), rows).all() for row in rows)


@pytest.mark.parametrize("groups", [None, [0, 0, 1, 1]])
def test_a_row_alone_in_its_class_leaves_the_means_as_they_are(groups):
    support = support_of([0, 0, 1, 1] if groups else [0, 1, 2, 3], groups)
    left = closed_form(support, 1.0)
    assert np.isfinite(left.cosines()).all()
