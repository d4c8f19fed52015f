import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from handful.adapters import Head, Neighbour, fit_head
from handful.adapters.tip import TipOptions
from handful.background import Background
from handful.errors import EmbeddingError, HeadError, SupportError
from handful.tensors import pack, unpack


def plane(**more):
    """Two classes in the plane, one along each axis, of two shots each."""
    X = [[1, 0.1], [1, -0.1], [0.1, 1], [-0.1, 1]]
    return fit_head("prototype", X, [0, 0, 1, 1], class_count=2, shot_ids=["a", "b", "c", "d"], **more)


def test_a_head_answers_as_worked_out_by_hand():
    head = plane()
    assert_allclose(head.scores([[3, 0], [1, 1]]), [[1, 0], [0.5**0.5, 0.5**0.5]], atol=1e-6)
    p = head.probabilities([[3, 0], [1, 1]])
    assert_allclose(p[0, 0], 1 / (1 + np.exp(-head.sharpness)), atol=1e-9)
    assert_allclose(p[1], 0.5, atol=1e-6)
    assert (head.dimension, head.class_count, head.method, head.rule) == (2, 2, "prototype", "prototype/1")


def test_reasons_by_hand():
    close, far = plane().explain([1, 0.1])
    assert close == Neighbour("a", 0, close.share)
    assert far.shot_id == "b"
    cosines = np.array([1, 0.99 / 1.01])  # to the two shots of class 0
    assert_allclose([close.share, far.share], cosines / cosines.sum(), atol=1e-6)


def test_the_views_of_a_shot_are_one_reason():
    head = plane().add([[1, 0], [1, 0.01], [1, -0.01]], 0, "three views")
    reasons = head.explain([1, 0])
    assert reasons[0].shot_id == "three views"
    assert reasons[0].share == pytest.approx(3 / 5, abs=0.01)


def test_a_head_is_a_value():
    head = plane()
    before = head.to_bytes()
    more = head.add([1, 1], 0, "e")
    fewer = head.remove("a")
    assert len(more.support.X) == 5
    assert len(fewer.support.X) == 3
    assert head.to_bytes() == before
    with pytest.raises(dataclasses.FrozenInstanceError):
        head.sharpness = 1.0


def test_options_are_kept_through_saving_and_adding(scene):
    s = scene().support
    head = fit_head("tip", s.X, s.y, class_count=4, options=TipOptions(beta=2.5, pooling="mean"))
    again = Head.from_bytes(head.to_bytes())
    assert again.options == TipOptions(beta=2.5, pooling="mean")
    assert again.add(s.X[0], 0, "new").found["beta"] == 2.5


def test_ids_groups_and_texts_are_kept_through_saving(scene):
    s = scene(text=(0, 2), views=2).support
    groups = [f"patient {i % 5}" for i in range(len(s.y))]
    ids = [f"Grüße/{i}" for i in range(len(s.y))]
    head = fit_head("prototype", s.X, s.y, class_count=4, text=s.text, groups=groups, shot_ids=ids)
    again = Head.from_bytes(head.to_bytes()).support
    assert again.ids == tuple(ids)
    for name in ("X", "y", "groups", "text"):
        assert_array_equal(getattr(again, name), getattr(head.support, name))


@pytest.mark.parametrize(
    ("Q", "message"),
    [
        ([1, 2, 3], "Q has 3 columns, not 2"),
        ([[np.nan, 1]], "row 0 of Q is not finite"),
        ([[1, 0], [0, 0]], "row 1 of Q is zero"),
        ([["a", "b"]], "Q is not a matrix of numbers"),
        (np.zeros((0, 3)), "Q has 3 columns, not 2"),
    ],
)
def test_questions_that_are_no_embeddings_are_refused(Q, message):
    head = plane()
    for ask in (head.scores, head.probabilities, head.known, head.conformal_set, head.explain):
        with pytest.raises(EmbeddingError, match=message):
            ask(Q)


def test_no_question_gets_no_answer():
    head, nothing = plane(), np.zeros((0, 2))
    assert head.scores(nothing).shape == head.probabilities(nothing).shape == (0, 2)
    assert head.known(nothing).shape == (0,)
    assert head.conformal_set(nothing, 0.5).shape == (0, 2)


def test_explain_takes_one_row_and_at_least_one_reason():
    head = plane()
    with pytest.raises(SupportError, match="explain takes one row, got 2"):
        head.explain(np.eye(2))
    with pytest.raises(SupportError, match="k is 0; ask for at least one shot"):
        head.explain([1, 0], k=0)
    assert len(head.explain([[1, 0]], k=1)) == 1


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda h: h.add([1, 0], 2, "e"), SupportError, "label 2 of row 0 is outside 0 to 1"),
        (lambda h: h.add([1, 0], 0.5, "e"), SupportError, "labels are whole numbers"),
        (lambda h: h.add([1, 0], 0, "a"), SupportError, "there is a shot 'a' already"),
        (lambda h: h.add([1, 0, 0], 0, "e"), EmbeddingError, "x has 3 columns, not 2"),
        (lambda h: h.add([np.inf, 0], 0, "e"), EmbeddingError, "not finite"),
        (lambda h: h.add([1, 0], 0, "e", group="z"), SupportError, "no shot 'z' whose group"),
        (lambda h: h.remove("z"), SupportError, "no shot 'z'; this head holds 4 shots"),
        (lambda h: h.remove("a").remove("b"), SupportError, "'b' is the last of class 0, which has no text"),
    ],
)
def test_changes_that_cannot_be_are_refused(change, error, message):
    with pytest.raises(error, match=message):
        change(plane())


