"""None of these: how well a picture of a class that was not taught is told from one that was.

    python benchmarks/unknown.py --data FOLDER

FOLDER holds the sets as `feature_sets` reads them. Half of the classes of a set, by the seed, are taught; the
test pictures of the others are foreign. `rejected` is the share with a p-value under 0.05, which only
`head.known` gives. AUROC is how often a known picture scores above a foreign one. Figures are in percent,
means of the sets; intervals are of 95 %, Student's t over seeds. The last rows teach six classes by one shot
each: foreign are the other classes of the set, or pictures of the other sets.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.progress import Progress

from feature_sets import FeatureSet, read_sets
from figures import interval, percent, percent_of_all
from handful import Head, fit_head
from handful.adapters import METHODS
from handful.evaluation.metrics import auroc, fpr95, over_seeds, paired_difference
from references import Array, Labels, gda, ncm, probabilities
from tables import Row, command, print_table, write_result

LEVEL = 0.05
FEW = 6  # classes of the smallest case
KNOWN = "head.known"


@dataclass(frozen=True, eq=False)
class Taught:
    """Some classes of a set: their shots, and all that may be asked."""

    X: Array
    y: Labels
    class_count: int
    head: Head
    known: Array
    foreign: Array

    @classmethod
    def of(cls, features: FeatureSet, classes: Labels, k: int, seed: int, method: str) -> "Taught":
        drawn = features.shots(k, seed)
        drawn = drawn[np.isin(features.pool_labels[drawn], classes)]
        X, y = features.pool[drawn], np.searchsorted(classes, features.pool_labels[drawn])
        ours = np.isin(features.test_labels, classes)
        head = fit_head(method, X, y, class_count=len(classes), background=features.background)
        return cls(X, y, len(classes), head, features.test[ours], features.test[~ours])


def max_softmax(taught: Taught, Q: Array) -> Array:
    """The answer's probability, of the same head. Hendrycks and Gimpel, ICLR 2017."""
    return taught.head.probabilities(Q).max(axis=1)


def max_softmax_of_means(taught: Taught, Q: Array) -> Array:
    """The same of class means, at CLIP's logit scale."""
    return probabilities(ncm(taught.X, taught.y, Q, taught.class_count)).max(axis=1)


def max_score(taught: Taught, Q: Array) -> Array:
    """Cosine to the nearest class mean."""
    return ncm(taught.X, taught.y, Q, taught.class_count).max(axis=1)


def nearest_shot(taught: Taught, Q: Array) -> Array:
    """Minus the distance to the nearest shot, by its cosine. Sun et al., ICML 2022, with k = 1."""
    return (Q @ taught.X.T).max(axis=1)


def mahalanobis(taught: Taught, Q: Array) -> Array:
    """Minus the Mahalanobis distance to the nearest class mean. Lee et al., NeurIPS 2018.

    The covariance is that of `references.gda`, whose score is half of minus the squared distance, plus
    ½ q P q, without the prior.
    """
    X, y = taught.X.astype(np.float64), taught.y
    means = np.stack([X[y == c].mean(axis=0) for c in range(taught.class_count)])
    residuals = X - means[y]
    scatter = residuals.T @ residuals
    trace, dimension = np.trace(scatter) / max(len(X) - 1, 1), X.shape[1]
    eye = np.eye(dimension)
    precision = dimension * np.linalg.inv(scatter + trace * eye) if trace > 1e-12 else eye
    scores = 2 * (gda(X, y, Q, taught.class_count) - np.log(np.bincount(y) / len(y)))
    return scores.max(axis=1) - ((Q @ precision) * Q).sum(axis=1)


DETECTORS = {
    KNOWN: lambda taught, Q: taught.head.known(Q),
    "max-softmax": max_softmax,
    "max-softmax of class means": max_softmax_of_means,
    "max-score": max_score,
    "nearest shot": nearest_shot,
    "Mahalanobis": mahalanobis,
}
MEASURES = ("auroc", "fpr95", "known_rejected", "foreign_rejected")


