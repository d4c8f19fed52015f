from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from handful.adapters.class_rows import ClassRows
from handful.background import Background
from handful.rows import unit


def scorer(classes=3, dim=6, seed=0, mean=0.0, centre=True, background=None):
    random = np.random.default_rng(seed)
    return ClassRows(
        rows=(mean + random.standard_normal((classes, dim))).astype(np.float32),
        offsets=random.standard_normal(classes),
        centre=random.standard_normal(dim) / 10 if centre else np.zeros(dim),
        background=background,
    )


def queries(count=8, dim=6, seed=9):
    return unit(np.random.default_rng(seed).standard_normal((count, dim))).astype(np.float32)


def background(dim=6):
    return Background.fit(np.random.default_rng(3).standard_normal((50, dim)) * np.arange(1, dim + 1))


def test_scores_are_products_with_the_centred_picture():
    s, Q = scorer(), queries()
    wanted = [[row @ (q - s.centre) + b for row, b in zip(s.rows, s.offsets, strict=True)] for q in Q]
    assert_allclose(s.scores(Q), wanted, atol=1e-5)
    assert (s.dimension, s.class_count) == (6, 3)


def test_typicality_depends_on_direction_from_the_centre_not_on_distance_or_offsets():
    s, Q = scorer(), queries()
    nearer = (s.centre + 0.2 * (Q - s.centre)).astype(np.float32)
    assert_allclose(
        s.typicality(nearer, s.scores(nearer)), s.typicality(Q, s.scores(Q)), rtol=1e-3, atol=1e-5
    )
    moved = replace(s, offsets=s.offsets + 5)
    assert_allclose(moved.typicality(Q, moved.scores(Q)), s.typicality(Q, s.scores(Q)), atol=1e-5)
    at_centre = s.centre[None].astype(np.float32)
    assert np.isfinite(s.typicality(at_centre, s.scores(at_centre))).all()


def test_lengths_are_measured_in_the_background_s_metric():
    b = background()
    s, Q = scorer(background=b), queries()
    assert s.needs_background
    assert not scorer().needs_background
    lengths = [np.linalg.norm(b.whitening @ (q - s.centre)) for q in Q]
    wanted = (s.scores(Q) - s.offsets).max(axis=1) / lengths
    assert_allclose(s.typicality(Q, s.scores(Q)), wanted, rtol=1e-5)


@pytest.mark.parametrize("metric", [None, background()])
def test_affinity_is_the_cosine_from_the_centre_and_never_negative(metric):
    s, X = scorer(background=metric), queries(20)
    A = np.eye(6) if metric is None else metric.whitening
    X[3] = -X[0]
    found = s.affinity(X[:1], X, np.array([0, 3, 5, 7, 11]))
    u = unit((X - s.centre) @ A)
    assert_allclose(found, np.maximum(u[[0, 3, 5, 7, 11]] @ u[0], 0), atol=1e-6)
    assert found[0] == pytest.approx(1)
    assert found[1] == 0
    assert_array_equal(s.affinity(s.centre[None].astype("f4"), X, np.array([1])), [0])


@given(
    seed=st.integers(0, 500), mean=st.sampled_from([0.0, 10.0]), centre=st.booleans(), compact=st.booleans()
)
def test_what_is_saved_comes_back_bit_for_bit(seed, mean, centre, compact):
    s, Q = scorer(seed=seed, mean=mean, centre=centre), queries()
    s = s.compact() if compact else s
    again = ClassRows.restore(s.arrays(), s.settings(), None)
    assert_array_equal(again.scores(Q), s.scores(Q))
    assert_array_equal(again.typicality(Q, again.scores(Q)), s.typicality(Q, s.scores(Q)))
    assert again.arrays().keys() == s.arrays().keys()


@pytest.mark.parametrize("mean", [0.0, 10.0])
def test_a_compact_scorer_is_near_whatever_rows_have_in_common(mean):
    s, Q = scorer(classes=20, dim=64, mean=mean), queries(dim=64)
    compact = s.compact()
    assert_allclose(compact.scores(Q) - compact.scores(Q)[:, :1], s.scores(Q) - s.scores(Q)[:, :1], atol=0.06)
    assert sum(a.nbytes for a in compact.arrays().values()) <= 20 * (64 + 8) + 2 * (64 + 4)


@given(seed=st.integers(0, 500), metric=st.booleans())
def test_a_rounded_centre_leaves_the_scores_alone_and_typicality_near(seed, metric):
    b = background(64) if metric else None
    s, Q = scorer(classes=9, dim=64, seed=seed, background=b), queries(dim=64)
    s = replace(s, centre=s.centre + (0 if b is None else b.mean))
    compact = s.compact()
    exact = replace(s, rows=compact.rows)  # so that the centre alone differs
    assert not np.array_equal(compact.centre, s.centre)
    assert_allclose(compact.scores(Q), exact.scores(Q), atol=1e-5)
    typical = exact.typicality(Q, exact.scores(Q))
    assert_allclose(compact.typicality(Q, compact.scores(Q)), typical, atol=0.03 * np.abs(typical).max())


def test_a_centre_at_the_background_s_mean_takes_no_bytes():
    b = background()
    s = replace(scorer(background=b), centre=b.mean)
    arrays, settings = s.compact().arrays(), s.compact().settings()
    assert "centre" not in arrays
    assert_array_equal(ClassRows.restore(arrays, settings, b).centre, b.mean)


def test_points_that_are_zero_take_no_bytes():
    assert set(scorer(centre=False).compact().arrays()) == {"rows", "rows_scales", "offsets"}
    assert set(scorer(mean=10.0).compact().arrays()) == {
        "rows",
        "rows_scales",
        "rows_centre",
        "offsets",
        "centre",
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": np.zeros(3)}, "rows has shape"),
        ({"rows": np.zeros((3, 2, 2))}, "rows has shape"),
        ({"offsets": np.zeros(2)}, "do not fit"),
        ({"offsets": np.zeros((3, 1))}, "do not fit"),
        ({"centre": np.zeros(5)}, "do not fit"),
        ({"rows_scales": np.ones(2)}, "do not fit"),
        ({"rows_scales": np.ones(3), "rows_centre": np.zeros(2)}, "do not fit"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(change, message):
    s = scorer()
    with pytest.raises(ValueError, match=message):
        ClassRows.restore(s.arrays() | change, s.settings(), None)


def test_a_background_of_another_width_is_refused():
    s = scorer()
    with pytest.raises(ValueError, match="do not fit a background of 4 columns"):
        ClassRows.restore(s.arrays(), s.settings(), background(4))


def test_a_pull_draws_pictures_to_the_anchors_first_and_is_saved():
    drawing = replace(background(), anchors=np.random.default_rng(4).standard_normal((7, 6)))
    plain, Q = scorer(background=drawing), queries()
    pulling = replace(plain, pull=0.4)
    assert_array_equal(pulling.scores(Q), plain.scores(drawing.drawn(Q, 0.4)))
    drawn = drawing.drawn(Q, 0.4)
    assert_array_equal(pulling.typicality(Q, pulling.scores(Q)), plain.typicality(drawn, plain.scores(drawn)))
    assert plain.settings() == {}
    again = ClassRows.restore(pulling.arrays(), pulling.settings(), drawing)
    assert_array_equal(again.scores(Q), pulling.scores(Q))
    with pytest.raises(ValueError, match=r"pull of 2\.0"):
        ClassRows.restore(pulling.arrays(), {"pull": 2.0}, drawing)
