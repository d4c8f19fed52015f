import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from handful.background import Background, JoinedBackground
from handful.errors import EmbeddingError, HeadError
from handful.tensors import pack


def embeddings(count=40, dimension=6, seed=0):
    X = np.random.default_rng(seed).normal(0.3, 1, (count, dimension))
    return X / np.linalg.norm(X, axis=1, keepdims=True)


def background(**changes):
    fields = {"mean": np.array([0.5, 0.25]), "covariance": np.array([[0.2, 0.05], [0.05, 0.1]]), "count": 9}
    return Background(**{**fields, **changes})


def test_mean_and_covariance_are_numpys():
    X = embeddings()
    found = Background.fit(X)
    assert found.count == 40
    assert found.dimension == 6
    assert_allclose(found.mean, X.mean(axis=0), atol=1e-6)
    assert_allclose(found.covariance, np.cov(X.T), atol=1e-6)


def test_pictures_are_brought_to_length_one_first():
    X = embeddings()
    scaled = Background.fit(X * np.arange(1, 41)[:, None])
    assert_allclose(scaled.covariance, Background.fit(X).covariance, atol=1e-6)


def test_anchors_survive_the_round_trip_and_are_part_of_the_fingerprint():
    W = np.random.default_rng(1).standard_normal((5, 6))
    plain, anchored = Background.fit(embeddings()), Background.fit(embeddings(), anchors=W)
    again = Background.from_bytes(anchored.to_bytes())
    assert_array_equal(again.anchors, anchored.anchors)
    assert again.fingerprint == anchored.fingerprint != plain.fingerprint
    assert plain.anchors is None
    assert Background.fit(embeddings(), anchors=2 * W).fingerprint == anchored.fingerprint  # directions


def test_rows_are_drawn_towards_the_anchors_that_they_are_near():
    W = np.random.default_rng(1).standard_normal((5, 6))
    X = embeddings(4).astype(np.float32)
    found = Background.fit(embeddings(), anchors=W)
    W = W / np.linalg.norm(W, axis=1, keepdims=True)
    for x, drawn in zip(X, found.drawn(X, 0.3), strict=True):
        shares = np.exp(20 * W @ x) / np.exp(20 * W @ x).sum()
        towards = W.T @ shares
        wanted = x + 0.3 * towards / np.linalg.norm(towards)
        assert_allclose(drawn, wanted / np.linalg.norm(wanted), atol=0.01)  # the anchors' rounding
    assert found.drawn(X, 0.0) is X
    assert Background.fit(embeddings()).drawn(X, 0.3) is X


def test_two_pictures_are_enough_and_one_is_not():
    assert_allclose(Background.fit([[1, 0], [0, 1]]).covariance, [[0.5, -0.5], [-0.5, 0.5]])
    with pytest.raises(EmbeddingError, match="at least 2 pictures, got 1"):
        Background.fit([[1, 0]])
    with pytest.raises(EmbeddingError, match="row 1 of the background's pictures is zero"):
        Background.fit([[1, 0], [0, 0]])


def test_bytes_round_trip_keeps_numbers_and_fingerprint():
    first = Background.fit(embeddings(), logit_scale=55.5)
    again = Background.from_bytes(first.to_bytes())
    assert again.fingerprint == first.fingerprint
    assert again.to_bytes() == first.to_bytes()
    assert (again.count, again.logit_scale) == (40, 55.5)
    assert_array_equal(again.mean, first.mean.astype(np.float32))
    assert_array_equal(again.covariance, again.covariance.T)


def test_a_covariance_that_is_symmetric_but_for_rounding_keeps_its_fingerprint():
    uneven = background(covariance=[[0.2, 0.05], [0.05 + 4e-7, 0.1]], count=np.int64(9), logit_scale=7)
    assert Background.from_bytes(uneven.to_bytes()).fingerprint == uneven.fingerprint


def test_the_fingerprint_depends_on_every_number():
    others = [
        background(mean=np.array([0.5, 0.26])),
        background(covariance=np.diag([0.2, 0.1])),
        background(count=10),
        background(logit_scale=10.0),
    ]
    assert len({b.fingerprint for b in [background(), *others]}) == 5
    assert background().fingerprint == background().fingerprint


def test_the_bytes_hold_half_the_matrix_once():
    assert len(Background.fit(embeddings(60, 50)).to_bytes()) < 50 * 51 // 2 * 4 + 50 * 4 + 600


