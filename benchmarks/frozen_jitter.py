"""Augmentation of embeddings (FroFA): what jitter gains trained heads, and shaken copies of shots the others.

    python benchmarks/frozen_jitter.py --data FOLDER

FOLDER holds sets of embeddings as `feature_sets` reads them; no words. `tip-f` and `clip-adapter` learn from
rows that are shaken anew at every step; `auto` and `lda` are given four shaken copies of each shot, which are
left out with it. All are taught the same draws and asked the same pictures: a gain is in points of accuracy
over the same method without jitter, with the 95 % interval of Student's t over seeds of the mean of the sets.
"""

import argparse
from pathlib import Path

import numpy as np
from rich.progress import Progress

from feature_sets import FeatureSet, read_sets
from figures import interval, percent
from handful import fit_head
from handful.adapters.clip_adapter import ClipAdapterOptions
from handful.adapters.feature_jitter import FeatureJitter
from handful.adapters.tip_f import TipFOptions
from handful.evaluation.metrics import (
    accuracy,
    expected_calibration_error,
    over_seeds,
    paired_difference,
)
from references import Array, Labels
from tables import Row, command, print_table, write_result

TRAINED = {"tip-f": TipFOptions, "clip-adapter": ClipAdapterOptions}
CLOSED = ("auto", "lda")
NONE = ("none", 0.0)
JITTERS = (
    NONE,
    ("brightness", 0.1),
    ("brightness", 0.3),
    ("brightness", 0.6),
    ("contrast", 0.3),
    ("contrast", 0.6),
    ("posterise", 0.6),
    ("posterise", 1.0),
)
COPIES = 4

Found = dict[tuple[str, int, tuple[str, float]], list[list[tuple[float, float]]]]  # of sets, of seeds


def ask(method: str, jitter: tuple[str, float], features: FeatureSet, shots: Labels, seed: int) -> Array:
    """(M, C) probabilities of the test pictures."""
    X, y = features.pool[shots], features.pool_labels[shots]
    groups = np.arange(len(X))
    kind, strength = jitter
    options = None
    if method in TRAINED:
        options = TRAINED[method](jitter=kind, jitter_strength=strength, seed=seed)
    elif kind != "none":
        shake, random = FeatureJitter.of(X, kind=kind, strength=strength), np.random.default_rng(seed)
        X = np.concatenate([X, *(shake(X, random) for _ in range(COPIES))])
        y, groups = np.tile(y, COPIES + 1), np.tile(groups, COPIES + 1)
    head = fit_head(
        method,
        X,
        y,
        class_count=features.class_count,
        background=features.background,
        groups=groups,
        shot_ids=groups.tolist(),
        options=options,
    )
    return head.probabilities(features.test)


def measure(sets: list[FeatureSet], methods: list[str], shots: list[int], seeds: int) -> Found:
    """Accuracy and calibration error of everything."""
    found: Found = {}
    with Progress(transient=True) as bar:
        task = bar.add_task("teaching and asking", total=len(methods) * len(shots) * len(sets) * seeds)
        for method in methods:
            for k in shots:
                for features in sets:
                    of_set: dict[tuple[str, float], list[tuple[float, float]]] = {}
                    for seed in range(seeds):
                        drawn, y = features.shots(k, seed), features.test_labels
                        for jitter in JITTERS:
                            said = ask(method, jitter, features, drawn, seed)
                            right, error = (
                                accuracy(y, said.argmax(axis=1)),
                                expected_calibration_error(y, said),
                            )
                            of_set.setdefault(jitter, []).append((right, error))
                        bar.advance(task)
                    for jitter, own in of_set.items():
                        found.setdefault((method, k, jitter), []).append(own)
    return found


def result_rows(found: Found) -> list[dict[str, object]]:
    """A row for each method, number of shots and jitter, in percent or points."""
    means = {key: np.mean(np.array(own), axis=0) for key, own in found.items()}  # (S, 2)
    return [
        {
            "method": method,
            "jitter": kind,
            "strength": strength,
            "shots": k,
            "accuracy": percent(over_seeds(means[method, k, (kind, strength)][:, 0])),
            "ece": 100 * float(means[method, k, (kind, strength)][:, 1].mean()),
            "gain": None
            if (kind, strength) == NONE
            else percent(
                paired_difference(means[method, k, (kind, strength)][:, 0], means[method, k, NONE][:, 0])
            ),
        }
        for method, k, (kind, strength) in found
    ]


def shown(rows: list[dict[str, object]], shots: list[int]) -> list[Row]:
    """A row for each method and jitter: accuracy without, the gain with it, by shots."""
    found: dict[tuple[object, object, object], dict[str, str]] = {}
    for row in rows:
        key = (row["method"], row["jitter"], row["strength"])
        cell = interval(row["gain"], "+") if row["gain"] is not None else interval(row["accuracy"])
        found.setdefault(key, {})[str(row["shots"])] = cell
    return [
        {
            "method": str(method),
            "jitter": str(kind),
            "strength": f"{strength:g}",
            **{str(k): own[str(k)] for k in shots},
        }
        for (method, kind, strength), own in found.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", default="", help="names between commas; by default all")
    parser.add_argument("--methods", default=",".join([*TRAINED, *CLOSED]))
    parser.add_argument("--shots", default="1,2,4,8,16")
    parser.add_argument("--seeds", type=int, default=4)
    options = parser.parse_args()
    shots = [int(k) for k in options.shots.split(",")]
    wanted = [name for name in options.sets.split(",") if name]
    sets = [one for one in read_sets(options.data) if not wanted or one.name in wanted]
    rows = result_rows(measure(sets, options.methods.split(","), shots, options.seeds))
    title = f"Jitter of embeddings: accuracy in %, then points gained, by shots; {options.seeds} seeds"
    print_table(title, shown(rows, shots))
    notes = [
        f"Sets: {', '.join(one.name for one in sets)}.",
        " ".join((__doc__ or "").split("\n\n")[-1].split()),
    ]
    print(write_result("frozen_jitter", command(), rows, notes, seeds=options.seeds))


if __name__ == "__main__":
    main()
