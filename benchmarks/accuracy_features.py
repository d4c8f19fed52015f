"""Accuracy on embeddings made elsewhere: 1 to 16 shots, no words, every method against references.

    python benchmarks/accuracy_features.py --data FOLDER

FOLDER holds the sets as `feature_sets` reads them. All contenders are taught the same draws and asked the
same pictures, so that differences are paired. `over best reference` is over the reference that is best in
the mean of the sets at that number of shots; `on the worst set` is the least of the differences to each
set's own best reference. Intervals are of 95 %, Student's t over seeds of the mean of the sets.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from statistics import mean

import numpy as np
from rich.progress import Progress

from feature_sets import UNEQUAL, FeatureSet, Shots, read_sets
from figures import interval, percent, percent_of_all, value
from handful import fit_head
from handful.adapters import METHODS
from handful.evaluation.metrics import accuracy, expected_calibration_error, over_seeds, paired_difference
from references import REFERENCES, Array, Labels, Reference, probabilities
from tables import Row, command, print_table, write_result

TRAINED = ("tip-f", "clip-adapter")
SLOW = "logistic regression"
WORDS_ONLY = "zero-shot"
NAMED = {name: f"{name}, plain" if name in METHODS else name for name in REFERENCES}  # among the contenders

Contender = Callable[[FeatureSet, Labels], Array]  # (set, positions of shots) → (M, C) probabilities
Found = dict[tuple[str, Shots, str], tuple[Array, Array]]  # (contender, shots, set) → (S,) accuracies, ECEs


def ours(method: str, *, with_background: bool = True) -> Contender:
    """A method of Handful."""

    def ask(features: FeatureSet, shots: Labels) -> Array:
        head = fit_head(
            method,
            features.pool[shots],
            features.pool_labels[shots],
            class_count=features.class_count,
            background=features.background if with_background else None,
        )
        return head.probabilities(features.test)

    return ask


def theirs(reference: Reference) -> Contender:
    """A reference."""

    def ask(features: FeatureSet, shots: Labels) -> Array:
        X, y = features.pool[shots], features.pool_labels[shots]
        return probabilities(reference(X, y, features.test, features.class_count))

    return ask


def contenders(method: str) -> dict[str, Contender]:
    """All methods that need no words, the judged one also without a background, and the references."""
    return {
        method: ours(method),
        f"{method}, no background": ours(method, with_background=False),
        **{name: ours(name) for name in METHODS if name not in (method, WORDS_ONLY)},
        **{contender: theirs(REFERENCES[name]) for name, contender in NAMED.items()},
    }


def measure(
    sets: list[FeatureSet], taking_part: dict[str, Contender], shots: list[Shots], seeds: dict[str, int]
) -> Found:
    """Teach and ask everything; a contender with fewer seeds has NaN for the others."""
    most = max(seeds.values())
    found: Found = {
        (name, k, features.name): (np.full(most, np.nan), np.full(most, np.nan))
        for name in taking_part
        for k in shots
        for features in sets
    }
    with Progress(transient=True) as bar:
        task = bar.add_task("teaching and asking", total=len(sets) * len(shots) * most)
        for features in sets:
            for k in shots:
                for seed in range(most):
                    drawn = features.shots(k, seed)
                    for name, ask in taking_part.items():
                        if seed >= seeds[name]:
                            continue
                        answer, y = ask(features, drawn), features.test_labels
                        accuracies, errors = found[name, k, features.name]
                        accuracies[seed] = accuracy(y, answer.argmax(axis=1))
                        errors[seed] = expected_calibration_error(y, answer)
                    bar.advance(task)
    return found


def result_rows(
    found: Found, names: list[str], shots: list[Shots], sets: list[str], method: str
) -> list[dict[str, object]]:
    """A row for each number of shots and contender; all figures in percent or points."""
    judged = (method, f"{method}, no background")
    rows: list[dict[str, object]] = []
    for k in shots:
        of_sets = {name: np.mean([found[name, k, s][0] for s in sets], axis=0) for name in names}
        best = max(NAMED.values(), key=lambda name: float(np.nanmean(of_sets[name])))
        bests = {
            s: max(NAMED.values(), key=lambda name: float(np.nanmean(found[name, k, s][0]))) for s in sets
        }
        for name in names:
            errors = np.mean([found[name, k, s][1] for s in sets], axis=0)
            row: dict[str, object] = {
                "shots": k,
                "method": name,
                **{s: 100 * float(np.nanmean(found[name, k, s][0])) for s in sets},
                "mean": percent_of_all(over_seeds(of_sets[name])),
                "ece": percent_of_all(over_seeds(errors)),
                "of_seeds": [None if np.isnan(share) else 100 * share for share in of_sets[name]],
            }
            if name in judged:
                per_set = {
                    s: percent(paired_difference(found[name, k, s][0], found[bests[s], k, s][0]))
                    for s in sets
                }
                row |= {
                    "best_reference": best,
                    "over_best_reference": percent(paired_difference(of_sets[name], of_sets[best])),
                    "best_reference_of_set": bests,
                    "over_best_reference_of_set": per_set,
                    "over_best_reference_of_set_mean": mean(value(found) for found in per_set.values()),
                    "on_worst_set": min(value(found) for found in per_set.values()),
                }
            rows.append(row)
    return rows


def shown(row: dict[str, object], sets: list[str]) -> Row:
    """A row as the table has it."""

    worst = row.get("on_worst_set")
    return {
        "shots": str(row["shots"]),
        "method": str(row["method"]),
        **{name: row[name] for name in sets},
        "mean of sets %": interval(row["mean"]),
        "ECE %": interval(row["ece"]),
        "over best reference": interval(row.get("over_best_reference"), "+"),
        "best reference": str(row.get("best_reference", "–")),
        "on the worst set": f"{worst:+.1f}" if isinstance(worst, float) else "–",
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of .npz, two or more")
    parser.add_argument("--shots", default=f"1,2,4,8,16,{UNEQUAL}")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trained-seeds", type=int, default=2, help=f"for {' and '.join(TRAINED)}")
    parser.add_argument("--quick", action="store_true", help=f"2 seeds for {SLOW}, too")
    parser.add_argument("--method", default="auto", choices=sorted(METHODS), help="the judged one")
    options = parser.parse_args()
    shots: list[Shots] = [k if k == UNEQUAL else int(k) for k in options.shots.split(",")]
    sets = read_sets(options.data)
    taking_part = contenders(options.method)
    seeds = {
        name: min(
            options.seeds,
            options.trained_seeds
            if name in TRAINED
            else 2
            if name == SLOW and options.quick
            else options.seeds,
        )
        for name in taking_part
    }
    found = measure(sets, taking_part, shots, seeds)
    names = [features.name for features in sets]
    rows = result_rows(found, list(taking_part), shots, names, options.method)
    title = f"Accuracy on embeddings, no words, {options.seeds} seeds"
    print_table(title, [shown(row, names) for row in rows], digits=1)
    notes = " ".join((__doc__ or "").split("\n\n")[-1].split())
    print(write_result("accuracy_features", command(), rows, notes, seeds=seeds))


if __name__ == "__main__":
    main()
