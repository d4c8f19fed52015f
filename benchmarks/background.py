"""What a background is worth to `auto`, and what may stand for one that nobody has.

    python benchmarks/background.py --data FOLDER

FOLDER holds the sets as `feature_sets` reads them. Each set is taught without a background; with an isotropic
one around the origin, or around the shots' own mean; with that of the other sets' pictures (of which none is
of the set's classes); with that of the set's own pool, unlabelled, as a service that does nothing else would
see it in its traffic, by the usual ridge and by a larger one; and with others' pictures of which a tenth, or
a half, by weight, are such traffic. No test picture is in any of them. `gain` is the paired difference to no
background, of the mean of the sets, with Student's interval of 95 % over seeds.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from feature_sets import FeatureSet, read_sets
from figures import interval, percent
from handful import Background, fit_head
from handful.evaluation.metrics import over_seeds, paired_difference
from handful.rows import Rows
from tables import command, print_table, write_result

SHOTS = (1, 2, 4, 16)


def isotropic(mean: Rows) -> Background:
    """Unit rows around a mean, spread alike in all directions."""
    spread = 1 - float(np.square(mean, dtype=np.float64).sum())
    return Background(mean=mean, covariance=np.eye(len(mean)) * spread / len(mean), count=0)


def mixed(one: FeatureSet, share: float) -> Background:
    """Others' pictures, and the set's own by a share of the weight."""
    own, others = Background.fit(one.pool), one.background
    step = own.mean - others.mean
    covariance = (1 - share) * others.covariance + share * own.covariance
    return Background(
        mean=others.mean + share * step,
        covariance=covariance + share * (1 - share) * np.outer(step, step),
        count=others.count + own.count,
    )


KINDS: dict[str, Callable[[FeatureSet, Rows], Background | None]] = {
    "none": lambda one, X: None,
    "isotropic, around the origin": lambda one, X: isotropic(np.zeros(X.shape[1], np.float32)),
    "isotropic, around the shots": lambda one, X: isotropic(X.mean(axis=0)),
    "other pictures": lambda one, X: one.background,
    "other pictures, a tenth traffic": lambda one, X: mixed(one, 0.1),
    "other pictures, half traffic": lambda one, X: mixed(one, 0.5),
    "traffic alone": lambda one, X: Background.fit(one.pool),
    "traffic alone, ridge 10": lambda one, X: replace(Background.fit(one.pool), ridge=10.0),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of .npz, two or more")
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    sets = read_sets(options.data)
    right = np.zeros((len(KINDS), len(SHOTS), options.seeds, len(sets)))
    for at, one in enumerate(sets):
        for seed in range(options.seeds):
            for k, shots in enumerate(SHOTS):
                taught = one.shots(shots, seed)
                X, y = one.pool[taught], one.pool_labels[taught]
                for kind, made in enumerate(KINDS.values()):
                    head = fit_head("auto", X, y, class_count=one.class_count, background=made(one, X))
                    right[kind, k, seed, at] = (
                        head.scores(one.test).argmax(axis=1) == one.test_labels
                    ).mean()
    accuracy = right.mean(axis=3)
    rows = [
        {
            "background": name,
            "shots": shots,
            "accuracy": percent(over_seeds(accuracy[kind, k])),
            "gain": percent(paired_difference(accuracy[kind, k], accuracy[0, k])),
            "worst_set": 100 * float((right[kind, k] - right[0, k]).mean(axis=0).min()),
        }
        for k, shots in enumerate(SHOTS)
        for kind, name in enumerate(KINDS)
    ]
    shown = [
        {
            **row,
            "accuracy": interval(row["accuracy"]),
            "gain": interval(row["gain"], "+"),
            "worst_set": f"{row['worst_set']:+.1f}",
        }
        for row in rows
    ]
    print_table(f"What a background is worth to auto, {options.seeds} seeds", shown)
    notes = " ".join((__doc__ or "").split("\n\n")[-1].split())
    print(write_result("background", command(), rows, notes, sets=[one.name for one in sets]))


if __name__ == "__main__":
    main()
