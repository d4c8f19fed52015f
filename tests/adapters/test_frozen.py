"""Single classes are made anew by a head's own statistics, as all of its classes were."""

from dataclasses import replace

import numpy as np
import pytest

from handful.adapters.frozen import ClassShots
from handful.adapters.head import Head, fit_head
from handful.background import Background
from handful.errors import HeadError, SupportError
from handful.rows import unit

CLASSES, DIMENSION = 40, 24
METHODS = ("auto", "lda", "prototype")


@pytest.fixture(scope="module")
def data():
    """Shots, one to four to a class, labels, texts of all classes, and the background of others."""
    rng = np.random.default_rng(3)
    centres = rng.standard_normal((CLASSES, DIMENSION)) + 0.5
    y = np.repeat(np.arange(CLASSES), rng.integers(1, 5, CLASSES))
    X = unit(centres[y] + 0.5 * rng.standard_normal((len(y), DIMENSION))).astype(np.float32)
    text = unit(centres + rng.standard_normal(centres.shape)).astype(np.float32)
    background = Background.fit(rng.standard_normal((600, DIMENSION)) * np.linspace(0.5, 2, DIMENSION))
    return X, y, text, background


def fitted(method, data, *, text=True, background=True, shown=CLASSES):
    X, y, words, other = data
    kept = y < shown
    return fit_head(
        method,
        X[kept],
        y[kept],
        class_count=CLASSES if shown < CLASSES else shown,
        text=words if text else None,
        background=other if background else None,
    )


@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("text", [True, False])
@pytest.mark.parametrize("method", METHODS)
def test_a_class_made_anew_is_as_it_was_when_all_were_fitted(method, text, background, data):
    X, y, words, other = data
    whole = fitted(method, data, text=text, background=background)
    frozen = whole.freeze()
    own = ClassShots(X=X, y=y, text=words if text else np.zeros_like(words))
    rows, offsets = frozen.rows(own, other if background else None, whole.scorer.pull)
    np.testing.assert_allclose(rows, whole.scorer.rows, atol=2e-4 * np.abs(whole.scorer.rows).max())
    if method != "auto":  # whose offsets tell hubs apart, which one class by itself says nothing of
        expected = whole.scorer.offsets
        np.testing.assert_allclose(offsets, expected, atol=2e-4 * max(np.abs(expected).max(), 1))


@pytest.mark.parametrize("method", METHODS)
def test_classes_without_shots_are_their_words(method, data):
    _, _, words, other = data
    whole = fitted(method, data, shown=CLASSES - 5)
    empty = ClassShots(X=np.zeros((0, DIMENSION), np.float32), y=np.zeros(0, int), text=words[-5:])
    rows, _ = whole.freeze().rows(empty, other, whole.scorer.pull)
    expected = whole.scorer.rows[-5:]
    np.testing.assert_allclose(rows, expected, atol=2e-4 * np.abs(expected).max())


@pytest.mark.parametrize("method", METHODS)
def test_other_classes_keep_their_scores_and_new_ones_get_those_of_their_shots(method, data):
    X, y, words, other = data
    head = fitted(method, data).compact(frozen=True)
    kept = np.array([5, 3, 7, -1, -1])  # the two new ones are classes 9 and 11 again
    own = np.flatnonzero((y == 9) | (y == 11))
    shots = ClassShots(X=X[own], y=(y[own] == 11).astype(int), text=words[[9, 11]])
    changed = head.with_classes(kept, shots)
    np.testing.assert_array_equal(changed.scorer.rows[:3], head.scorer.rows[[5, 3, 7]])
    np.testing.assert_array_equal(changed.scorer.offsets[:3], head.scorer.offsets[[5, 3, 7]])
    np.testing.assert_allclose(changed.scores(X)[:, :3], head.scores(X)[:, [5, 3, 7]], rtol=1e-6)
    scale = np.abs(head.scores(X)).max()
    if method != "auto":
        np.testing.assert_allclose(changed.scores(X)[:, 3:], head.scores(X)[:, [9, 11]], atol=0.01 * scale)
    again = Head.from_bytes(changed.to_bytes(), other)
    np.testing.assert_array_equal(again.scores(X), changed.scores(X))
    twice = again.with_classes(np.array([0, 1, 2, -1, -1]), shots)
    np.testing.assert_array_equal(twice.scores(X), changed.scores(X))
    assert (again.sharpness, again.known_test.count) == (head.sharpness, head.known_test.count)


def test_a_head_without_statistics_says_so(data):
    head = fitted("lda", data).compact()
    shots = ClassShots(X=data[0][:1], y=np.zeros(1, int), text=np.zeros((1, DIMENSION), np.float32))
    with pytest.raises(HeadError, match="keeps no statistics"):
        head.with_classes(np.array([-1]), shots)
    assert replace(head, frozen=None).to_bytes() == head.to_bytes()


@pytest.mark.parametrize("method", ["lda", "prototype"])
def test_left_out_scores_of_a_sample_are_those_of_all(method, data, monkeypatch):
    from handful.adapters import lda, prototype

    whole = fitted(method, data)
    monkeypatch.setattr({"lda": lda, "prototype": prototype}[method], "_MOST_LEFT_OUT", 30 * CLASSES)
    part = fitted(method, data)
    np.testing.assert_allclose(
        part.scorer.rows / np.linalg.norm(part.scorer.rows),
        whole.scorer.rows / np.linalg.norm(whole.scorer.rows),
        atol=0.02,
    )
    assert part.sharpness == pytest.approx(whole.sharpness, rel=0.5)


@pytest.mark.parametrize("method", ["tip", "tip-f", "proker", "clip-adapter"])
def test_methods_that_compare_with_shots_refuse_very_many(method):
    count = 30_000
    X = np.random.default_rng(0).standard_normal((count, 4)).astype(np.float32)
    with pytest.raises(SupportError, match="choose 'auto', 'lda' or 'prototype'"):
        fit_head(method, X, np.arange(count), class_count=count)
