"""What an ensemble beside its parts looks like in a terminal."""

from collections.abc import Mapping
from math import nan
from typing import Any

from handful.cli.terminal import answer_table


def show_parts(found: Mapping[str, Any]) -> None:  # Any: JSON
    """A row for each part, and one for the whole.    found : as `PartsFound.as_dict`."""
    rows = [
        [
            part["name"],
            f"{part['share']:.0%}",
            _told(part["accuracy"], ".1%"),
            _told(part["gain"], "+.1%"),
            _milliseconds(part["milliseconds"]),
        ]
        for part in found["parts"]
    ]
    rows.append(
        ["all together", "100%", _told(found["accuracy"], ".1%"), "", _milliseconds(found["milliseconds"])]
    )
    header = ["encoder", "share of the answer", "named rightly", "all together gains", "ms of a picture"]
    answer_table(header, rows, right=range(1, len(header)))


def _milliseconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f}"


def _told(figure: Mapping[str, float | None], spec: str) -> str:
    from handful.evaluation.metrics import Estimate

    parts = (nan if (part := figure[name]) is None else part for name in ("value", "low", "high"))
    return format(Estimate(*parts), spec)
