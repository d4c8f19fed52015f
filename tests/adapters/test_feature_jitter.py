"""Augmentation of embeddings."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from handful.adapters import fit_head
from handful.adapters.clip_adapter import BottleneckTraining, ClipAdapterOptions
from handful.adapters.feature_jitter import JITTERS, FeatureJitter
from handful.adapters.tip_f import KeyTraining, TipFOptions
from handful.errors import SupportError
from handful.rows import unit

KINDS = [kind for kind in JITTERS if kind != "none"]
LOUD = {"classes": 8, "shots": 12, "dim": 32, "noise": 2.0, "nuisance": 2.0}
OPTIONS = {"tip-f": TipFOptions, "clip-adapter": ClipAdapterOptions}


def rows(count=50, dim=16, seed=0):
    return unit(np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32) + 0.5)


def shaken(X, kind, strength, seed=0):
    return FeatureJitter.of(X, kind=kind, strength=strength)(X, np.random.default_rng(seed))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_drawn_depends_on_the_seed_alone_and_rows_stay_unit(kind):
    X = rows()
    one, two, three = (shaken(X, kind, 0.5, seed) for seed in (0, 0, 1))
    assert_array_equal(one, two)
    assert np.abs(one - three).max() > 1e-3
    assert_allclose(np.linalg.norm(one, axis=1), 1, atol=1e-6)
    assert one.dtype == np.float32


@pytest.mark.parametrize("kind", KINDS)
def test_more_strength_changes_more_and_none_nothing_that_can_be_seen(kind):
    X = rows()
    cosines = [float((shaken(X, kind, strength) * X).sum(axis=1).mean()) for strength in (0.0, 0.3, 0.6, 1.0)]
    assert cosines[0] > 0.9999  # 8 bits a channel are not to be told from all
    assert cosines == sorted(cosines, reverse=True)
    assert cosines[-1] < cosines[0] - 0.02


def test_brightness_is_the_papers_formula():
    X = rows(3, 4)
    low, high = X.min(axis=0), X.max(axis=0)
    drawn = np.random.default_rng(5).random((3, 4))
    expected = low + (high - low) * np.clip((X - low) / (high - low) + 0.4 * (2 * drawn - 1), 0, 1)
    assert_allclose(shaken(X, "brightness", 0.4, seed=5), unit(expected), atol=1e-6)


def test_contrast_keeps_a_rows_mean_where_nothing_leaves_the_scale():
    X = rows(40, 64)
    jitter = FeatureJitter.of(X, kind="contrast", strength=0.05)
    changed = jitter(X[:1], np.random.default_rng(1)).astype(np.float64)
    x, after = (((rows_ - jitter.low) / (jitter.high - jitter.low)) for rows_ in (X[:1], changed))
    inside = ((x > 0.1) & (x < 0.9))[0]
    factors = (after - after.mean())[0, inside] / (x - x.mean())[0, inside]
    assert factors.std() < 0.2


def test_posterise_at_its_strongest_leaves_the_ends_of_each_channel():
    class Strongest:
        def random(self, shape):
            return np.ones(shape)

    X = rows(40, 8)
    jitter = FeatureJitter.of(X, kind="posterise", strength=1.0)
    upper = (X - jitter.low) / (jitter.high - jitter.low) > 0.5
    assert_allclose(jitter(X, Strongest()), unit(np.where(upper, jitter.high, jitter.low)), atol=1e-6)


def test_channels_that_say_nothing_and_supports_of_nothing_are_left_alone():
    X = unit(np.column_stack([np.full(6, 0.5), np.random.default_rng(0).random((6, 3))]).astype(np.float32))
    flat = X.copy()
    flat[:, 0] = 0.5
    for kind in KINDS:
        assert np.isfinite(shaken(flat, kind, 1.0)).all()
    nothing = np.zeros((0, 4), np.float32)
    assert_array_equal(shaken(nothing, "brightness", 0.5), nothing)
    assert_array_equal(
        FeatureJitter.of(nothing, kind="contrast", strength=1.0)(X, np.random.default_rng(0)), X
    )


@pytest.mark.parametrize("text", [None, "fair"])
@pytest.mark.parametrize("method", OPTIONS)
def test_the_gradient_of_rows_that_look_otherwise_is_that_of_differences(scene, method, text):
    s = scene(shots=(3, 2, 4, 3), text=text).support
    if method == "tip-f":
        model = KeyTraining.of(s, 2.0, 3.0, "unit", 1.3)
        start = (s.X.astype(np.float64),)
    else:
        model = BottleneckTraining.of(s, 0.5 if text else 0.0, ClipAdapterOptions(reduction=2), 3.0)
        start = tuple(p.astype(np.float64) + 0.01 for p in model.start(0))
    some = model.rows()
    seen = shaken(s.X, "brightness", 0.4)[some]
    _, gradients = model.loss_and_gradient(start, some, seen)
    assert model.loss_and_gradient(start, some)[0] != model.loss_and_gradient(start, some, seen)[0]
    random = np.random.default_rng(0)
    ways = [random.standard_normal(p.shape) for p in start]
    up, down = (
        model.loss_and_gradient(tuple(p + e * way for p, way in zip(start, ways, strict=True)), some, seen)[0]
        for e in (1e-5, -1e-5)
    )
    slope = sum((g * way).sum() for g, way in zip(gradients, ways, strict=True))
    assert slope == pytest.approx((up - down) / 2e-5, rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("method", OPTIONS)
def test_training_with_jitter_is_the_same_for_a_seed_and_another_without(scene, method):
    s = scene(**LOUD).support
    heads = [
        fit_head(method, s.X, s.y, class_count=8, options=OPTIONS[method](epochs=4, **options))
        for options in ({"jitter": "brightness"}, {"jitter": "brightness"}, {}, {"jitter": "none"})
    ]
    bytes_ = [head.to_bytes() for head in heads]
    assert bytes_[0] == bytes_[1] != bytes_[2]
    assert_array_equal(heads[2].scores(s.X), heads[3].scores(s.X))


@pytest.mark.parametrize("method", OPTIONS)
def test_jitters_there_are_none_of_are_refused(method):
    with pytest.raises(SupportError, match="jitter is 'blur'; choose one of none, brightness, contrast"):
        OPTIONS[method](jitter="blur")
    with pytest.raises(SupportError, match=r"jitter_strength is 2; give a share between 0 and 1"):
        OPTIONS[method](jitter_strength=2)
