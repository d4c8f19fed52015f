from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from handful.adapters.support import Support
from handful.background import Background
from handful.errors import EmbeddingError, SupportError
from handful.rows import unit


def rows(count, dim=4, seed=0):
    return unit(np.random.default_rng(seed).standard_normal((count, dim)))


def checked(count=3, *, y=None, class_count=3, **more):
    return Support.checked(rows(count), np.arange(count) if y is None else y, class_count=class_count, **more)


def test_rows_are_brought_to_length_one_and_everything_gets_a_name():
    s = Support.checked(5 * rows(3), [2, 0, 1.0], class_count=3)
    assert_allclose(s.X, rows(3), atol=1e-6)
    assert s.X.dtype == np.float32
    assert s.y.tolist() == [2, 0, 1]
    assert s.y.dtype == np.int64
    assert s.ids == ("0", "1", "2")
    assert s.groups.tolist() == [0, 1, 2]
    assert s.dimension == 4
    assert s.counts.tolist() == [1, 1, 1]
    assert not s.has_text.any()


def test_rows_of_zeros_or_nan_mean_no_text():
    text = np.array([[2.0, 0, 0, 0], [0, 0, 0, 0], [np.nan] * 4])
    s = checked(text=text)
    assert s.has_text.tolist() == [True, False, False]
    assert_array_equal(s.text, [[1, 0, 0, 0], [0] * 4, [0] * 4])


def test_views_of_a_shot_are_a_group_unless_groups_say_otherwise():
    ids = ["10", "9", "10", "2"]
    assert checked(4, y=[0, 1, 0, 2], shot_ids=ids).groups.tolist() == [0, 1, 0, 2]
    patients = checked(4, y=[0, 1, 0, 2], shot_ids=ids, groups=["b", "a", "b", "a"])
    assert patients.groups.tolist() == [0, 1, 0, 1]
    assert checked(3, groups=[None, "x", None]).groups.tolist() == [0, 1, 0]  # names of any kind
    assert checked(3, groups=[7.5, -1, 7.5]).groups.tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": [0, 1, 3]}, "label 3 of row 2 is outside 0 to 2; give a larger class_count"),
        ({"y": [0, -1, 2]}, "label -1 of row 1 is outside 0 to 2"),
        ({"y": [0, np.inf, 2]}, "label inf of row 1 is outside 0 to 2"),
        ({"y": [0, 1e300, 2]}, r"label 1e\+300 of row 1 is outside"),
        ({"y": [0, 1]}, r"y has shape \(2,\) for 3 rows of X; give one label each"),
        ({"y": [[0, 1, 2]]}, r"y has shape \(1, 3\)"),
        ({"y": [[0], [1, 2], []]}, "y is not a list of labels"),
        ({"y": [0, 0.5, 1]}, "y holds float64 values; labels are whole numbers from 0 to 2"),
        ({"y": [0, np.nan, 1]}, "y holds float64 values"),
        ({"y": ["a", "b", "c"]}, "y holds <U1 values"),
        ({"y": [True, False, True]}, "y holds bool values"),
        (
            {"y": [0, 0, 2]},
            r"class 1 has no shot and no text \(1 of 3 classes are so\); add a shot or a desc",
        ),
        ({"y": [0, 1, 2], "class_count": 0}, "class_count is 0; a classifier has at least one class"),
        ({"shot_ids": ["a", "b"]}, "2 shot ids for 3 rows; give one each"),
        ({"shot_ids": ["a", "b", "a"]}, "shot 'a' has rows of several classes"),
        ({"groups": ["a", "b"]}, r"groups has shape \(2,\); it names a group for each of 3 rows"),
        ({"groups": [["a"], ["b", "c"], []]}, "groups is not a list of names"),
        ({"text": np.ones((2, 4))}, r"text has shape \(2, 4\); it is one row for each of 3 classes"),
        ({"text": np.ones(4)}, r"text has shape \(4,\)"),
        ({"text": [["a"] * 4] * 3}, "text is not a matrix of numbers"),
        ({"text": [[1], [1, 2], [3]]}, "text is not a matrix of numbers"),
    ],
)
def test_what_makes_no_support_is_refused(change, message):
    with pytest.raises(SupportError, match=message):
        checked(**change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text": np.ones((3, 5))}, "X has 4 columns, not 5; use embeddings of one encoder"),
        ({"text": [[1, np.nan, 0, 0]] * 3}, "text holds numbers that are not finite"),
        ({"text": [[1e300, 0, 0, 0]] * 3}, "text holds numbers that are not finite"),
        ({"background": Background.fit(np.eye(5))}, "X has 4 columns, not 5"),
        (
            {"background": Background.fit(np.eye(5)), "text": np.ones((3, 4))},
            "4 columns but the background 5",
        ),
    ],
)
def test_numbers_that_are_no_embeddings_are_refused(change, message):
    with pytest.raises(EmbeddingError, match=message):
        checked(**change)