def test_whitening_is_the_inverse_root_of_the_shrunk_covariance():
    found = Background.fit(embeddings(), ridge=0.25)
    A = found.whitening
    P = (found.covariance * (6 / np.trace(found.covariance)) + 0.25 * np.eye(6)) / 1.25
    assert_allclose(A @ P @ A, np.eye(6), atol=1e-9)
    assert_allclose(A, A.T, atol=1e-12)
    assert_allclose(found.whitened_spread, np.trace(A @ found.covariance @ A))
    assert_allclose(background(covariance=np.zeros((2, 2))).whitening, np.eye(2))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mean": np.zeros((1, 2))}, "a mean (D,) and a covariance (D, D), not (1, 2) and (2, 2)"),
        ({"covariance": np.zeros((2, 3))}, "not (2,) and (2, 3)"),
        ({"mean": np.array([np.nan, 0])}, "not finite"),
        ({"covariance": np.full((2, 2), np.inf)}, "not finite"),
        ({"covariance": np.array([[1.0, 0.5], [0.0, 1.0]])}, "not symmetric"),
        ({"covariance": np.array([[-1.0, 0.0], [0.0, 1.0]])}, "non-negative diagonal"),
        ({"anchors": np.ones((3, 4))}, "anchors are rows (K, 2), not (3, 4)"),
        ({"anchors": np.ones((0, 2))}, "anchors are rows (K, 2), not (0, 2)"),
        ({"anchors": np.zeros((1, 2))}, "anchor is zero or not finite"),
        ({"anchors": np.full((1, 2), np.nan)}, "anchor is zero or not finite"),
        ({"logit_scale": 0.0}, "logit_scale is a positive number, not 0.0"),
        ({"logit_scale": float("nan")}, "logit_scale is a positive number, not nan"),
    ],
)
def test_numbers_that_are_no_background_are_refused(changes, words):
    with pytest.raises(EmbeddingError) as caught:
        background(**changes)
    assert words in str(caught.value)


def packed(mean, covariance, **settings):
    arrays = {
        "mean": np.asarray(mean, dtype=np.float32),
        "covariance": np.asarray(covariance, dtype=np.float32),
    }
    return pack("background", 1, arrays, {"count": 3, "logit_scale": 100.0, **settings})


@pytest.mark.parametrize(
    "data",
    [
        b"nothing",
        pack("head", 1, {}, {}),
        pack("background", 1, {}, {}),
        packed([0, 0], [1, 0]),
        packed([0, 0], [1, 0, 1, 1]),
        packed(0, [1]),
        packed([[0, 0]], [1]),
        packed(np.zeros(2_000_000), [1]),  # a matrix of 32 TB
        packed([0, 0], [-1, 0, 1]),
        packed([0, 0], [1, 0, 1], count="many"),
        packed([0, 0], [1, 0, 1], logit_scale=[]),
        packed([0, 0], [1, 0, 1], logit_scale=-1),
    ],
)
def test_damaged_bytes_end_in_a_head_error(data):
    with pytest.raises(HeadError, match="background"):
        Background.from_bytes(data)


# ---- of several encoders


def joined() -> JoinedBackground:
    random = np.random.default_rng(0)
    own = Background.fit(random.standard_normal((20, 3)), anchors=np.eye(3, dtype=np.float32))
    return JoinedBackground([(3, own), (2, None)])


def test_backgrounds_of_several_encoders_are_kept_and_read_as_one():
    again = Background.from_bytes(joined().to_bytes())
    assert isinstance(again, JoinedBackground)
    assert again.fingerprint == joined().fingerprint
    assert again.widths == (3, 2)
    assert again.parts[1] is None
    assert again.parts[0].fingerprint == joined().parts[0].fingerprint
    assert again.said == f"{joined().parts[0].said} and none: the shots alone"
    assert again.count == 20


def test_the_fingerprint_of_several_tells_their_widths_and_order():
    part = joined().parts[0]
    told = [
        JoinedBackground(parts).fingerprint
        for parts in (
            [(3, part), (2, None)],
            [(2, None), (3, part)],
            [(3, None), (2, None)],
            [(2, None), (3, None)],
        )
    ]
    assert len(set(told)) == 4


def test_as_one_background_parts_have_nothing_to_do_with_each_other():
    whole = joined()
    np.testing.assert_allclose(whole.covariance[:3, :3], whole.parts[0].covariance / 2)
    assert not whole.covariance[:3, 3:].any()
    np.testing.assert_allclose(whole.mean[:3], whole.parts[0].mean / np.sqrt(2))
    assert whole.anything.shape == (256, 5)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([(3, None)], "rows of 1 parts; there are 2 to 4"),
        ([(1, None)] * 5, "rows of 5 parts"),
        ([(0, None), (1, None)], "at least one, not 0"),
        ([(4, joined().parts[0]), (1, None)], "a part of 4 columns has a background of 3"),
        ([(5, joined()), (1, None)], "a part has one encoder's columns"),
    ],
)
def test_parts_that_are_none_are_refused(parts, said):
    with pytest.raises(EmbeddingError, match=said):
        JoinedBackground(parts)


@pytest.mark.parametrize(
    "parts",
    [
        "many",
        [{"width": 1, "numbers": None}] * 5,
        [{"width": 10**9, "numbers": None}, {"width": 1, "numbers": None}],
        [
            {"width": 2, "numbers": {"count": 1, "logit_scale": 1.0, "ridge": 1.0}},
            {"width": 1, "numbers": None},
        ],
        [{"width": 2}, {"width": 1}],
        [None, None],
    ],
)
def test_bytes_of_parts_that_do_not_fit_end_in_a_head_error(parts):
    with pytest.raises(HeadError, match="this background is damaged"):
        Background.from_bytes(pack("background", 2, {}, {"parts": parts}))
