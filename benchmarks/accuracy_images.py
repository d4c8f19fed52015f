"""Accuracy on pictures: 0 to 16 shots with the builtin encoder, with and without words, against references.

    python benchmarks/accuracy_images.py --data FOLDER

FOLDER holds a folder for each set, which holds one for each class. All contenders are taught the same draws
and asked the same pictures, so that differences are paired. "swapped words": each class has the name of the
next, as where somebody names classes badly. `over best reference` is over the best of ncm, tip, logistic
regression and gda of each set at that number of shots; intervals are of 95 %, Student's t over seeds of the
mean of the sets.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from rich.progress import Progress

from handful import load_encoder
from handful.evaluation import Episode, Estimate, LearningCurve, Taught, Teach, learning_curve, teacher
from handful.evaluation.metrics import over_seeds, paired_difference
from handful.prompts import class_prompts, text_prior
from handful.rows import Rows
from picture_sets import folders_of, offer_sets
from references import REFERENCES, Array, Labels, Reference, probabilities
from tables import Row, command, print_table, write_result

PLAIN, WORDS, SWAPPED = "auto", "auto, words", "auto, swapped words"


class _Asked:
    """A reference taught an episode."""

    def __init__(self, reference: Reference, X: Array, y: Labels, class_count: int) -> None:
        self._taught = reference, X, y, class_count

    def probabilities(self, Q: Rows) -> Array:
        reference, X, y, class_count = self._taught
        return probabilities(reference(X, y, Q, class_count))

    def known(self, Q: Rows) -> Array:
        """The answer's probability; no reference has a p-value."""
        return self.probabilities(Q).max(axis=1)


def reference_teacher(reference: Reference, X: Rows) -> Teach:
    """Teach a reference the support of an episode."""

    def teach(episode: Episode) -> Taught:
        return _Asked(reference, X[episode.support], episode.support_labels, len(episode.classes))

    return teach


def read_set(folder: Path) -> tuple[list[Path], Labels, list[str]]:
    """Pictures, classes and class names of a folder of class folders."""
    names = sorted(path.name for path in folder.iterdir() if path.is_dir())
    pictures = [(path, c) for c, name in enumerate(names) for path in sorted((folder / name).glob("*.jpg"))]
    return [path for path, _ in pictures], np.array([c for _, c in pictures]), names


def measure(folder: Path, shots: list[int], seeds: int) -> LearningCurve:
    """The learning curves of all contenders on one set; pictures are encoded once."""
    encoder = load_encoder("builtin")
    pictures, y, names = read_set(folder)
    with Progress(transient=True) as bar:
        task = bar.add_task(f"{folder.name}: encoding", total=len(pictures))
        X = encoder.encode_images(pictures, progress=lambda done: bar.update(task, completed=done))
        text = text_prior(encoder.encode_texts, class_prompts(names))
        background = encoder.background
        contenders = {
            PLAIN: teacher("auto", X, background=background),
            WORDS: teacher("auto", X, text=text, background=background),
            SWAPPED: teacher("auto", X, text=np.roll(text, -1, axis=0), background=background),
            **{name: reference_teacher(reference, X) for name, reference in REFERENCES.items()},
        }
        task = bar.add_task(f"{folder.name}: teaching and asking")
        return learning_curve(
            X,
            y,
            contenders,
            shots=shots,
            seeds=seeds,
            from_words=[WORDS, SWAPPED],
            unknown=False,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )


def mean_of_sets(curves: Iterable[LearningCurve], contender: str, k: int, measure: str) -> Array:
    """(S,) mean over the sets for each seed."""
    return np.mean([curve.values(contender, k, measure) for curve in curves], axis=0)


def best_references(curves: dict[str, LearningCurve], k: int) -> tuple[Array, dict[str, str]]:
    """(S,) mean over sets of the accuracy of each set's best reference, and which it is."""
    best = {
        name: max(REFERENCES, key=lambda reference: float(curve.values(reference, k).mean()))
        for name, curve in curves.items()
    }
    return np.mean([curve.values(best[name], k) for name, curve in curves.items()], axis=0), best


def result_rows(curves: dict[str, LearningCurve], shots: list[int]) -> list[dict[str, object]]:
    """A row for each number of shots and contender, with everything in it."""
    rows: list[dict[str, object]] = []
    for k in shots:
        reference, best = best_references(curves, k)
        without = mean_of_sets(curves.values(), PLAIN, k, "accuracy")
        for contender in (PLAIN, WORDS, SWAPPED, *REFERENCES):
            accuracy = mean_of_sets(curves.values(), contender, k, "accuracy")
            if np.isnan(accuracy).all():
                continue
            ours = contender not in REFERENCES and k > 0
            worded = contender in (WORDS, SWAPPED) and k > 0
            rows.append(
                {
                    "shots": k,
                    "contender": contender,
                    **{name: 100 * curve.estimate(contender, k).value for name, curve in curves.items()},
                    "mean": percent(over_seeds(accuracy)),
                    "ece": 100 * float(mean_of_sets(curves.values(), contender, k, "ece").mean()),
                    "over_best_reference": percent(paired_difference(accuracy, reference)) if ours else None,
                    "best_reference": best if ours else None,
                    "over_no_words": percent(paired_difference(accuracy, without)) if worded else None,
                }
            )
    return rows


def percent(estimate: Estimate) -> dict[str, float | None]:
    """An estimate in percent, or in points, as data."""
    return {name: None if part is None else 100 * part for name, part in estimate.as_dict().items()}


def shown(row: dict[str, object], sets: Iterable[str]) -> Row:
    """A row as the table has it."""

    def interval(found: object, sign: str = "") -> str:
        if not isinstance(found, dict):
            return "–"
        return f"{found['value']:{sign}.1f} [{found['low']:{sign}.1f}, {found['high']:{sign}.1f}]"

    return {
        "shots": row["shots"],
        "contender": row["contender"],
        **{name: row[name] for name in sets},
        "mean of sets %": interval(row["mean"]),
        "ECE %": row["ece"],
        "over best reference": interval(row["over_best_reference"], "+"),
        "over no words": interval(row["over_no_words"], "+"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    offer_sets(parser)
    parser.add_argument("--shots", default="0,1,2,4,8,16")
    parser.add_argument("--seeds", type=int, default=20)
    options = parser.parse_args()
    shots = [int(k) for k in options.shots.split(",")]
    folders = folders_of(parser, options)
    curves = {folder.name: measure(folder, shots, options.seeds) for folder in folders}
    rows = result_rows(curves, shots)
    title = f"Accuracy on pictures, builtin encoder, {options.seeds} seeds"
    print_table(title, [shown(row, curves) for row in rows], digits=1)
    notes = [f"Sets: {', '.join(curves)}.", " ".join((__doc__ or "").split("\n\n")[-1].split())]
    print(write_result("accuracy_images", command(), rows, notes, seeds=options.seeds))


if __name__ == "__main__":
    main()
