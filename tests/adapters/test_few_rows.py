"""Of few rows, `auto` and `lda` decompose small matrices only; the heads are those of the whole matrices."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from handful.adapters import auto, lda

DIM = 48


def whole_spectrum(residuals, seen):
    """The formula as it is written down: of the (D, D) matrix, whatever the rows."""
    return np.linalg.eigh(residuals.T @ residuals)


def whole_precision(residuals, ridge):
    return lda._Dense(np.linalg.inv(residuals.T @ residuals + ridge * np.eye(residuals.shape[1])))


def support_of(scene, shots, views, text, background, copies, seed):
    support = scene(
        classes=len(shots), shots=shots, dim=DIM, views=views, text=text, background=background, seed=seed
    ).support
    if copies:  # the same picture taught twice: rows that span less than they count
        rows = np.concatenate([np.arange(len(support.y)), np.repeat(np.arange(len(support.y)), views)])
        support = replace(
            support.part(rows),
            ids=tuple(map(str, range(len(rows)))),
            groups=np.arange(len(rows)),
        )
    return support


def assert_same(ours, theirs, queries):
    for what in ("scores", "probabilities", "known"):
        expected = getattr(theirs, what)(queries)
        assert_allclose(getattr(ours, what)(queries), expected, atol=1e-5 * np.abs(expected).max())
    assert_allclose(ours.known_test.null, theirs.known_test.null, rtol=1e-5, atol=1e-8)
    assert_allclose(ours.scorer.centre, theirs.scorer.centre, atol=1e-8)
    assert ours.found == pytest.approx(theirs.found, rel=1e-5)


supports = given(
    shots=st.lists(st.integers(0, 6), min_size=2, max_size=8).filter(any),
    views=st.sampled_from([1, 1, 2]),
    background=st.booleans(),
    copies=st.booleans(),
    seed=st.integers(0, 1000),
)


@settings(max_examples=60, deadline=None)
@supports
def test_auto_of_few_rows_is_auto_of_the_whole_matrix(scene, fit, shots, views, background, copies, seed):
    support = support_of(scene, shots, views, "fair", background, copies, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(auto, "_spectrum", whole_spectrum)
        theirs = fit("auto", support)
    assert_same(fit("auto", support), theirs, scene(classes=4, dim=DIM, seed=99).Q)


@settings(max_examples=60, deadline=None)
@supports
def test_lda_of_few_rows_is_lda_of_the_whole_matrix(scene, fit, shots, views, background, copies, seed):
    support = support_of(scene, shots, views, "fair", background, copies, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lda, "_precision", whole_precision)
        theirs = fit("lda", support)
    assert_same(fit("lda", support), theirs, scene(classes=4, dim=DIM, seed=99).Q)


@pytest.mark.parametrize("method", ["auto", "lda"])
def test_few_rows_decompose_nothing_as_large_as_the_embedding(scene, fit, method, monkeypatch):
    support = scene(classes=10, shots=4, dim=512, background=True).support
    fit(method, support)  # the background decomposes its covariance once
    sizes = []
    for name in ("eigh", "inv", "solve", "svd", "cholesky"):
        plain = getattr(np.linalg, name)

        def noted(matrix, *given, plain=plain, **named):
            sizes.append(len(matrix))
            return plain(matrix, *given, **named)

        monkeypatch.setattr(np.linalg, name, noted)
    fit(method, support)
    assert sizes
    assert max(sizes) <= 50
