"""How long a head takes to make, ask and change, and what it weighs: every method beside scikit-learn.

    python benchmarks/heads.py [--data FOLDER]

100 classes of 16 shots, 1,000 queries. Without --data the rows are drawn: 512 columns, a common mean,
classes and pictures around it along the same falling spectrum, with the cosines that CLIP has between
pictures of different classes (0.50) and of one class (0.77). With it, they are of the set with most classes
in the folder, read as `feature_sets` does. `zero-shot` has made-up texts, so only its times and its compact
head mean something. In each round all contenders take their turn; a time is the median of the rounds, a
ratio the median of the ratios within the rounds. `÷ LR` is over fitting scikit-learn's LogisticRegression
with C = 31.6 on the same rows. `bytes per class` is of the saved compact head. `add − refit` is the largest
difference between scores of a head with one shot added and of one fitted with it.
"""

import argparse
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TypeVar

import numpy as np
from rich.progress import Progress
from sklearn.linear_model import LogisticRegression

from feature_sets import read_sets
from handful import Background, Head, fit_head
from handful.adapters import METHODS
from handful.rows import Rows, unit
from references import LOGISTIC_C, Array, Labels
from tables import Row, command, print_table, write_result

CLASSES, SHOTS, QUERIES, DIMENSION = 100, 16, 1000, 512
BETWEEN, WITHIN = 0.50, 0.77  # cosines of pictures of two classes, and of one
FALL = 1.0  # standard deviation of the n-th direction is n to the minus this

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """Shots, one more of them, queries with their truths, texts for `zero-shot`, and the background."""

    X: Rows
    y: Labels
    extra: Rows
    extra_label: int
    Q: Rows
    truths: Labels
    text: Rows
    background: Background

    @property
    def class_count(self) -> int:
        return len(self.text)


def drawn_task(seed: int = 0) -> Task:
    """Gaussian classes on a falling spectrum."""
    rng = np.random.default_rng(seed)
    spectrum = np.arange(1, DIMENSION + 1) ** -FALL
    spectrum *= np.sqrt(DIMENSION / (spectrum**2).sum())
    mean = unit(rng.standard_normal(DIMENSION)[None])[0] * np.sqrt(BETWEEN)

    def around(count: int) -> Array:
        return rng.standard_normal((count, DIMENSION)) * spectrum / np.sqrt(DIMENSION)

    def pictures(classes: Array, labels: Labels) -> Rows:
        rows = mean + np.sqrt(WITHIN - BETWEEN) * classes[labels] + np.sqrt(1 - WITHIN) * around(len(labels))
        return unit(rows).astype(np.float32)

    others, classes = around(1000), around(CLASSES)
    y = np.repeat(np.arange(CLASSES), SHOTS)
    truths = rng.integers(0, CLASSES, QUERIES)
    return Task(
        X=pictures(classes, y),
        y=y,
        extra=pictures(classes, np.array([7]))[0],
        extra_label=7,
        Q=pictures(classes, truths),
        truths=truths,
        text=unit(mean + classes + around(CLASSES)).astype(np.float32),
        background=Background.fit(pictures(others, np.arange(1000).repeat(3))),
    )


def read_task(folder: Path, seed: int = 0) -> Task:
    """Of the set with most classes; class means of its pool stand in for the texts of `zero-shot`."""
    features = max(read_sets(folder), key=lambda features: features.class_count)
    rng = np.random.default_rng(seed)
    taught = features.shots(SHOTS, seed)
    left = np.setdiff1d(np.arange(len(features.pool)), taught)
    extra = int(rng.choice(left))
    asked = rng.permutation(len(features.test))[:QUERIES]
    C = features.class_count
    text = np.stack([features.pool[features.pool_labels == c].mean(axis=0) for c in range(C)])
    return Task(
        X=features.pool[taught],
        y=features.pool_labels[taught],
        extra=features.pool[extra],
        extra_label=int(features.pool_labels[extra]),
        Q=features.test[asked],
        truths=features.test_labels[asked],
        text=unit(text).astype(np.float32),
        background=features.background,
    )


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """What it gives, and seconds."""
    start = perf_counter()
    made = work()
    return made, perf_counter() - start


def fitted(task: Task, method: str, *, with_extra: bool = False) -> Head:
    """A head of the shots; only `zero-shot` gets texts, and no shots."""
    worded = method == "zero-shot"
    X = np.concatenate([task.X, task.extra[None]]) if with_extra else task.X
    y = np.append(task.y, task.extra_label) if with_extra else task.y
    return fit_head(
        method,
        X[:0] if worded else X,
        y[:0] if worded else y,
        class_count=task.class_count,
        text=task.text if worded else None,
        background=task.background,
    )


def logistic(task: Task, C: float) -> LogisticRegression:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what scikit-learn thinks of few rows per class
        return LogisticRegression(C=C, max_iter=1000).fit(task.X, task.y)


