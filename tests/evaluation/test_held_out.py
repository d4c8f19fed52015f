"""Left-out shots: who is asked of whom."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from handful.errors import SupportError
from handful.evaluation import hold_out, teacher


class Spy:
    """A teacher that remembers what it was shown, and answers as class means do."""

    def __init__(self, X, **options):
        self.teach = teacher("prototype", X, **options)
        self.episodes = []

    def __call__(self, episode):
        self.episodes.append(episode)
        return self.teach(episode)


def test_every_picture_is_asked_once_of_a_classifier_that_had_not_seen_it(clouds):
    X, y, _ = clouds(each=5)
    spy = Spy(X)
    found = hold_out(X, y, spy)
    assert found.judged.all()
    asked = np.concatenate([e.queries for e in spy.episodes])
    assert sorted(asked) == list(range(len(y)))
    for episode in spy.episodes:
        assert not set(episode.support) & set(episode.queries)


def test_few_shots_leave_one_at_a_time_from_each_class(clouds):
    X, y, _ = clouds(each=5)
    spy = Spy(X)
    hold_out(X, y, spy)
    assert [np.bincount(y[e.queries]).tolist() for e in spy.episodes] == [[1, 1, 1, 1]] * 5


def test_many_shots_are_left_out_in_ten_rounds(clouds):
    X, y, _ = clouds(each=40)
    spy = Spy(X)
    hold_out(X, y, spy)
    assert [np.bincount(y[e.queries]).tolist() for e in spy.episodes] == [[4] * 4] * 10


def test_groups_are_left_out_together(clouds):
    X, y, _ = clouds(each=6)
    groups = (np.arange(len(y)) // 2).tolist()
    spy = Spy(X)
    found = hold_out(X, y, spy, groups=groups)
    assert found.judged.all()
    for episode in spy.episodes:
        assert not {groups[i] for i in episode.support} & {groups[i] for i in episode.queries}


def test_the_last_shot_of_a_class_stays_and_is_not_judged(clouds):
    X, y, _ = clouds(each=4)
    kept = np.concatenate([[0], np.flatnonzero(y > 0)])
    found = hold_out(X[kept], y[kept], teacher("prototype", X[kept]))
    assert found.judged.tolist() == [False] + [True] * 12
    assert found.confusion[0].sum() == 0


def test_a_group_that_would_take_a_class_along_stays_as_a_whole(clouds):
    X, y, _ = clouds(classes=2, each=3)
    groups = ["a", "a", "a", "a", "b", "c"]  # all of class 0 with one picture of class 1
    found = hold_out(X, y, teacher("prototype", X), groups=groups)
    assert found.judged.tolist() == [False, False, False, False, True, True]


def test_with_words_the_last_shot_can_go_too(clouds):
    X, y, centres = clouds(each=1)
    found = hold_out(X, y, teacher("prototype", X, text=centres), from_words=True)
    assert found.judged.all()


def test_one_shot_of_each_class_leaves_nothing_to_judge(clouds):
    X, y, _ = clouds(each=1)
    with pytest.raises(SupportError, match=r"no shot can be left out.*add a second shot"):
        hold_out(X, y, teacher("prototype", X))


def test_estimates_count_judged_pictures_only(clouds):
    X, y, _ = clouds(each=8, noise=1.2)
    found = hold_out(X, y, teacher("prototype", X))
    right = found.answers == y
    assert_allclose(found.estimates["accuracy"].value, right.mean())
    assert found.confusion.sum() == len(y)
    assert len(found.mistakes) == (~right).sum()
    for estimate in found.estimates.values():
        assert estimate.low <= estimate.value <= estimate.high


def test_the_surest_mistakes_come_first(clouds):
    X, y, _ = clouds(each=20, noise=1.6)
    found = hold_out(X, y, teacher("prototype", X))
    sure = found.probabilities[found.mistakes].max(axis=1)
    assert len(sure) > 3
    assert (np.diff(sure) <= 0).all()


def test_swapped_labels_are_suspected_and_right_ones_are_not(clouds):
    X, y, _ = clouds(each=20, noise=0.5)
    wrong = y.copy()
    wrong[[3, 27, 51]] = [1, 2, 0]
    found = hold_out(X, wrong, teacher("prototype", X))
    assert set(found.suspects) == {3, 27, 51}


def test_the_nearest_are_of_the_class_asked_for_and_had_been_seen(clouds):
    X, y, _ = clouds(each=12)
    found = hold_out(X, y, teacher("prototype", X))
    for label in (0, 1):
        near = found.nearest(X, 0, label, k=3)
        allowed = [i for i in np.flatnonzero(y == label) if found.fold[i] != found.fold[0]]
        best = sorted(allowed, key=lambda i: -float(X[i] @ X[0]))[:3]
        assert [i for i, _ in near] == best
        assert_allclose([cosine for _, cosine in near], [X[i] @ X[0] for i in best], rtol=1e-6)


def test_progress_is_told_of_every_round(clouds):
    X, y, _ = clouds(each=3)
    told = []
    hold_out(X, y, teacher("prototype", X), progress=lambda *counts: told.append(counts))
    assert told == [(1, 3), (2, 3), (3, 3)]
