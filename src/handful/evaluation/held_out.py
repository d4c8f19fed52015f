"""What a classifier says of its own shots when they are left out: its report where there is no test set."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from handful.errors import SupportError
from handful.evaluation.curve import REJECTED_BELOW, Progress, Teach
from handful.evaluation.episodes import Episode, group_codes
from handful.evaluation.metrics import (
    Estimate,
    auroc,
    bootstrap,
    bootstrap_pair,
    confusion,
    expected_calibration_error,
    fpr95,
    macro_f1,
    negative_log_likelihood,
    share,
)
from handful.rows import FloatArray, IntArray, Rows

_MOST_FOLDS = 10


@dataclass(frozen=True, kw_only=True, eq=False)
class HeldOut:
    """Answers for pictures by classifiers that had not seen them.

    y : (N,) classes.    judged : (N,) whether the picture could be left out; the others' rows mean nothing.
    probabilities : (N, C).    known : (N,) p-values.    fold : (N,) which pictures were left out together.
    foreign : (M,) p-values of pictures that belong to none of the classes, where there were some.
    """

    y: IntArray
    judged: NDArray[np.bool_]
    probabilities: FloatArray
    known: FloatArray
    fold: IntArray
    foreign: FloatArray = field(default_factory=lambda: np.zeros(0))

    @property
    def class_count(self) -> int:
        """Classes C."""
        return int(self.probabilities.shape[1])

    @cached_property
    def answers(self) -> IntArray:
        """(N,) the classes answered."""
        return np.asarray(self.probabilities.argmax(axis=1), np.int64)

    @cached_property
    def confusion(self) -> IntArray:
        """(C, C) counts of judged pictures: row is the truth, column the answer."""
        return confusion(self.y[self.judged], self.answers[self.judged], self.class_count)

    @cached_property
    def estimates(self) -> dict[str, Estimate]:
        """Accuracy, macro-F1, ECE, NLL and the share of pictures rejected as unknown, each with its interval.

        Over pictures: Wilson's for shares, otherwise by bootstrap. Where there were foreign pictures, also
        how well they are told from the others.
        """
        y, answers = self.y[self.judged], self.answers[self.judged]
        p, count = self.probabilities[self.judged], len(self.y[self.judged])
        known, foreign = self.known[self.judged], self.foreign
        strangers = {}
        if len(foreign):
            strangers = {
                "auroc": bootstrap_pair(auroc, known, foreign),
                "fpr95": bootstrap_pair(fpr95, known, foreign),
                "foreign_rejected": share(foreign < REJECTED_BELOW),
            }
        return {
            "accuracy": share(y == answers),
            "macro_f1": bootstrap(lambda rows: macro_f1(y[rows], answers[rows]), count),
            "ece": bootstrap(lambda rows: expected_calibration_error(y[rows], p[rows]), count),
            "nll": bootstrap(lambda rows: negative_log_likelihood(y[rows], p[rows]), count),
            "known_rejected": share(known < REJECTED_BELOW),
            **strangers,
        }

    @cached_property
    def mistakes(self) -> IntArray:
        """Positions of pictures that were answered wrongly, the surest mistakes first."""
        wrong = np.flatnonzero(self.judged & (self.answers != self.y))
        sure = self.probabilities[wrong, self.answers[wrong]]
        return wrong[np.argsort(-sure, kind="stable")]

    @cached_property
    def suspects(self) -> IntArray:
        """Positions of pictures whose label looks wrong, the clearest first.

        A picture is suspect where another class is at least as probable as it is, on average, for the
        pictures labelled so, and its own class is less probable than that. Source: Northcutt, Jiang &
        Chuang, JAIR 2021 (confident learning), §3.1.
        """
        rows = np.arange(len(self.y))
        own = self.probabilities[rows, self.y]
        usual = np.array(
            [
                own[mine].mean() if (mine := self.judged & (self.y == label)).any() else np.inf
                for label in range(self.class_count)
            ]
        )
        found = self.judged & (self.answers != self.y)
        found &= self.probabilities[rows, self.answers] >= usual[self.answers]
        found &= own < usual[self.y]
        picked = np.flatnonzero(found)
        margin = self.probabilities[picked, self.answers[picked]] - own[picked]
        return picked[np.argsort(-margin, kind="stable")]

    def nearest(self, X: Rows, picture: int, label: int, k: int = 3) -> list[tuple[int, float]]:
        """The k pictures of class `label` that the classifier of `picture` had seen nearest to it, with
        cosine."""
        seen = np.flatnonzero((self.y == label) & ((self.fold != self.fold[picture]) | ~self.judged))
        seen = seen[seen != picture]
        cosine = X[seen] @ X[picture]
        best = np.argsort(-cosine, kind="stable")[:k]
        return [(int(seen[i]), float(cosine[i])) for i in best]


def hold_out(
    X: Rows,
    y: ArrayLike,
    teach: Teach,
    *,
    class_count: int | None = None,
    groups: Sequence[object] | None = None,
    from_words: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
) -> HeldOut:
    """Leave pictures out, one of each class at a time, and ask a classifier taught by the rest.

    A class of k shots so loses one in each of k rounds; above ten shots there are ten rounds, and each loses
    a tenth. Every hyper-parameter is chosen anew without the pictures left out.
    groups : pictures of a group are left out together.    from_words : whether every class has a text, so
    that its last shot can be left out too.

    Raises SupportError where no picture can be left out.
    """
    labels = np.asarray(y, np.int64)
    count = int(labels.max()) + 1 if class_count is None else class_count
    names = group_codes(groups, len(labels))
    fold = _folds(labels, names, seed)
    probabilities = np.zeros((len(labels), count))
    known = np.ones(len(labels))
    judged = np.zeros(len(labels), bool)
    rounds = list(_rounds(labels, names, fold, from_words))
    if not any(len(asked) for asked in rounds):
        raise SupportError(
            "no shot can be left out: each class has only one; add a second shot to a class, "
            "or evaluate with a folder of test pictures"
        )
    for done, asked in enumerate(rounds):
        if len(asked):
            kept = np.delete(np.arange(len(labels)), asked)
            episode = Episode(
                shots=len(kept),
                seed=seed,
                classes=np.arange(count),
                support=kept,
                queries=asked,
                foreign=np.zeros(0, np.int64),
                labels=labels,
            )
            taught = teach(episode)
            probabilities[asked] = taught.probabilities(X[asked])
            known[asked] = taught.known(X[asked])
            judged[asked] = True
        if progress is not None:
            progress(done + 1, len(rounds))
    return HeldOut(y=labels, judged=judged, probabilities=probabilities, known=known, fold=fold)


def _folds(labels: IntArray, names: IntArray, seed: int) -> IntArray:
    """(N,) a round for each picture: groups dealt out class by class, in a drawn order."""
    rng = np.random.default_rng(seed)
    classes = np.unique(labels)
    groups_of = [np.unique(names[labels == label]) for label in classes]
    count = min(_MOST_FOLDS, max(len(groups) for groups in groups_of))
    dealt: dict[int, int] = {}
    for groups in groups_of:
        fresh = [name for name in rng.permutation(groups) if int(name) not in dealt]
        start = int(rng.integers(count))
        dealt |= {int(name): (start + place) % count for place, name in enumerate(fresh)}
    return np.array([dealt[int(name)] for name in names])


def _rounds(labels: IntArray, names: IntArray, fold: IntArray, from_words: bool) -> Iterator[IntArray]:
    """For each round the pictures to ask: those of its groups, but for groups a class would be lost with."""
    for number in range(int(fold.max()) + 1):
        out = fold == number
        if not from_words:
            lost = np.setdiff1d(labels, labels[~out])
            out &= ~np.isin(names, names[out & np.isin(labels, lost)])
        yield np.flatnonzero(out)
