"""A drawing of encoders: accuracy against speed or size, to choose one by."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10, sqrt

from jinja2 import Environment, PackageLoader, StrictUndefined

from handful.report.plots import Tick

_WIDTH, _HEIGHT = 760.0, 500.0
_LEFT, _TOP, _RIGHT, _BOTTOM = 56.0, 16.0, 24.0, 48.0
_SMALLEST, _LARGEST = 3.0, 11.0  # radii in pixels
_LETTER, _LINE = 5.8, 12.0  # pixels of a label's letter, and of its line
_UNKNOWN = 30.0  # pixels of the strip at the bottom for encoders without a figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """An encoder.    across : pictures per second, or bytes, above 0.    accuracy : in %.    size : bytes."""

    name: str
    across: float
    accuracy: float | None
    zero_shot: bool
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """Where a dot lies in the drawing, and its label; `hollow` where its accuracy is of another kind."""

    x: float
    y: float
    radius: float
    name: str
    said: str
    label_x: float
    label_y: float
    anchor: str
    hollow: bool


def drawn(dots: Sequence[Dot], *, across: str, unit: float = 1.0) -> str:
    """An SVG file: accuracy upwards, `across` on a logarithmic axis, areas of circles by size.

    across : what the axis is called.    unit : what its numbers are divided by.
    """
    known = [dot.accuracy for dot in dots if dot.accuracy is not None] or [50.0, 100.0]
    low, high = 5 * floor(min(known) / 5 - 0.2), min(5 * ceil(max(known) / 5 + 0.2), 100)
    left = floor(5 * log10(min(dot.across for dot in dots) / 1.15)) / 5
    right = ceil(5 * log10(max(dot.across for dot in dots) * 1.15)) / 5
    bottom = _HEIGHT - _BOTTOM - (_UNKNOWN if any(dot.accuracy is None for dot in dots) else 0.0)

    def x(value: float) -> float:
        return _LEFT + (log10(value) - left) / (right - left) * (_WIDTH - _RIGHT - _LEFT)

    def y(accuracy: float) -> float:
        return bottom - (accuracy - low) / (high - low) * (bottom - _TOP)

    largest = max(max(dot.size for dot in dots), 1)
    circles = [
        (
            dot,
            x(dot.across),
            bottom + _UNKNOWN / 2 if dot.accuracy is None else y(dot.accuracy),
            max(_LARGEST * sqrt(dot.size / largest), _SMALLEST),
        )
        for dot in sorted(dots, key=lambda one: -one.size)
    ]
    boxes = [(cx - r, cy - r, cx + r, cy + r) for _, cx, cy, r in circles]
    placed = [_placed(dot, cx, cy, r, boxes) for dot, cx, cy, r in circles]
    marks = [
        number * 10.0**power
        for power in range(floor(left) - 1, ceil(right) + 1)
        for number in (1, 2, 5)
        if left <= log10(number * 10.0**power) <= right
    ]
    template = Environment(
        loader=PackageLoader("handful"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    ).get_template("encoders.svg.j2")
    return template.render(
        width=_WIDTH,
        height=_HEIGHT,
        left=_LEFT,
        right=_WIDTH - _RIGHT,
        top=_TOP,
        bottom=_HEIGHT - _BOTTOM,
        across=across,
        x_ticks=[Tick(at=x(mark), text=f"{mark / unit:g}") for mark in marks],
        y_ticks=[Tick(at=y(mark), text=f"{mark}%") for mark in range(low, high + 1, 5)],
        dots=placed,
    )


def _placed(
    dot: Dot, x: float, y: float, radius: float, boxes: list[tuple[float, float, float, float]]
) -> Placed:
    """The label goes where it covers no other, if there is such a place."""
    wide = _LETTER * len(dot.name)
    near, slant = radius + 4, 0.7 * radius + 3
    choices = [
        *((x + near, y + 4 + up, "start") for up in (0, -6, 6)),
        *((x - near, y + 4 + up, "end") for up in (0, -6, 6)),
        (x, y - radius - 4, "middle"),
        (x, y + radius + 12, "middle"),
        *((x + slant, y + 4 + up, "start") for up in (-slant - 5, slant + 5)),
        *((x - slant, y + 4 + up, "end") for up in (-slant - 5, slant + 5)),
    ]

    def box(choice: tuple[float, float, str]) -> tuple[float, float, float, float]:
        left = choice[0] - {"start": 0.0, "middle": wide / 2, "end": wide}[choice[2]]
        return left, choice[1] - 9, left + wide, choice[1] - 9 + _LINE

    def covered(choice: tuple[float, float, str]) -> float:
        ours = box(choice)
        outside = max(_LEFT - ours[0], 0) + max(ours[2] - _WIDTH + 4, 0)
        return outside * _LINE + sum(_common(ours, other) for other in boxes)

    label_x, label_y, anchor = found = min(choices, key=covered)
    boxes.append(box(found))
    accuracy = "no figure" if dot.accuracy is None else f"{dot.accuracy:.1f}%"
    return Placed(
        x=x,
        y=y,
        radius=radius,
        name=dot.name,
        said=f"{dot.name}: {accuracy}, {dot.across:.3g}, {dot.size / 1e6:.0f} MB",
        label_x=label_x,
        label_y=label_y,
        anchor=anchor,
        hollow=not dot.zero_shot,
    )


def _common(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> float:
    """Area that two boxes share."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    return max(wide, 0.0) * max(high, 0.0)
