"""Predictions: what a classifier says about one picture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from handful.adapters.head import Head
from handful.errors import SupportError
from handful.labels import Label
from handful.rows import FloatArray, IntArray, Rows

if TYPE_CHECKING:  # loaded where there are so many classes
    from handful.retrieval.two_stages import TwoStages

_NEIGHBOURS = 5  # shots that explain an answer, unless told how many
_FEW = 8  # a sort costs less than picking out more than one in so many


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassProbability:
    """A class and how probable it is, 0 to 1."""

    label: Label
    probability: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NearShot:
    """A shot that speaks for the answer.    share : its part, 0 to 1.

    image : its file's name; of a service the path of its kept picture, None where none is kept.
    """

    shot: str
    label: Label
    share: float
    image: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What a classifier says about one picture.

    label : the best class, always one.    probability : of that class.
    known : p-value of "belongs to one of the classes".    unknown : known < the classifier's threshold.
    classes : the best classes, best first.
    neighbours : shots that speak for the label, best first; None where no explanation was asked for.
    set : classes that together hold the truth with the coverage asked for; None where none was.
    """

    label: Label
    probability: float
    known: float
    unknown: bool
    classes: tuple[ClassProbability, ...]
    neighbours: tuple[NearShot, ...] | None = None
    set: tuple[Label, ...] | None = None

    @property
    def confidences(self) -> dict[str, float]:
        """Probability by label, best first: what Gradio's `Label` shows."""
        return {str(entry.label): entry.probability for entry in self.classes}

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready, in the shape of the HTTP service; what was not asked for is not there.

        >>> best = ClassProbability(label="dent", probability=0.9)
        >>> one = Prediction(label="dent", probability=0.9, known=0.4, unknown=False, classes=(best,))
        >>> one.as_dict()["classes"]
        [{'label': 'dent', 'probability': 0.9}]
        """
        said: dict[str, Any] = {
            "label": self.label,
            "probability": self.probability,
            "known": self.known,
            "unknown": self.unknown,
            "classes": [{"label": entry.label, "probability": entry.probability} for entry in self.classes],
        }
        if self.neighbours is not None:
            said["neighbours"] = [
                {"shot": near.shot, "label": near.label, "share": near.share, "image": near.image}
                for near in self.neighbours
            ]
        if self.set is not None:
            said["set"] = list(self.set)
        return said


def predictions(
    head: Head,
    Q: ArrayLike,
    names: Sequence[Label],
    sources: Mapping[str, str],
    *,
    top_k: int,
    coverage: float | None,
    explain: bool | int,
    unknown_threshold: float,
) -> list[Prediction]:
    """What a head says about rows Q (B, D).

    names : (C,) of its classes.    sources : the picture's name by shot id.
    The others as in `FewShotClassifier.classify`. Raises SupportError for a top_k that asks for nothing.
    """
    rows = head.checked(Q)
    said = row_predictions(
        head, rows, names, top_k=top_k, coverage=coverage, unknown_threshold=unknown_threshold
    )
    if not explain:
        return said
    return [
        replace(one, neighbours=_near(head, q, names, sources, explain))
        for one, q in zip(said, rows, strict=True)
    ]


def row_predictions(
    head: Head,
    rows: Rows,
    names: Sequence[Label],
    *,
    top_k: int,
    coverage: float | None,
    unknown_threshold: float,
    stages: "TwoStages | None" = None,
) -> list[Prediction]:
    """As `predictions`, without reasons, of unit rows (B, D) that were checked before.

    stages : of the head, where only candidates shall be looked at; sets are then of candidates, too.
    """
    if top_k < 1:
        raise SupportError(f"top_k is {top_k}; ask for at least one class")
    if stages is None:
        said, called = head.judged_rows(rows), [names] * len(rows)
    else:
        places, said = stages.judged(rows, top_k)
        called = [[names[place] for place in own] for own in places.tolist()]
    sets = None if coverage is None else head.conformal.sets(said.probabilities, coverage)
    answers = []
    for at, best in enumerate(_best(said.scores, top_k).tolist()):
        shares, own = said.probabilities[at, best].tolist(), called[at]
        ranked = tuple(
            ClassProbability(label=own[i], probability=share) for i, share in zip(best, shares, strict=True)
        )
        answers.append(
            Prediction(
                label=ranked[0].label,
                probability=ranked[0].probability,
                known=float(said.known[at]),
                unknown=bool(said.known[at] < unknown_threshold),
                classes=ranked,
                set=None if sets is None else tuple(own[i] for i in np.flatnonzero(sets[at]).tolist()),
            )
        )
    return answers


def _best(scores: FloatArray, k: int) -> IntArray:
    """(B, k) places of the highest scores, best first, of equal ones the first."""
    if k == 1:
        return np.asarray(scores.argmax(axis=1)[:, None])
    if k < scores.shape[1] // _FEW:
        some = np.sort(np.argpartition(-scores, k - 1, axis=1)[:, :k], axis=1)
        order = np.argsort(-np.take_along_axis(scores, some, axis=1), axis=1, kind="stable")
        return np.asarray(np.take_along_axis(some, order, axis=1))
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


def _near(
    head: Head, query: Rows, names: Sequence[Label], sources: Mapping[str, str], explain: bool | int
) -> tuple[NearShot, ...]:
    found = head.explain(query, _NEIGHBOURS if explain is True else explain)
    return tuple(
        NearShot(shot=near.shot_id, label=names[near.label], share=near.share, image=sources[near.shot_id])
        for near in found
    )
