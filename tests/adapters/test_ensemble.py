"""Heads of rows that are several encoders' side by side."""

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from handful import Background, Head, JoinedBackground, fit_head
from handful.adapters import METHODS
from handful.adapters.calibration import log_loss, softmax
from handful.adapters.ensemble import fit_weights
from handful.adapters.ensemble_scorer import Ensemble
from handful.adapters.training import watched
from handful.errors import EmbeddingError, HeadError, SupportError
from handful.rows import Rows, apart, side_by_side, unit
from handful.tensors import pack, unpack

WIDTHS = (8, 6)
CLASSES = 3


@dataclass(frozen=True)
class Seen:
    """The same pictures by two encoders: X of shots, Q of others, with classes y and labels."""

    X: tuple[Rows, Rows]
    y: np.ndarray
    Q: tuple[Rows, Rows]
    labels: np.ndarray
    text: tuple[Rows, Rows]
    background: JoinedBackground


def seen(*, shots=4, noises=(0.5, 0.5), seed=0, asked=40) -> Seen:
    random = np.random.default_rng(seed)
    y = np.repeat(np.arange(CLASSES), shots)
    labels = np.repeat(np.arange(CLASSES), asked)
    X, Q, text, parts = [], [], [], []
    for width, noise in zip(WIDTHS, noises, strict=True):
        centres = random.standard_normal((CLASSES, width)) / np.sqrt(width)

        def pictures(of, centres=centres, width=width, noise=noise):
            own = noise * random.standard_normal((len(of), width)) / np.sqrt(width)
            return np.asarray(unit(centres[of] + own), np.float32)

        X.append(pictures(y))
        Q.append(pictures(labels))
        text.append(np.asarray(unit(centres + 0.1), np.float32))
        parts.append((width, Background.fit(unit(random.standard_normal((100, width)) + 0.2))))
    return Seen(tuple(X), y, tuple(Q), labels, tuple(text), JoinedBackground(parts))


def fitted(one: Seen, method="auto", *, text=False, background=True, **more) -> Head:
    return fit_head(
        method,
        side_by_side(one.X),
        one.y,
        class_count=CLASSES,
        text=side_by_side(one.text) if text else None,
        background=one.background if background else None,
        parts=None if background else WIDTHS,
        **more,
    )


def accuracy(head: Head, Q: Rows, labels) -> float:
    return float((head.scores(Q).argmax(axis=1) == labels).mean())


# ---- what it says


@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("method", METHODS)
def test_scores_are_the_parts_scores_weighed(method, background):
    one = seen()
    head = fitted(one, method, text=True, background=background)
    assert isinstance(head.scorer, Ensemble)
    whole = np.zeros((len(one.labels), CLASSES))
    for at in range(2):
        alone = fit_head(
            method,
            one.X[at],
            one.y,
            class_count=CLASSES,
            text=one.text[at],
            background=one.background.parts[at] if background else None,
        )
        whole += head.scorer.factors[at] * alone.scores(one.Q[at])
    assert_allclose(head.scores(side_by_side(one.Q)), whole, atol=1e-3, rtol=1e-3)
    assert_allclose(head.probabilities(side_by_side(one.Q)), softmax(whole), atol=1e-3)


def test_two_encoders_that_err_apart_tell_more_than_either():
    gains = []
    for seed in range(8):
        one = seen(noises=(0.9, 0.9), shots=8, seed=seed)
        both = accuracy(fitted(one), side_by_side(one.Q), one.labels)
        alone = [
            accuracy(
                fit_head("auto", one.X[at], one.y, class_count=CLASSES, background=one.background.parts[at]),
                one.Q[at],
                one.labels,
            )
            for at in range(2)
        ]
        gains.append(both - max(alone))
    assert np.mean(gains) > 0.02


def test_a_part_that_knows_nothing_moves_the_answer_little():
    shares, losses = [], []
    for seed in range(6):
        one = seen(noises=(0.5, 30.0), shots=16, seed=seed)
        head = fitted(one)
        shares.append(head.found["part_2_share"])
        alone = fit_head("auto", one.X[0], one.y, class_count=CLASSES, background=one.background.parts[0])
        losses.append(accuracy(alone, one.Q[0], one.labels) - accuracy(head, side_by_side(one.Q), one.labels))
    assert max(shares) < 0.3
    assert np.mean(losses) < 0.02


def test_at_one_shot_both_parts_move_the_answer_alike():
    head = fitted(seen(shots=1, noises=(0.2, 2.0)))
    assert head.found["part_1_share"] == pytest.approx(0.5)
    assert head.found["part_2_share"] == pytest.approx(0.5)


def test_probabilities_are_calibrated_and_known_is_valid_on_average():
    surprise, rejected, right, sure = [], [], [], []
    for seed in range(10):
        one = seen(noises=(0.8, 0.9), shots=10, seed=seed)
        judged = fitted(one).judged(side_by_side(one.Q))
        surprise.append(log_loss(np.log(judged.probabilities), one.labels).mean())
        rejected.append((judged.known < 0.1).mean())
        right.append((judged.probabilities.argmax(axis=1) == one.labels).mean())
        sure.append(judged.probabilities.max(axis=1).mean())
    assert abs(np.mean(right) - np.mean(sure)) < 0.08
    assert 0.04 < np.mean(rejected) < 0.2


