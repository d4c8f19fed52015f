"""The drawing of encoders: everything on it, nothing over another."""

import xml.etree.ElementTree as ET

import pytest

from handful.report.encoders import Dot, drawn

SVG = "{http://www.w3.org/2000/svg}"


def dot(name: str, across: float, accuracy: float | None, size: int = 100) -> Dot:
    return Dot(name=name, across=across, accuracy=accuracy, zero_shot=True, size=size)


def circles(drawing: str) -> dict[str, tuple[float, float, float]]:
    """Centre and radius by what is said of each."""
    root = ET.fromstring(drawing)
    found = {}
    for circle in root.iter(f"{SVG}circle"):
        title = circle.find(f"{SVG}title")
        assert title is not None
        assert title.text is not None
        found[title.text.split(":")[0]] = tuple(float(circle.attrib[key]) for key in ("cx", "cy", "r"))
    return found


def test_better_is_higher_more_is_to_the_right_and_larger_is_larger() -> None:
    found = circles(drawn([dot("small", 10, 60, 100), dot("large", 100, 80, 400)], across="speed"))
    assert found["large"][0] > found["small"][0]
    assert found["large"][1] < found["small"][1]
    assert found["large"][2] == pytest.approx(2 * found["small"][2], abs=0.1)


def test_the_axis_is_logarithmic() -> None:
    found = circles(drawn([dot(str(value), value, 70) for value in (1, 10, 100)], across="speed"))
    steps = found["10"][0] - found["1"][0], found["100"][0] - found["10"][0]
    assert steps[0] == pytest.approx(steps[1], abs=0.3)


def test_an_encoder_without_a_figure_stands_below_those_with_one() -> None:
    drawing = drawn([dot("known", 10, 60), dot("unknown", 10, None)], across="speed")
    found = circles(drawing)
    assert found["unknown"][1] > found["known"][1]
    assert "unknown: no figure" in drawing
    assert circles(drawn([dot("alone", 10, None)], across="speed")).keys() == {"alone"}


def test_labels_of_neighbours_do_not_lie_on_each_other() -> None:
    names = ["one", "two", "three"]
    root = ET.fromstring(drawn([dot(name, 10, 70 + at / 2) for at, name in enumerate(names)], across="speed"))
    boxes = []
    for text in root.iter(f"{SVG}text"):
        if text.text in names:
            wide = 5.8 * len(text.text)
            shift = {"start": 0, "middle": wide / 2, "end": wide}[text.attrib["text-anchor"]]
            boxes.append((float(text.attrib["x"]) - shift, float(text.attrib["y"]), wide))
    assert len(boxes) == 3
    for at, (left, low, wide) in enumerate(boxes):
        for other_left, other_low, other_wide in boxes[at + 1 :]:
            apart = (
                left + wide <= other_left or other_left + other_wide <= left or abs(low - other_low) >= 11.9
            )
            assert apart


def test_a_name_is_text_and_no_markup() -> None:
    drawing = drawn([dot("<script>&", 10, 70)], across="speed")
    assert "<script>" not in drawing
    assert "<script>&" in circles(drawing)