def test_a_class_with_a_text_outlives_its_last_shot():
    head = plane(text=np.eye(2)).remove("a").remove("b")
    assert_allclose(head.scores([1, 0]), [[1, 0]], atol=1e-6)
    assert head.explain([1, 0]) == []


@pytest.mark.parametrize(
    ("X", "y", "more", "error", "message"),
    [
        ([[1, 0]], [1], {}, SupportError, r"class 0 has no shot and no text \(1 of 2 classes are so\)"),
        ([], [], {}, SupportError, "neither a shot nor a text"),
        ([[1, 0], [0, 1]], [0, 2], {}, SupportError, "label 2 of row 1 is outside"),
        ([[1, 0], [0, 1]], [0], {}, SupportError, "give one label each"),
        ([[1, np.nan], [0, 1]], [0, 1], {}, EmbeddingError, "row 0 of X is not finite"),
        (np.eye(2), [0, 1], {"text": np.eye(2, 3)}, EmbeddingError, "X has 2 columns, not 3"),
        (np.eye(2), [0, 1], {"options": {"beta": 3}}, SupportError, "takes PrototypeOptions, got dict"),
        (
            np.eye(2),
            [0, 1],
            {"options": TipOptions()},
            SupportError,
            "takes PrototypeOptions, got TipOptions",
        ),
        (np.eye(2), [0, 1], {"shot_ids": ["a"]}, SupportError, "1 shot ids for 2 rows"),
        (np.eye(2), [0, 1], {"shot_ids": ["a", "a"]}, SupportError, "shot 'a' has rows of several classes"),
    ],
)
def test_what_makes_no_head_is_refused(X, y, more, error, message):
    with pytest.raises(error, match=message):
        fit_head("prototype", X, y, class_count=2, **more)


def test_a_background_is_named_in_the_bytes_and_asked_for(scene):
    s = scene(background=True).support
    head = fit_head("prototype", s.X, s.y, class_count=4, background=s.background)
    assert head.background_fingerprint == s.background.fingerprint
    for given in (None, Background.fit(np.random.default_rng(1).standard_normal((20, 8)))):
        with pytest.raises(HeadError, match=f"needs the background {s.background.fingerprint}.*pass encoder"):
            Head.from_bytes(head.to_bytes(), given)
    again = Head.from_bytes(head.to_bytes(), Background.from_bytes(s.background.to_bytes()))
    assert again.support.background.fingerprint == s.background.fingerprint
    # A compact prototype computes without it, and does not ask.
    compact = Head.from_bytes(head.compact().to_bytes())
    assert compact.background_fingerprint == s.background.fingerprint


def test_a_head_of_an_earlier_rule_answers_but_says_why_it_cannot_change():
    head = plane()
    arrays, settings = unpack("head", 2, head.to_bytes())
    older = Head.from_bytes(pack("head", 2, arrays, settings | {"rule": "prototype/0"}))
    Q = np.eye(2)
    assert_array_equal(older.probabilities(Q), head.probabilities(Q))
    assert older.rule == "prototype/0"
    assert Head.from_bytes(older.to_bytes()).rule == "prototype/0"
    with pytest.raises(
        HeadError, match="made by rule 'prototype/0', and this build has 'prototype/1', so it can"
    ):
        older.add([1, 0], 0, "e")


@pytest.mark.parametrize(
    ("method", "shots", "most"), [("auto", 1, 6600), ("lda", 1, 6200), ("auto", 16, 7400)]
)
def test_a_compact_head_of_ten_classes_is_little_more_than_its_rows(scene, fit, method, shots, most):
    head = fit(method, scene(classes=10, shots=shots, dim=512, background=True).support)
    assert len(head.compact().to_bytes()) <= most


def test_saving_writes_what_it_says_and_no_more():
    arrays, settings = unpack("head", 2, plane().to_bytes())
    assert set(arrays) == {
        "scorer.rows",
        "scorer.offsets",
        "scorer.centre",
        "known.null",
        "conformal.nonconformity",
        "support.X",
        "support.y",
        "support.groups",
    }
    assert settings["ids"] == ["a", "b", "c", "d"]
    compact, settings = unpack("head", 2, plane().compact().to_bytes())
    assert not [name for name in compact if name.startswith("support")]
    assert "ids" not in settings
    assert compact["scorer.rows"].dtype == np.int8