def half_left_out(
    sets: Sequence[FeatureSet], shots: list[int], seeds: int, method: str
) -> dict[tuple[int, str, str], Array]:
    """(shots, detector, measure) → (sets, seeds)."""
    found = {
        (k, name, measure): np.full((len(sets), seeds), np.nan)
        for k in shots
        for name in DETECTORS
        for measure in MEASURES
    }
    with Progress(transient=True) as bar:
        task = bar.add_task("half of the classes", total=len(sets) * seeds * len(shots))
        for at, features in enumerate(sets):
            for seed in range(seeds):
                order = np.random.default_rng(1000 + seed).permutation(features.class_count)
                classes = np.sort(order[: (features.class_count + 1) // 2])
                for k in shots:
                    taught = Taught.of(features, classes, k, seed, method)
                    for name, detector in DETECTORS.items():
                        known, foreign = detector(taught, taught.known), detector(taught, taught.foreign)
                        found[k, name, "auroc"][at, seed] = auroc(known, foreign)
                        found[k, name, "fpr95"][at, seed] = fpr95(known, foreign)
                        if name == KNOWN:
                            found[k, name, "known_rejected"][at, seed] = np.mean(known < LEVEL)
                            found[k, name, "foreign_rejected"][at, seed] = np.mean(foreign < LEVEL)
                    bar.advance(task)
    return found


def few_classes(sets: Sequence[FeatureSet], seeds: int, method: str) -> dict[str, Array]:
    """Six classes by one shot each: shares rejected, (sets, seeds), of known, foreign and far pictures."""
    found = {what: np.zeros((len(sets), seeds)) for what in ("known", "other classes", "other sets")}
    for at, features in enumerate(sets):
        far = np.concatenate([other.test for other in sets if other is not features])
        for seed in range(seeds):
            order = np.random.default_rng(1000 + seed).permutation(features.class_count)
            taught = Taught.of(features, np.sort(order[:FEW]), 1, seed, method)
            asked = {"known": taught.known, "other classes": taught.foreign, "other sets": far}
            for what, rows in asked.items():
                found[what][at, seed] = np.mean(taught.head.known(rows) < LEVEL)
    return found


def result_rows(found: dict[tuple[int, str, str], Array], sets: list[str]) -> list[dict[str, object]]:
    """A row for each number of shots and detector."""
    rows: list[dict[str, object]] = []
    for k, name in dict.fromkeys((k, name) for k, name, _ in found):
        of_sets = {measure: found[k, name, measure].mean(axis=0) for measure in MEASURES}
        ours = found[k, KNOWN, "auroc"].mean(axis=0)
        rows.append(
            {
                "classes": "half",
                "shots": k,
                "detector": name,
                **{
                    f"auroc_{s}": 100 * row.mean()
                    for s, row in zip(sets, found[k, name, "auroc"], strict=True)
                },
                **{measure: percent_of_all(over_seeds(of_sets[measure])) for measure in MEASURES},
                "known_over_it": None
                if name == KNOWN
                else percent(paired_difference(ours, of_sets["auroc"])),
            }
        )
    return rows


def few_rows(found: dict[str, Array]) -> list[dict[str, object]]:
    """Rows of the six classes."""
    known = percent_of_all(over_seeds(found["known"].mean(axis=0)))
    return [
        {
            "classes": f"{FEW}, foreign: {what}",
            "shots": 1,
            "detector": KNOWN,
            "known_rejected": known,
            "foreign_rejected": percent_of_all(over_seeds(found[what].mean(axis=0))),
        }
        for what in ("other classes", "other sets")
    ]


def shown(row: dict[str, object], sets: list[str]) -> Row:
    """A row as the table has it."""

    return {
        "classes": row["classes"],
        "shots": row["shots"],
        "detector": row["detector"],
        "AUROC": interval(row.get("auroc")),
        **{name: row.get(f"auroc_{name}") for name in sets},
        "FPR95": interval(row.get("fpr95")),
        "head.known over it": interval(row.get("known_over_it"), "+"),
        "known rejected": interval(row.get("known_rejected")),
        "foreign rejected": interval(row.get("foreign_rejected")),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of .npz, two or more")
    parser.add_argument("--shots", default="1,2,4,8,16")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--few-seeds", type=int, default=40, help=f"for {FEW} classes")
    parser.add_argument("--method", default="auto", choices=sorted(METHODS))
    options = parser.parse_args()
    shots = [int(k) for k in options.shots.split(",")]
    sets = read_sets(options.data)
    names = [features.name for features in sets]
    rows = result_rows(half_left_out(sets, shots, options.seeds, options.method), names)
    rows += few_rows(few_classes(sets, options.few_seeds, options.method))
    print_table(f"Known or unknown, {options.method}", [shown(row, names) for row in rows], digits=1)
    notes = " ".join((__doc__ or "").split("\n\n")[-1].split())
    print(write_result("unknown", command(), rows, notes, seeds=options.seeds, few_seeds=options.few_seeds))


if __name__ == "__main__":
    main()
