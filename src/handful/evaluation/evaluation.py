"""An evaluation: everything that is said about a classifier, and how it is found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from handful.background import Background
from handful.evaluation.curve import LearningCurve, Progress, Teach, frame, learning_curve, teacher
from handful.evaluation.episodes import Shots
from handful.evaluation.held_out import HeldOut, hold_out
from handful.evaluation.metrics import Estimate
from handful.rows import Rows

if TYPE_CHECKING:
    from pandas import DataFrame

    from handful.evaluation.parts import PartsFound
    from handful.evaluation.views import ViewsFound

OURS = "handful"
LEFT_OUT = "Each was asked of a classifier that was taught all of the others but a few, and not itself."
_NEIGHBOURS = 3  # pictures shown beside one that went wrong, of the answer and of the truth


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """A learning curve, if there was one, and the answers for every picture that could be left out.

    class_names : (C,).    picture_names : (N,).    X : (N, D) embeddings of the pictures.
    how : what was asked of whom, a sentence for the reader of the report.
    settings : what was evaluated, in words, likewise.    views : policies of views, where some were compared.
    parts : of an ensemble, what each encoder is worth.
    """

    class_names: tuple[str, ...]
    picture_names: tuple[str, ...]
    X: Rows
    held_out: HeldOut
    curve: LearningCurve | None = None
    how: str = LEFT_OUT
    settings: Mapping[str, str] = field(default_factory=dict)
    views: "ViewsFound | None" = None
    parts: "PartsFound | None" = None

    def neighbours(self, picture: int, label: int) -> list[tuple[int, float]]:
        """The pictures of class `label` nearest to a picture, with cosine."""
        return self.held_out.nearest(self.X, picture, label, k=_NEIGHBOURS)

    def as_dict(self) -> dict[str, object]:
        """For JSON. Shares are in 0..1, `null` where there was nothing to measure."""
        held_out = self.held_out
        names = self.class_names
        estimates = held_out.estimates
        return {
            "accuracy": estimates["accuracy"].value,
            "measures": {name: estimate.as_dict() for name, estimate in estimates.items()},
            "pictures": len(held_out.y),
            "judged": int(held_out.judged.sum()),
            "classes": list(names),
            "confusion": held_out.confusion.tolist(),
            "mistakes": [
                {
                    **self._answer(picture),
                    "nearest": [
                        {"picture": self.picture_names[near], "label": names[label], "cosine": cosine}
                        for label in (held_out.answers[picture], held_out.y[picture])
                        for near, cosine in self.neighbours(picture, label)
                    ],
                }
                for picture in held_out.mistakes
            ],
            "suspects": [self._answer(picture) for picture in held_out.suspects],
            "curve": None if self.curve is None else self.curve.as_dict(),
            "settings": dict(self.settings),
            "views": None if self.views is None else self.views.as_dict(),
            "parts": None if self.parts is None else self.parts.as_dict(),
        }

    def to_frame(self) -> "DataFrame":
        """A pandas DataFrame: a row for each contender, number of shots and measure.

        Those of left-out pictures have no number of shots.
        """
        left_out: list[tuple[str, Shots | None, str, Estimate]] = [
            ("left out", None, measure, estimate) for measure, estimate in self.held_out.estimates.items()
        ]
        return frame([*left_out, *(self.curve.estimates if self.curve is not None else [])])

    def _answer(self, picture: int) -> dict[str, object]:
        held_out = self.held_out
        answer = held_out.answers[picture]
        return {
            "picture": self.picture_names[picture],
            "label": self.class_names[held_out.y[picture]],
            "answer": self.class_names[answer],
            "probability": float(held_out.probabilities[picture, answer]),
        }


def with_words(text: Rows | None) -> bool:
    """Whether each class has a text (C, D), so that words alone make a classifier."""
    return text is not None and bool(np.isfinite(text).all() and text.any(axis=1).all())


def evaluate(
    X: Rows,
    y: ArrayLike,
    *,
    class_names: Sequence[str],
    method: str = "auto",
    shots: Sequence[Shots] = (1, 2, 4, 8, 16),
    seeds: int | Sequence[int] = 20,
    text: Rows | None = None,
    background: Background | None = None,
    views: Rows | None = None,
    groups: Sequence[object] | None = None,
    rivals: Mapping[str, Teach] | None = None,
    options: object | None = None,
    picture_names: Sequence[str] | None = None,
    settings: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Evaluate a method on labelled pictures, given as embeddings.

    X : (N, D) unit rows.    y : (N,) classes, 0..C−1.    class_names : (C,).    text, background : as for
    `fit_head`.    views : (N, V, D) embeddings of further views of the pictures, to teach them as well.
    shots, seeds : of the learning curve; no shots: no curve. 0 shots is words alone, and needs texts.
    groups : (N,) names of what must be left out together.    rivals : other contenders, by name.

    Each figure has a 95 % interval: over draws in the curve, over pictures for those left out.
    """
    labels = np.asarray(y, np.int64)
    ours = teacher(method, X, text=text, background=background, views=views, options=options)
    complete = with_words(text)
    curve = None
    shots = shots if complete else [k for k in shots if k != 0]
    if shots:
        curve = learning_curve(
            X,
            labels,
            {OURS: ours, **(rivals or {})},
            shots=shots,
            seeds=seeds,
            groups=groups,
            from_words=[OURS] if complete else [],
            progress=progress,
        )
    return Evaluation(
        class_names=tuple(class_names),
        picture_names=tuple(picture_names or (str(row) for row in range(len(labels)))),
        X=X,
        held_out=hold_out(X, labels, ours, class_count=len(class_names), groups=groups, from_words=complete),
        curve=curve,
        settings=dict(settings or {}),
    )
