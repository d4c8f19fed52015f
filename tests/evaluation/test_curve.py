"""Learning curves: the same draws for everybody, measured as they should be."""

import builtins

import numpy as np
import pytest
from numpy.testing import assert_allclose

from handful.adapters import fit_head
from handful.errors import MissingExtraError
from handful.evaluation import episodes, learning_curve, teacher
from handful.evaluation.curve import MEASURES
from handful.evaluation.metrics import auroc


def curve_of(X, y, contenders=None, **changes):
    contenders = contenders or {"means": teacher("prototype", X)}
    return learning_curve(X, y, contenders, **{"shots": [1, 2, 4], "seeds": 3, **changes})


def test_accuracy_is_what_teaching_by_hand_gives(clouds):
    X, y, _ = clouds()
    curve = curve_of(X, y)
    for episode in episodes(y, shots=[1, 2, 4], seeds=range(3)):
        head = fit_head("prototype", X[episode.support], y[episode.support], class_count=4)
        right = head.scores(X[episode.queries]).argmax(1) == y[episode.queries]
        assert_allclose(curve.measured["means", episode.shots, episode.seed].accuracy, right.mean())


def test_more_shots_are_better_and_rows_without_meaning_are_not(clouds):
    X, y, _ = clouds(noise=1.5, each=30)
    rng = np.random.default_rng(1)
    curve = curve_of(
        X,
        y,
        {"means": teacher("prototype", X), "noise": teacher("prototype", rng.normal(size=X.shape))},
        seeds=10,
    )
    assert curve.estimate("means", 4).low > curve.estimate("means", 1).value
    assert curve.difference("means", "noise", 4).low > 0.2


def test_unknown_is_judged_with_half_of_the_classes_foreign(clouds):
    X, y, _ = clouds(noise=0.3)
    curve = curve_of(X, y, seeds=2)
    for part in episodes(y, shots=[1, 2, 4], seeds=range(2), ways=2):
        head = fit_head("prototype", X[part.support], part.support_labels, class_count=2)
        expected = auroc(head.known(X[part.queries]), head.known(X[part.foreign]))
        assert_allclose(curve.measured["means", part.shots, part.seed].auroc, expected)
    assert curve.estimate("means", 4, "auroc").value > 0.9


def test_two_classes_leave_none_to_be_foreign(clouds):
    X, y, _ = clouds(classes=2)
    measures = {measure for _, _, measure, _ in curve_of(X, y).estimates}
    assert measures == set(MEASURES) - {"auroc", "fpr95", "foreign_rejected"}


def test_words_alone_are_asked_of_those_that_have_them(clouds):
    X, y, centres = clouds(noise=0.4)
    contenders = {"words": teacher("prototype", X, text=centres), "means": teacher("prototype", X)}
    curve = curve_of(X, y, contenders, shots=[0, 1], from_words=["words"])
    assert curve.estimate("words", 0).value > 0.9
    assert np.isnan(curve.estimate("means", 0).value)
    assert curve.estimate("means", 1).value > 0.5


def test_numbers_of_shots_without_pictures_are_left_out(clouds):
    X, y, _ = clouds(each=6)
    assert curve_of(X, y, shots=[1, 4, 8, 16]).shots == (1, 4)


def test_intervals_end_where_shares_do(clouds):
    X, y, _ = clouds(noise=0.9)
    curve = curve_of(X, y, seeds=2)
    for _, _, measure, estimate in curve.estimates:
        assert estimate.low >= 0
        assert measure == "nll" or estimate.high <= 1


def test_views_are_taught_with_their_shot(clouds):
    X, y, centres = clouds(noise=1.5, each=20)
    better = centres[y][:, None]  # views that show what the class is
    contenders = {"plain": teacher("prototype", X), "views": teacher("prototype", X, views=better)}
    curve = curve_of(X, y, contenders, shots=[1], seeds=6)
    assert curve.difference("views", "plain", 1).low > 0


def test_progress_is_told_of_every_draw(clouds):
    X, y, _ = clouds()
    told = []
    curve_of(X, y, shots=[1, 2], seeds=2, progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_frame_has_a_row_for_each_figure(clouds):
    X, y, _ = clouds()
    curve = curve_of(X, y)
    frame = curve.to_frame()
    assert len(frame) == 3 * len(MEASURES)
    row = frame[(frame.shots == 2) & (frame.measure == "accuracy")].iloc[0]
    assert row.value == curve.estimate("means", 2).value


def test_without_pandas_a_frame_says_what_to_install(clouds, monkeypatch):
    X, y, _ = clouds()
    curve = curve_of(X, y, shots=[1])
    real = builtins.__import__

    def without_pandas(name, *args, **kwargs):
        if name == "pandas":
            raise ModuleNotFoundError("No module named 'pandas'", name="pandas")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_pandas)
    with pytest.raises(MissingExtraError, match=r"pip install 'handful\[eval\]'"):
        curve.to_frame()
