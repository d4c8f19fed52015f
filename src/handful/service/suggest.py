"""Which unlabelled pictures to label next."""

from dataclasses import dataclass

import numpy as np

from handful.rows import FloatArray, Rows

_NEAREST = 20  # pictures by which typicality is told
_FEW_SHOTS = 4.0  # per class, at which doubt begins to weigh as much as typicality
_ALIKE = 0.5  # weight of likeness to what is labelled or picked already
_CROWD = 1.0  # weight of what was picked of the same class already
_MOST_PAIRS = 1000  # pictures compared with all others; of more, a part stands for all
_MOST_PICKED = 300  # pictures picked one after another; what is left of more comes in the order of then
_TOGETHER = 1000  # shots that pictures are compared with at once


@dataclass(frozen=True, slots=True)
class Suggestion:
    """index : of the picture in the request.    score : 0 to 1, when it was picked.    reason : why."""

    index: int
    score: float
    reason: str


def suggestions(
    Q: Rows, labelled: Rows, probabilities: FloatArray | None, shots_per_class: float
) -> list[Suggestion]:
    """All pictures, the most useful to label first.

    Q : (B, D) of the pictures.    labelled : (N, D) of the shots.
    probabilities : (B, C), None where nothing was taught yet.

    While shots are few, typical pictures come first: their label tells of many others. With more shots
    doubtful ones do, dealt over the classes they seem to belong to, since plain doubt picks from few classes
    only. A picture like one that is labelled, or picked before, waits.
    Sources: Hacohen, Dekel & Weinshall, ICML 2022 (typicality); Bang, Ahn & Lee, CVPR 2024 (balance).
    """
    typical = _ranks(_typicality(Q))
    doubt = np.zeros(len(Q)) if probabilities is None else _ranks(-_margin(probabilities))
    answers = np.zeros(len(Q), int) if probabilities is None else probabilities.argmax(axis=1)
    weight = 0.0 if probabilities is None else shots_per_class / (shots_per_class + _FEW_SHOTS)
    worth = (1 - weight) * typical + weight * doubt
    nearest = np.full(len(Q), -1.0)
    for start in range(0, len(labelled), _TOGETHER):
        nearest = np.maximum(nearest, (Q @ labelled[start : start + _TOGETHER].T).max(axis=1))
    usual = _usual_likeness(Q)
    crowd = np.zeros(len(Q))
    left = np.ones(len(Q), bool)
    picked: list[Suggestion] = []
    while len(picked) < len(Q):
        likeness = np.clip((nearest - usual) / max(1 - usual, 1e-6), 0, 1)
        score = worth * (1 - _ALIKE * likeness) / (1 + _CROWD * crowd)
        score[~left] = -1
        count = 1 if len(picked) < _MOST_PICKED else len(Q) - len(picked)
        best = np.argsort(-score, kind="stable")[:count]
        for at in best.tolist():
            reason = _reason(typical[at], doubt[at], weight, probabilities is not None, likeness[at])
            picked.append(Suggestion(at, float(score[at]), reason))
        left[best] = False
        nearest = np.maximum(nearest, (Q @ Q[best[:_TOGETHER]].T).max(axis=1))
        if probabilities is not None:
            crowd += answers == answers[best[0]]
    return picked


def _typicality(Q: Rows) -> FloatArray:
    """(B,) mean likeness to the nearest others."""
    places = np.linspace(0, len(Q) - 1, min(len(Q), _MOST_PAIRS)).astype(int)
    count = min(_NEAREST, len(places) - 1)
    if count < 1:
        return np.ones(len(Q))
    likeness = Q @ Q[places].T
    likeness[places, np.arange(len(places))] = -np.inf  # to itself
    return np.asarray(np.partition(likeness, -count, axis=1)[:, -count:].mean(axis=1), np.float64)


def _usual_likeness(Q: Rows) -> float:
    """Cosine of two pictures that have nothing more in common than these have."""
    mean = Q.mean(axis=0)
    return float(np.clip(mean @ mean, 0, 1))


def _margin(probabilities: FloatArray) -> FloatArray:
    """(B,) how far the best class is ahead of the next."""
    if probabilities.shape[1] < 2:
        return np.asarray(probabilities[:, 0])
    best = np.partition(probabilities, -2, axis=1)[:, -2:]
    return np.asarray(best[:, 1] - best[:, 0])


def _ranks(values: FloatArray) -> FloatArray:
    """(B,) places in order, 1 for the largest; equal values share theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    upto = np.cumsum(counts) / len(values)
    return np.asarray(upto[place], np.float64)


def _reason(typical: float, doubt: float, weight: float, taught: bool, likeness: float) -> str:
    if likeness > _ALIKE:
        return "much like one that is labelled or suggested before it"
    if taught and weight * doubt > (1 - weight) * typical:
        return "the classifier is in doubt between classes"
    return "typical: many of the other pictures are like it"
