"""Where points lie."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from handful.evaluation import HeldOut, LearningCurve, Measures
from handful.report.plots import curve_plot, reliability_plot


@pytest.fixture
def curve():
    values = {("ours", 1): [0.4, 0.6], ("ours", 4): [0.8, 0.8], ("theirs", 4): [0.5, 0.5]}
    return LearningCurve(
        contenders=("ours", "theirs"),
        shots=(1, 4),
        seeds=(0, 1),
        measured={
            (name, k, seed): Measures(accuracy=value)
            for (name, k), both in values.items()
            for seed, value in enumerate(both)
        },
    )


def test_points_stand_at_their_share_of_the_axis(curve):
    plot = curve_plot(curve)
    at = {tick.text: tick.at for tick in plot.y_ticks}
    ours = plot.lines[0]
    assert_allclose(ours.points[1].y, at["80%"])
    assert_allclose(ours.points[0].y, (at["40%"] + at["60%"]) / 2)
    assert [point.x for point in ours.points] == [tick.at for tick in plot.x_ticks]


def test_a_contender_has_points_only_where_it_was_measured(curve):
    theirs = curve_plot(curve).lines[1]
    assert len(theirs.points) == 1
    assert theirs.points[0].said == "theirs, 4: 50.0% [50.0%, 50.0%]"


def test_everything_lies_inside_the_drawing(curve):
    plot = curve_plot(curve)
    for line in plot.lines:
        outline = np.array([pair.split(",") for pair in line.band.split()], float)
        assert (outline[:, 0] >= plot.left).all()
        assert (outline[:, 0] <= plot.right).all()
        assert (outline[:, 1] >= plot.top - 0.1).all()
        assert (outline[:, 1] <= plot.bottom + 0.1).all()


def test_bars_are_as_high_as_answers_were_right():
    p = np.array([[0.95, 0.05], [0.96, 0.04], [0.55, 0.45], [0.97, 0.03]])
    held_out = HeldOut(
        y=np.array([0, 1, 0, 1]),
        judged=np.array([True, True, True, False]),
        probabilities=p,
        known=np.ones(4),
        fold=np.arange(4),
    )
    plot = reliability_plot(held_out)
    full = plot.bottom - plot.top
    assert [said for *_, said in plot.bars] == ["53% to 60%: 100% of 1 right", "93% to 100%: 50% of 2 right"]
    assert_allclose([bar[3] for bar in plot.bars], [full, full / 2])
