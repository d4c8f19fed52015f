import numpy as np
from numpy.testing import assert_array_equal

from handful.adapters.held_out import level_lone_rows
from handful.adapters.support import Support


def support(y, classes):
    return Support.checked(np.eye(len(y)), y, class_count=classes)


def test_a_lone_row_gets_its_best_rival_s_score_and_others_keep_theirs():
    scores = np.array([[9.0, 1, 2], [9.0, 1, 2], [5.0, 4, 9]])
    level_lone_rows(scores, Support.checked(np.eye(3), [0, 0, 2], class_count=3, text=np.eye(3)))
    assert_array_equal(scores, [[9, 1, 2], [9, 1, 2], [5, 4, 5]])


def test_what_counts_as_lone_can_be_said():
    scores = np.array([[9.0, 1], [7.0, 3]])
    level_lone_rows(scores, support([0, 1], 2), judged=np.array([True, False]))
    assert_array_equal(scores, [[9, 1], [7, 7]])


def test_a_class_without_rivals_scores_nothing():
    scores = np.array([[3.0]])
    level_lone_rows(scores, support([0], 1))
    assert_array_equal(scores, [[0.0]])
