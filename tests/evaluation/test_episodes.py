"""Episodes: what is shown, what is asked, what is neither."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handful.errors import SupportError
from handful.evaluation import episodes
from handful.evaluation.episodes import group_codes

Y = np.repeat(np.arange(4), 10)


def draw(**changes):
    return list(episodes(Y, **{"shots": [1, 2, 4], "seeds": range(3), **changes}))


def test_each_class_gets_the_shots_asked_for():
    for episode in draw():
        assert np.bincount(Y[episode.support]).tolist() == [episode.shots] * 4


def test_nothing_is_both_shown_and_asked():
    for episode in draw(ways=2):
        parts = [set(episode.support), set(episode.queries), set(episode.foreign)]
        assert sum(map(len, parts)) == len(set.union(*parts))


def test_draws_of_a_seed_grow_and_are_asked_the_same():
    one, two, four = draw(seeds=[7])
    assert set(one.support) < set(two.support) < set(four.support)
    assert one.queries.tolist() == two.queries.tolist() == four.queries.tolist()
    assert len(four.queries) == 40 - 4 * 4


def test_the_same_seed_draws_the_same_and_others_others():
    first, again, other = (draw(seeds=[seed], shots=[4])[0] for seed in (1, 1, 2))
    assert first.support.tolist() == again.support.tolist()
    assert set(first.support) != set(other.support)


def test_over_many_seeds_every_picture_is_shown_about_as_often():
    shown = np.bincount(np.concatenate([e.support for e in draw(shots=[5], seeds=range(400))]), minlength=40)
    assert np.abs(shown / 400 - 0.5).max() < 0.1


def test_labels_of_an_episode_count_the_taught_classes():
    for episode in draw(ways=2, shots=[3]):
        assert episode.classes.shape == (2,)
        assert episode.classes[episode.support_labels].tolist() == Y[episode.support].tolist()
        assert episode.classes[episode.query_labels].tolist() == Y[episode.queries].tolist()
        assert not np.isin(Y[episode.foreign], episode.classes).any()
        assert len(episode.foreign) == 20


def test_no_shots_are_words_alone():
    episode = draw(shots=[0], seeds=[0])[0]
    assert len(episode.support) == 0
    assert len(episode.queries) == 40


def test_a_small_class_keeps_a_fifth_of_its_pictures_to_ask():
    labels = np.repeat([0, 1], [5, 40])
    episode = next(episodes(labels, shots=[16], seeds=[0]))
    assert np.bincount(labels[episode.support]).tolist() == [4, 16]
    assert np.bincount(labels[episode.queries]).tolist() == [1, 24]


def test_unequal_shots_stay_within_their_bounds():
    counts = [np.bincount(Y[e.support], minlength=4) for e in draw(shots=[(1, 6)], seeds=range(30))]
    assert np.min(counts) == 1
    assert np.max(counts) == 6


@given(st.integers(0, 10_000), st.integers(1, 4))
def test_a_group_is_never_split_between_shown_and_asked(seed, k):
    groups = np.random.default_rng(seed).integers(0, 14, 40)
    groups[:40:10] = [90, 91, 92, 93]  # so that each class has two groups
    groups[5:40:10] = [80, 81, 82, 83]
    for episode in episodes(Y, shots=[k], seeds=[seed], groups=groups.tolist()):
        assert not set(groups[episode.support]) & set(groups[episode.queries])
        assert (np.bincount(Y[episode.support], minlength=4) <= k).all()


def test_a_picture_without_a_group_is_a_group_by_itself():
    assert group_codes([None, "a", None, "a"], 4).tolist() == [0, 1, 2, 1]


def test_groups_are_one_for_each_picture():
    with pytest.raises(SupportError, match="3 groups for 4 pictures"):
        group_codes([1, 2, 3], 4)


def test_a_class_with_one_picture_cannot_be_shown_and_asked():
    with pytest.raises(SupportError, match=r"class 1 has 1 picture.* needs two"):
        next(episodes([0, 0, 1], shots=[1], seeds=[0]))


@pytest.mark.parametrize("ways", [1, 5])
def test_ways_lie_between_two_and_the_number_of_classes(ways):
    with pytest.raises(SupportError, match="choose from 2 to 4"):
        draw(ways=ways)