def test_strangers_are_less_known_than_pictures_of_the_classes():
    one = seen(shots=8)
    head = fitted(one)
    anything = side_by_side([part.anything for part in one.background.parts])
    assert np.median(head.known(side_by_side(one.Q))) > 3 * np.median(head.known(anything))


def test_a_part_that_knows_nothing_hardly_says_what_is_known():
    one = seen(noises=(0.3, 30.0), shots=8)
    head = fitted(one)
    assert isinstance(head.scorer, Ensemble)
    assert head.scorer.telling[1] < 0.1
    assert head.scorer.telling.sum() == pytest.approx(1)


def test_conformal_sets_hold_the_truth_as_often_as_asked():
    held = []
    for seed in range(10):
        one = seen(noises=(0.9, 0.9), shots=10, seed=seed)
        sets = fitted(one).conformal_set(side_by_side(one.Q), coverage=0.8)
        held.append(sets[np.arange(len(sets)), one.labels].mean())
    assert np.mean(held) > 0.74


def test_reasons_are_shots_of_the_answer_and_their_shares_sum_to_one():
    one = seen(shots=4)
    head = fitted(one)
    q = side_by_side(one.X)[5]
    found = head.explain(q, k=4)
    assert {near.label for near in found} == {int(head.scores(q).argmax())}
    assert found[0].shot_id == "5"
    assert sum(near.share for near in found) == pytest.approx(1)


# ---- learning more


@pytest.mark.parametrize("method", ["auto", "lda", "prototype", "tip", "proker"])
def test_a_shot_more_or_less_equals_refitting(method):
    one = seen(shots=4)
    whole = fitted(one, method)
    X = side_by_side(one.X)
    fewer = fit_head(method, X[:-1], one.y[:-1], class_count=CLASSES, background=one.background)
    Q = side_by_side(one.Q)
    assert_allclose(fewer.add(X[-1], one.y[-1], 11).judged(Q).scores, whole.scores(Q), atol=1e-6)
    assert_allclose(whole.remove(11).scores(Q), fewer.scores(Q), atol=1e-6)
    assert_allclose(whole.remove(11).known(Q), fewer.known(Q), atol=1e-6)


def test_a_support_without_a_shot_goes_by_the_texts_of_both():
    one = seen()
    head = fit_head(
        "auto",
        np.zeros((0, sum(WIDTHS))),
        [],
        class_count=CLASSES,
        text=side_by_side(one.text),
        background=one.background,
    )
    assert accuracy(head, side_by_side(one.Q), one.labels) > 0.8


def test_a_text_prior_need_not_be_of_equal_lengths_in_its_parts():
    one = seen(shots=2)
    prior = side_by_side(one.text)
    prior[:, : WIDTHS[0]] *= 0.3
    uneven = fit_head(
        "auto", side_by_side(one.X), one.y, class_count=CLASSES, text=prior, background=one.background
    )
    Q = side_by_side(one.Q)
    assert_allclose(uneven.scores(Q), fitted(one, text=True).scores(Q), atol=1e-4)


def test_training_goes_forward_over_all_parts():
    told = []
    with watched(told.append):
        fitted(seen(shots=8), "tip-f", text=True)
    assert told == sorted(told)
    assert told[-1] > 0.5


# ---- keeping


@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("method", METHODS)
def test_bytes_give_the_same_head_again(method, background):
    one = seen(shots=3)
    head = fitted(one, method, text=True, background=background)
    Q = side_by_side(one.Q)
    given = one.background if background else None
    again = Head.from_bytes(head.to_bytes(), given)
    assert_array_equal(again.scores(Q), head.scores(Q))
    assert_array_equal(again.known(Q), head.known(Q))
    assert again.rule == head.rule == f"{METHODS[method].rule} of parts/1"
    assert again.to_bytes() == head.to_bytes()
    again.remove(0)  # it can still learn
    compact = head.compact()
    restored = Head.from_bytes(compact.to_bytes(), given)
    assert_array_equal(restored.judged(Q).probabilities, compact.judged(Q).probabilities)
    assert np.abs(compact.probabilities(Q) - head.probabilities(Q)).max() < 0.03
    with pytest.raises(HeadError, match="a compact head holds no shots"):
        restored.remove(0)


def test_a_head_asks_for_the_backgrounds_it_was_made_with():
    one, other = seen(), seen(seed=1)
    for data in (fitted(one).to_bytes(), fitted(one).compact().to_bytes()):
        for given in (None, other.background, one.background.parts[0]):
            with pytest.raises(HeadError, match=f"needs the background {one.background.fingerprint}"):
                Head.from_bytes(data, given)


