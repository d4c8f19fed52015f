"""Predictions, as people and programs read them."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from handful.cli.terminal import answer_json, answer_table

if TYPE_CHECKING:
    from handful.prediction import Prediction

_NEIGHBOURS = 3  # shots named beside an answer; JSON has all


def answer_predictions(
    names: Sequence[str],
    predictions: "Sequence[Prediction]",
    *,
    version: str | int,
    encoder: str,
    json: bool,
) -> None:
    """Print what is said of pictures of these names.    version, encoder : by which it is said."""
    if json:
        answer_json(
            {
                "predictions": [
                    {**prediction.as_dict(), "picture": name}
                    for name, prediction in zip(names, predictions, strict=True)
                ],
                "version": version,
                "encoder": encoder,
            }
        )
        return
    terminal = sys.stdout.isatty()
    header = ["picture", "answer", "probability", "known", "", "others"]
    if not terminal:
        header += ["because of", "set"]
    rows = []
    for name, prediction in zip(names, predictions, strict=True):
        others = ", ".join(f"{other.label} {other.probability:.0%}" for other in prediction.classes[1:3])
        near = prediction.neighbours or ()
        because = ", ".join(f"{shot.image} {shot.share:.0%}" for shot in near[:_NEIGHBOURS])
        covered = ", ".join(map(str, prediction.set or ()))
        row = [
            name,
            str(prediction.label),
            f"{prediction.probability:.1%}",
            f"{prediction.known:.3f}",
            "unknown?" if prediction.unknown else "",
        ]
        if terminal:
            lines = [others, because and f"because of {because}", covered and f"one of {covered}"]
            rows.append([*row, "\n".join(line for line in lines if line)])
        else:
            rows.append([*row, others, because, covered])
    answer_table(header, rows, right=[2, 3])
