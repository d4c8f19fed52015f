"""Where the points of a plot lie, in the pixels of its drawing; templates draw them."""

from dataclasses import dataclass
from math import ceil, floor, isnan

import numpy as np

from handful.evaluation import HeldOut, LearningCurve
from handful.evaluation.episodes import Shots
from handful.evaluation.metrics import BINS

_LEFT, _TOP, _RIGHT, _BOTTOM = 52.0, 14.0, 18.0, 44.0  # margins, for tick labels and axis titles


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A place on an axis, in pixels, and what it says."""

    at: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A point of a line; `said` is read out where it is pointed at."""

    x: float
    y: float
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A contender: its points, and the outline of its intervals as an SVG points list."""

    name: str
    number: int
    points: tuple[Point, ...]
    band: str

    @property
    def path(self) -> str:
        """The points as an SVG points list."""
        return " ".join(f"{point.x:.1f},{point.y:.1f}" for point in self.points)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """A drawing of width × height pixels with axes and either lines or bars."""

    width: float
    height: float
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    lines: tuple[Line, ...] = ()
    bars: tuple[tuple[float, float, float, float, str], ...] = ()  # x, y, width, height, said

    @property
    def left(self) -> float:
        """Where the plot begins."""
        return _LEFT

    @property
    def right(self) -> float:
        """Where the plot ends."""
        return self.width - _RIGHT

    @property
    def top(self) -> float:
        """Where the plot's upper edge is."""
        return _TOP

    @property
    def bottom(self) -> float:
        """Where the plot's lower edge is."""
        return self.height - _BOTTOM


def shots_text(shots: Shots) -> str:
    """A number of shots as it is written.

    >>> shots_text(0), shots_text(4), shots_text((1, 16))
    ('words', '4', '1–16')
    """
    if isinstance(shots, tuple):
        return f"{shots[0]}–{shots[1]}"
    return "words" if shots == 0 else str(shots)


def curve_plot(curve: LearningCurve, measure: str = "accuracy") -> Plot:
    """Accuracy against shots: a line for each contender, its interval as a band. Shots are equally far
    apart."""
    width, height = 720.0, 330.0
    found = {
        (name, shots): curve.estimate(name, shots, measure)
        for name in curve.contenders
        for shots in curve.shots
    }
    ends = [end for e in found.values() for end in (e.value, e.low, e.high) if not isnan(end)]
    low, high = floor(min(ends) * 10) / 10, ceil(max(ends) * 10) / 10
    high = max(high, low + 0.1)
    right, bottom = width - _RIGHT, height - _BOTTOM
    step = (right - _LEFT) / len(curve.shots)
    xs = {shots: _LEFT + step * (place + 0.5) for place, shots in enumerate(curve.shots)}

    def y(share: float) -> float:
        return bottom - (share - low) / (high - low) * (bottom - _TOP)

    lines = []
    for number, name in enumerate(curve.contenders):
        told = [(shots, found[name, shots]) for shots in curve.shots if not isnan(found[name, shots].value)]
        upper = [(xs[shots], y(e.value if isnan(e.high) else e.high)) for shots, e in told]
        lower = [(xs[shots], y(e.value if isnan(e.low) else e.low)) for shots, e in told]
        lines.append(
            Line(
                name=name,
                number=number,
                points=tuple(
                    Point(x=xs[k], y=y(e.value), said=f"{name}, {shots_text(k)}: {e:.1%}") for k, e in told
                ),
                band=" ".join(f"{a:.1f},{b:.1f}" for a, b in upper + lower[::-1]),
            )
        )
    count = round((high - low) * 10)
    every = 1 if count <= 6 else 2
    return Plot(
        width=width,
        height=height,
        x_ticks=tuple(Tick(at=xs[shots], text=shots_text(shots)) for shots in curve.shots),
        y_ticks=tuple(
            Tick(at=y(low + part / 10), text=f"{low + part / 10:.0%}") for part in range(0, count + 1, every)
        ),
        lines=tuple(lines),
    )


def reliability_plot(held_out: HeldOut) -> Plot:
    """How often answers were right (bars) against how probable they were said to be; the diagonal is
    ideal."""
    width, height = 360.0, 330.0
    right, bottom = width - _RIGHT, height - _BOTTOM
    p = held_out.probabilities[held_out.judged]
    hits = held_out.answers[held_out.judged] == held_out.y[held_out.judged]
    bins = np.clip(np.ceil(p.max(axis=1) * BINS).astype(int) - 1, 0, BINS - 1)
    bars = []
    for number in range(BINS):
        inside = hits[bins == number]
        if len(inside):
            share = float(inside.mean())
            tall = share * (bottom - _TOP)
            step = (right - _LEFT) / BINS
            said = f"{number / BINS:.0%} to {(number + 1) / BINS:.0%}: {share:.0%} of {len(inside)} right"
            bars.append((_LEFT + number * step + 1, bottom - tall, step - 2, tall, said))
    parts = [part / 4 for part in range(5)]
    return Plot(
        width=width,
        height=height,
        x_ticks=tuple(Tick(at=_LEFT + part * (right - _LEFT), text=f"{part:.0%}") for part in parts),
        y_ticks=tuple(Tick(at=bottom - part * (bottom - _TOP), text=f"{part:.0%}") for part in parts),
        bars=tuple(bars),
    )
