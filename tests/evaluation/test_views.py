"""Policies of views, judged by left-out shots."""

import numpy as np
import pytest

from handful import FewShotClassifier
from handful.errors import SupportError
from handful.evaluation import choose_views, compare_views, teacher
from handful.evaluation.views import CANDIDATES
from handful.rows import unit


def scattered(classes, shots, *, seed, blur=1.0, dim=12):
    """Rows around an axis for each class."""
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(classes), shots)
    return unit((np.eye(dim)[y] + blur * rng.standard_normal((len(y), dim))).astype(np.float32)), y


def teachers(X, views):
    """By policy; the views of each are rows (N, V, D)."""
    return {
        "none": teacher("prototype", X),
        **{policy: teacher("prototype", X, views=own) for policy, own in views.items()},
    }


def found(X, y, views, default="none", **more):
    return compare_views(X, y, teachers(X, views), default=default, class_count=int(y.max()) + 1, **more)


def test_views_that_surely_help_are_chosen():
    X, y = scattered(10, 4, seed=0, blur=0.5)
    helping = np.eye(12, dtype=np.float32)[y][:, None].repeat(6, axis=1)
    said = found(X, y, {"flip": helping, "five": X[:, None]})
    assert said.chosen == "flip"
    assert "flip names" in said.why
    assert said.judged == 40
    none, flip, five = said.policies
    assert (none.policy, none.encodings, none.gain) == ("none", 1, None)
    assert flip.encodings == 2
    assert flip.gain.value == pytest.approx(flip.accuracy.value - none.accuracy.value)
    assert flip.gain.low > 0
    assert five.gain.low <= 0 <= five.gain.high


def test_noise_is_not_chosen():
    """Of 40 sets in which no policy means anything, hardly one leaves the default."""
    left = 0
    for seed in range(40):
        X, y = scattered(5, 8, seed=seed)
        rng = np.random.default_rng([seed, 1])
        views = {
            policy: unit((X[:, None] + 0.3 * rng.standard_normal((len(X), 4, 12))).astype(np.float32))
            for policy in ("flip", "five", "standard")
        }
        left += found(X, y, views).chosen != "none"
    assert left <= 2


def test_a_default_with_views_is_left_for_none_only_on_evidence():
    X, y = scattered(6, 12, seed=3, blur=0.7)
    misleading = np.eye(12, dtype=np.float32)[(y + 1) % 6][:, None].repeat(8, axis=1)
    assert found(X, y, {"standard": misleading}, default="standard").chosen == "none"
    alike = found(X, y, {"standard": X[:, None]}, default="standard")
    assert alike.chosen == "standard"
    assert "no policy is surely better than standard" in alike.why


def test_all_views_of_a_shot_leave_with_it_and_the_plain_picture_is_asked():
    X, y = scattered(3, 4, seed=1)
    asked = []

    class Nobody:
        def probabilities(self, Q):
            asked.append(Q)
            return np.full((len(Q), 3), 1 / 3)

        def known(self, Q):
            return np.ones(len(Q))

    def teach(episode):
        taught.append(set(episode.support.tolist()))
        return Nobody()

    taught = []
    said = compare_views(X, y, {"none": teach}, default="none", class_count=3)
    assert all(len(rest) == 9 for rest in taught)
    assert sorted(map(tuple, np.concatenate(asked).tolist())) == sorted(map(tuple, X.tolist()))
    assert said.chosen == "none"


def test_groups_are_left_out_together():
    X, y = scattered(2, 4, seed=2)
    taught = []
    inner = teacher("prototype", X)

    def teach(episode):
        taught.append(set(episode.support.tolist()))
        return inner(episode)

    groups = ["a", "a", "b", "b", "c", "c", "d", "d"]
    compare_views(X, y, {"none": teach}, default="none", class_count=2, groups=groups)
    for rest in taught:
        assert all(rest >= pair or not rest & pair for pair in ({0, 1}, {2, 3}, {4, 5}, {6, 7}))


def test_without_the_default_or_none_there_is_nothing_to_compare_with():
    X, y = scattered(2, 3, seed=0)
    with pytest.raises(SupportError, match="policies are compared with 'none'"):
        compare_views(X, y, {"flip": teacher("prototype", X)}, default="flip", class_count=2)


def test_a_classifiers_own_policies_are_compared_from_pictures(tiny_encoder, coloured):
    images = coloured("red", 4) + coloured("green", 4)
    classifier = FewShotClassifier(tiny_encoder, "prototype")
    told = []
    said = choose_views(
        classifier, images, ["red"] * 4 + ["green"] * 4, progress=lambda done, all_: told.append((done, all_))
    )
    assert [one.policy for one in said.policies] == list(CANDIDATES)
    assert [one.encodings for one in said.policies] == [1, 2, 5, 12]
    assert (said.default, said.chosen, said.judged) == ("none", "none", 8)
    assert said.seconds > 0
    assert told[-1] == (16, 16)
    assert not classifier.__sklearn_is_fitted__()
    as_json = said.as_dict()
    assert as_json["policies"][1]["gain"] == pytest.approx(
        {"value": 0.0, "low": -0.369, "high": 0.369}, abs=1e-3
    )
    assert as_json["milliseconds"] > 0


def test_of_a_trained_method_the_default_has_views(tiny_encoder, coloured):
    images = coloured("red", 3) + coloured("green", 3)
    said = choose_views(
        FewShotClassifier(tiny_encoder, "tip-f"), images, [0] * 3 + [1] * 3, policies=["flip"]
    )
    assert [one.policy for one in said.policies] == ["none", "standard", "flip"]
    assert said.default == said.chosen == "standard"
