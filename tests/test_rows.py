import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal

from handful.errors import EmbeddingError
from handful.rows import as_rows, unit


def error_of(X, **options):
    with pytest.raises(EmbeddingError) as caught:
        as_rows(X, **options)
    return str(caught.value)


@given(hnp.arrays(np.float64, (4, 3), elements=st.floats(0.001, 1e6)), st.floats(1e-3, 1e3))
def test_rows_have_length_one_and_their_scale_does_not_matter(X, scale):
    rows = as_rows(X)
    assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    assert_allclose(as_rows(X * scale), rows, atol=1e-6)
    assert_allclose(as_rows(rows), rows, atol=1e-7)


@pytest.mark.parametrize(
    "X", [[[3, 4]], np.array([[3, 4]], dtype=object), np.float16([[3, 4]]), [3, 4], ((3, 4),)]
)
def test_numbers_of_every_kind_become_float32_rows(X):
    rows = as_rows(X)
    assert rows.dtype == np.float32
    assert_allclose(rows, [[0.6, 0.8]])


def test_tiny_and_huge_rows_keep_their_direction():
    assert_allclose(as_rows([[3e-30, 4e-30], [3e30, 4e30]]), [[0.6, 0.8]] * 2, rtol=1e-6)


def test_no_rows_are_rows_too():
    assert as_rows(np.zeros((0, 5))).shape == (0, 5)


@pytest.mark.parametrize(
    ("X", "words"),
    [
        ("abc", "X is not a matrix of numbers"),
        ([["1", "2"]], "X is not a matrix of numbers"),
        ([[1, 2], [3]], "X is not a matrix of numbers"),
        (np.array([[1 + 2j]]), "X is not a matrix of numbers"),
        ([[None, 1]], "row 0 of X is not finite"),
        (np.zeros((2, 3, 4)), "X has shape (2, 3, 4); embeddings are (N, D)"),
        (np.zeros((2, 0)), "X has shape (2, 0)"),
        ([[1, 0], [0, 0]], "row 1 of X is zero; an embedding is a finite vector of non-zero length"),
        ([[np.inf, 0]], "row 0 of X is not finite"),
        ([[1, 0], [np.nan, 0]], "row 1 of X is not finite"),
        (np.array([[1e300, 0]]), "row 0 of X is not finite"),
    ],
)
def test_what_is_no_embedding_is_named(X, words):
    assert words in error_of(X)


def test_the_width_is_checked_and_the_name_is_used():
    assert "the text prior has 3 columns, not 4; use embeddings of one encoder" in error_of(
        np.ones((2, 3)), name="the text prior", dimension=4
    )
    assert as_rows(np.ones((2, 3)), dimension=3).shape == (2, 3)


def test_unit_leaves_rows_of_zeros_and_keeps_the_type():
    for kind in (np.float32, np.float64):
        found = unit(np.array([[0, 0], [0, -2]], dtype=kind))
        assert found.dtype == kind
        assert_array_equal(found, [[0, 0], [0, -1]])