class Times:
    """Seconds of each step of each contender, a list over rounds."""

    def __init__(self) -> None:
        self._spent: dict[tuple[str, str], list[float]] = {}

    def note(self, contender: str, step: str, seconds: float) -> None:
        self._spent.setdefault((contender, step), []).append(seconds)

    def milliseconds(self, contender: str, step: str) -> float | None:
        spent = self._spent.get((contender, step))
        return None if spent is None else 1000 * median(spent)

    def ratio(self, one: tuple[str, str], other: tuple[str, str]) -> float | None:
        """Median over rounds of time `one` over time `other`; each is (contender, step)."""
        if one not in self._spent or other not in self._spent:
            return None
        return median(a / b for a, b in zip(self._spent[one], self._spent[other], strict=True))


REGRESSIONS = {"LogisticRegression, C = 31.6": LOGISTIC_C, "LogisticRegression, C = 1": 1.0}
LR = next(iter(REGRESSIONS))


def run(task: Task, rounds: int) -> tuple[Times, dict[str, Head], dict[str, LogisticRegression]]:
    """All contenders, one after another, `rounds` times."""
    times, heads, models = Times(), {}, {}
    for method in METHODS:
        fitted(task, method)  # what is computed once per background is not the head's time
    with Progress(transient=True) as bar:
        for _ in bar.track(range(rounds), description="rounds"):
            for method in METHODS:
                heads[method], spent = timed(lambda method=method: fitted(task, method))
                times.note(method, "fit", spent)
                times.note(method, "score", timed(lambda head=heads[method]: head.scores(task.Q))[1])
                if method != "zero-shot":
                    add = timed(lambda head=heads[method]: head.add(task.extra, task.extra_label, "extra"))[1]
                    times.note(method, "add", add)
            for name, C in REGRESSIONS.items():
                models[name], spent = timed(lambda C=C: logistic(task, C))
                times.note(name, "fit", spent)
                times.note(
                    name, "score", timed(lambda model=models[name]: model.decision_function(task.Q))[1]
                )
    return times, heads, models


def result_rows(
    task: Task, times: Times, heads: dict[str, Head], models: dict[str, LogisticRegression]
) -> list[Row]:
    """A row for each contender."""

    def accuracy(answers: Labels) -> float:
        return 100 * float(np.mean(answers == task.truths))

    rows: list[Row] = []
    for method, head in heads.items():
        compact = head.compact()
        rows.append(
            {
                "method": method,
                "fit ms": times.milliseconds(method, "fit"),
                "fit ÷ LR": times.ratio((method, "fit"), (LR, "fit")),
                "score ms": times.milliseconds(method, "score"),
                "add ms": times.milliseconds(method, "add"),
                "add ÷ fit": times.ratio((method, "add"), (method, "fit")),
                "add − refit": difference(task, method, head),
                "bytes per class": len(compact.to_bytes()) / task.class_count,
                "top-1 %": accuracy(head.scores(task.Q).argmax(axis=1)),
                "compact top-1 %": accuracy(compact.scores(task.Q).argmax(axis=1)),
            }
        )
    for name, model in models.items():
        rows.append(
            {
                "method": name,
                "fit ms": times.milliseconds(name, "fit"),
                "fit ÷ LR": times.ratio((name, "fit"), (LR, "fit")),
                "score ms": times.milliseconds(name, "score"),
                "add ms": None,
                "add ÷ fit": None,
                "add − refit": None,
                "bytes per class": None,
                "top-1 %": accuracy(model.predict(task.Q)),
                "compact top-1 %": None,
            }
        )
    return rows


def difference(task: Task, method: str, head: Head) -> float | None:
    """Largest absolute difference in score between adding and refitting; None where no shot is added."""
    if method == "zero-shot":
        return None
    added = head.add(task.extra, task.extra_label, "extra")
    return float(np.abs(added.scores(task.Q) - fitted(task, method, with_extra=True).scores(task.Q)).max())


def shown(row: Row) -> Row:
    """A row as the table has it: bytes without decimals, a difference by its size."""
    found, weight = row["add − refit"], row["bytes per class"]
    return {
        **row,
        "add − refit": "–" if found is None else f"{found:.0e}",
        "bytes per class": None if weight is None else round(float(weight)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder of .npz in place of drawn rows")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    task = drawn_task() if options.data is None else read_task(options.data)
    rows = result_rows(task, *run(task, options.rounds))
    size = (
        f"{task.class_count} classes, {len(task.X):,} shots, {len(task.Q):,} queries, D = {task.X.shape[1]}"
    )
    print_table(f"Heads: {size}", [shown(row) for row in rows], digits=3)
    notes = [size + ".", " ".join((__doc__ or "").split("\n\n")[-1].split())]
    name = "heads" if options.data is None else "heads_features"
    print(write_result(name, command(), rows, notes, rounds=options.rounds))


if __name__ == "__main__":
    main()
