"""What a comparison of policies of views looks like in a terminal."""

from collections.abc import Mapping
from math import nan
from typing import Any

from handful.cli.terminal import answer_table, say

CHOOSE = "choose"  # of --views: by the shots themselves


def show_views(found: Mapping[str, Any]) -> None:  # Any: JSON
    """A row for each policy; the choice and its reason on stderr.    found : as `ViewsFound.as_dict`."""
    each = found.get("milliseconds")
    rows = [
        [
            one["policy"],
            str(one["encodings"]),
            "–" if each is None else f"{each * one['encodings']:.0f}",
            _told(one["accuracy"], ".1%"),
            _told(one["gain"], "+.1%"),
        ]
        for one in found["policies"]
    ]
    header = ["views", "encodings of a shot", "ms of a shot", "left-out shots named rightly", "over none"]
    answer_table(header, rows, right=range(1, len(header)))
    say(f"Choose {found['chosen']}: {found['why']}")


def _told(figure: Mapping[str, float | None] | None, spec: str) -> str:
    from handful.evaluation.metrics import Estimate

    if figure is None:
        return "–"
    parts = (nan if (part := figure[name]) is None else part for name in ("value", "low", "high"))
    return format(Estimate(*parts), spec)