def test_rows_that_are_not_finite_or_zero_are_refused():
    X = rows(3)
    X[1, 2] = np.nan
    with pytest.raises(EmbeddingError, match="row 1 of X is not finite"):
        Support.checked(X, [0, 1, 2], class_count=3)
    with pytest.raises(EmbeddingError, match="row 2 of X is zero"):
        Support.checked([[1, 0], [0, 1], [0, 0]], [0, 1, 2], class_count=3)


def test_nothing_at_all_is_refused_and_texts_alone_are_enough():
    with pytest.raises(SupportError, match="neither a shot nor a text"):
        Support.checked([], [], class_count=2)
    s = Support.checked([], [], class_count=2, text=np.eye(2))
    assert s.X.shape == (0, 2)
    assert s.lone_groups
    assert s.company.shape == (0,)
    with pytest.raises(SupportError, match="class 0 has no shot and no text"):
        Support.checked([], [], class_count=2, background=Background.fit(np.eye(3)))


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4)), min_size=1, max_size=12))
def test_leavings_are_what_a_group_takes_from_each_class(drawn):
    """Against plain loops: for each row, its group's sum of each class."""
    y, groups = (np.array(part) for part in zip(*drawn, strict=True))
    s = Support.checked(rows(len(y)), y, class_count=3, groups=groups, text=np.ones((3, 4)))
    pair, classes, of_row, pairs = s.leavings
    sums = np.zeros((len(classes), 4))
    np.add.at(sums, pair, s.X.astype(float))
    for row in range(len(y)):
        found = {int(classes[p]): sums[p] for r, p in zip(of_row, pairs, strict=True) if r == row}
        gone = groups == groups[row]
        assert set(found) == set(y[gone].tolist())
        for label, total in found.items():
            assert_allclose(total, s.X[gone & (y == label)].sum(axis=0), atol=1e-6)
        assert s.company[row] == (~gone & (y == y[row])).any()
    assert s.lone_groups == (len(set(groups.tolist())) == len(y))


def test_class_sums_are_sums_over_the_rows_of_a_class():
    s = checked(4, y=[0, 2, 2, 2], text=np.ones((3, 4)))
    assert_allclose(s.class_sums(s.X.astype(float))[2], s.X[1:].sum(axis=0), atol=1e-6)
    assert_array_equal(s.class_sums(np.ones(4)), [1, 0, 3])


def test_a_shot_is_added_with_its_views_and_taken_away_with_them():
    s = checked()
    more = s.added(3 * rows(2, seed=1), 1, "new")
    assert more.ids[3:] == ("new", "new")
    assert more.groups.tolist() == [0, 1, 2, 3, 3]
    assert more.counts.tolist() == [1, 3, 1]
    assert_allclose(more.X[3:], rows(2, seed=1), atol=1e-6)
    assert s.ids == ("0", "1", "2")  # a support is a value
    back = more.removed("new")
    assert_array_equal(back.X, s.X)
    assert (back.ids, back.groups.tolist()) == (s.ids, s.groups.tolist())


def test_ids_are_numbers_or_words():
    s = checked(shot_ids=[5, 6, "x"]).added(rows(1)[0], 0, 7)
    assert s.ids == ("5", "6", "x", "7")
    assert s.removed(5).ids == ("6", "x", "7")


def test_a_shot_can_be_left_out_with_another():
    s = checked(shot_ids=["a", "b", "c"])
    assert s.added(rows(1), 0, "new", group="b").groups.tolist() == [0, 1, 2, 1]
    with pytest.raises(SupportError, match="no shot 'z' whose group the new one could join"):
        s.added(rows(1), 0, "new", group="z")


def test_groups_are_numbered_as_they_come_whatever_was_removed():
    s = checked(4, y=[0, 0, 1, 2], groups=["p", "q", "p", "r"])
    assert s.removed("0").groups.tolist() == [0, 1, 2]
    s = replace(s, y=np.array([0, 1, 1, 2]))
    assert s.added(rows(1), 0, "new").removed("0").groups.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda s: s.added(rows(1), 3, "new"), SupportError, "label 3 of row 0 is outside 0 to 2"),
        (lambda s: s.added(rows(1), 0, "1"), SupportError, "there is a shot '1' already; remove it first"),
        (lambda s: s.added(rows(1, 5), 0, "n"), EmbeddingError, "x has 5 columns, not 4"),
        (lambda s: s.added([np.nan] * 4, 0, "n"), EmbeddingError, "row 0 of x is not finite"),
        (lambda s: s.removed("9"), SupportError, "there is no shot '9'; this head holds 3 shots"),
        (lambda s: s.removed("1"), SupportError, "shot '1' is the last of class 1, which has no text"),
    ],
)
def test_changes_that_cannot_be_are_refused(change, error, message):
    with pytest.raises(error, match=message):
        change(checked())


def test_the_last_shot_of_a_class_with_a_text_may_go():
    assert checked(text=np.eye(3, 4)).removed("1").counts.tolist() == [1, 0, 1]