def test_a_head_of_unprofiled_encoders_needs_none_whatever_is_given():
    one = seen()
    head = fitted(one, background=False)
    Q = side_by_side(one.Q)
    for given in (None, one.background, JoinedBackground([(width, None) for width in WIDTHS])):
        restored = Head.from_bytes(head.to_bytes(), given)
        assert_array_equal(restored.scores(Q), head.scores(Q))
        assert restored.support is not None


def _head() -> Head:
    return fitted(seen(shots=2), "prototype").compact()


HOSTILE = {
    "no widths": ({"widths": None}, {}, "widths"),
    "one part": ({"widths": np.array([14])}, {}, "widths of parts"),
    "a thousand parts": ({"widths": np.full(1000, 1)}, {}, "widths of parts"),
    "a part of nothing": ({"widths": np.array([0, 14])}, {}, "widths of parts"),
    "a part of 2^60 columns": ({"widths": np.array([2**60, 6])}, {}, "columns"),
    "widths that are not the parts'": ({"widths": np.array([6, 8])}, {}, "columns in place of"),
    "weights below zero": ({"factors": np.array([-1.0, 1])}, {}, "below zero"),
    "a deviation of nothing": ({"deviations": np.array([0.0, 1])}, {}, "below zero"),
    "a part that tells less than nothing": ({"telling": np.array([-1.0, 2])}, {}, "below zero"),
    "three weights": ({"factors": np.ones(3)}, {}, "numbers of another count"),
    "a part of an unknown scorer": (
        {"1.class-rows.centre.zeros": np.zeros(1), "0.nonsense.x": np.zeros(1)},
        {},
        "is of scorer",
    ),
    "an ensemble in an ensemble": ({"0.ensemble.widths": np.array([1, 1])}, {}, "is of scorer"),
    "another format": ({}, {"format": 2}, "parts of format 2"),
    "no format": ({}, {"format": None}, "format"),
    "a background it says it needs": ({"needs": np.array([1, 0], np.uint8)}, {}, "needs its background"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_ensemble_ends_in_a_head_error(name):
    changed, told, said = HOSTILE[name]
    arrays, settings = unpack("head", 2, _head().to_bytes())
    for key, array in changed.items():
        arrays.pop(f"scorer.{key}", None)
        if array is not None:
            arrays[f"scorer.{key}"] = array
    for key, value in told.items():
        settings["scorer_settings"].pop(key, None)
        if value is not None:
            settings["scorer_settings"][key] = value
    with pytest.raises(HeadError, match=said):
        Head.from_bytes(pack("head", 2, arrays, settings), seen().background)


# ---- what is refused


def test_rows_that_do_not_fit_their_parts_are_refused():
    one = seen()
    with pytest.raises(EmbeddingError, match="X has 8 columns, not 14"):
        fit_head("auto", one.X[0], one.y, class_count=CLASSES, background=one.background)
    with pytest.raises(SupportError, match="parts of \\(8, 8\\) columns do not fit this background"):
        fit_head(
            "auto", side_by_side(one.X), one.y, class_count=CLASSES, background=one.background, parts=(8, 8)
        )
    with pytest.raises(EmbeddingError, match="rows of 1 parts; there are 2 to 4"):
        fit_head("auto", one.X[0], one.y, class_count=CLASSES, parts=(8,))
    lame = side_by_side(one.X)
    lame[4, : WIDTHS[0]] = 0
    with pytest.raises(EmbeddingError, match="row 4 of X says nothing in part 1 of 2"):
        fit_head("auto", lame, one.y, class_count=CLASSES, parts=WIDTHS)


# ---- its formulas


def test_rows_come_apart_as_they_were_put_together():
    one = seen()
    for back, part in zip(apart(side_by_side(one.X), WIDTHS), one.X, strict=True):
        assert_allclose(back, part, atol=1e-6)


def test_weights_are_where_the_posterior_is_highest():
    random = np.random.default_rng(0)
    y = random.integers(0, CLASSES, 50)
    logits = random.standard_normal((2, 50, CLASSES)) + 2 * np.eye(CLASSES)[y] * [[[1.0]], [[0.4]]]

    def cost(log_a):
        apart_by = log_a - np.log(0.6)
        common = apart_by.mean()
        pull = 20 * ((apart_by - common) ** 2).sum() / 2 + 8 * 2 * common**2 / 2
        return log_loss(np.tensordot(np.exp(log_a), logits, 1), y).sum() + pull

    found = np.log(fit_weights(logits, y, start=0.6))
    best = cost(found)
    for step in 0.01 * random.standard_normal((50, 2)):
        assert cost(found + step) >= best
    assert found[0] > found[1]


def test_the_order_of_parts_does_not_matter():
    one = seen()
    turned = fit_head(
        "auto",
        side_by_side(one.X[::-1]),
        one.y,
        class_count=CLASSES,
        background=JoinedBackground(list(zip(WIDTHS[::-1], one.background.parts[::-1], strict=True))),
    )
    assert_allclose(
        turned.scores(side_by_side(one.Q[::-1])), fitted(one).scores(side_by_side(one.Q)), atol=1e-4
    )
