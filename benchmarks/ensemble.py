"""What a second and a third encoder are worth beside the builtin one, and what they cost.

    python scripts/convert_builtin.py --network lite0 --pictures FOLDER/imagenet-sample --out LITE0
    python benchmarks/ensemble.py --data FOLDER --lite0 LITE0

FOLDER holds picture sets, a folder for each class, and `imagenet-sample`, the pictures of anything that all
backgrounds are made of. Lite0 is a smaller sister of the builtin network, taught the same pictures; colour
and texture are histograms, weak and unlike a network. `side by side` is `auto` on the same rows as if they
were of one encoder. All are taught the same draws and asked the same pictures. `gain` is the paired
difference to builtin alone, `over_best` to the best single part of each set at that number of shots, both of
the mean of the sets, with Student's interval of 95 % over seeds; `worst_set`, the set's gain that is least.
`auroc` tells pictures of untaught classes (half of them, where there are six or more) from those of taught
ones. `ms` is what encoding a decoded picture takes, of a batch of 8. The constants of the mixture were chosen
on other draws of these very sets.
"""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from colour_texture import ColourTexture
from figures import interval, percent
from handful import Background, Head, JoinedBackground, fit_head
from handful.datasets import read_dataset
from handful.encoders import Encoder
from handful.encoders.builtin import BuiltinEncoder
from handful.encoders.cost import cost_of
from handful.encoders.ensemble import ensemble
from handful.encoders.shipped import Shipped
from handful.evaluation import Episode, Estimate, episodes
from handful.evaluation.metrics import auroc, expected_calibration_error, over_seeds, paired_difference
from handful.rows import IntArray, Rows, side_by_side
from tables import Value, command, print_table, write_result

SHOTS = (1, 2, 4, 8, 16)
FIRST_SEED = 1000  # those below chose constants
WAYS_FROM = 6  # classes from which half are left untaught, for `auroc`


class Lite0(BuiltinEncoder):
    name = "lite0"


@dataclass(frozen=True)
class Contender:
    """parts : names of encoders.    joined : whether heads see them as parts."""

    parts: tuple[str, ...]
    joined: bool = True

    @property
    def name(self) -> str:
        return "+".join(self.parts) + ("" if self.joined else ", side by side")

    def taught(self, episode: Episode, X: Mapping[str, Rows], encoders: Mapping[str, Encoder]) -> Head:
        own = [(encoders[part].dimension, encoders[part].background) for part in self.parts]
        background: Background | None = own[0][1]
        if len(own) > 1:
            background = JoinedBackground(own)
            if not self.joined:  # as one: mean and covariance, and nothing of parts
                background = Background(
                    mean=background.mean,
                    covariance=background.covariance,
                    count=background.count,
                    ridge=own[0][1].ridge if own[0][1] is not None else 0.3,
                )
        return fit_head(
            "auto",
            self.rows(X)[episode.support],
            episode.support_labels,
            class_count=len(episode.classes),
            background=background,
        )

    def rows(self, X: Mapping[str, Rows]) -> Rows:
        own = [X[part] for part in self.parts]
        return own[0] if len(own) == 1 else side_by_side(own)


CONTENDERS = (
    Contender(("builtin",)),
    Contender(("lite0",)),
    Contender(("colour-texture",)),
    Contender(("builtin", "lite0")),
    Contender(("builtin", "lite0"), joined=False),
    Contender(("builtin", "colour-texture")),
    Contender(("builtin", "colour-texture"), joined=False),
    Contender(("builtin", "lite0", "colour-texture")),
)
SINGLE = [at for at, one in enumerate(CONTENDERS) if len(one.parts) == 1]


def measure(
    X: Mapping[str, Rows], y: IntArray, encoders: Mapping[str, Encoder], seeds: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Accuracy, ECE and AUROC, (contenders, shots, seeds) each."""
    shape = (len(CONTENDERS), len(SHOTS), seeds)
    right, error, told = np.zeros(shape), np.zeros(shape), np.full(shape, np.nan)

    def ask(ways: int | None, say: Callable[[int, int, int, Episode, Head, Rows], None]) -> None:
        drawn = range(FIRST_SEED, FIRST_SEED + seeds)
        for episode in episodes(y, shots=SHOTS, seeds=drawn, ways=ways):
            place = SHOTS.index(int(np.max(episode.shots))), episode.seed - FIRST_SEED
            for at, contender in enumerate(CONTENDERS):
                say(at, *place, episode, contender.taught(episode, X, encoders), contender.rows(X))

    def judge(at: int, k: int, seed: int, episode: Episode, head: Head, rows: Rows) -> None:
        p = head.probabilities(rows[episode.queries])
        right[at, k, seed] = (p.argmax(axis=1) == episode.query_labels).mean()
        error[at, k, seed] = expected_calibration_error(episode.query_labels, p)

    def tell(at: int, k: int, seed: int, episode: Episode, head: Head, rows: Rows) -> None:
        told[at, k, seed] = auroc(head.known(rows[episode.queries]), head.known(rows[episode.foreign]))

    ask(None, judge)
    classes = len(np.unique(y))
    if classes >= WAYS_FROM:
        ask(classes // 2, tell)
    return right, error, told


def milliseconds(encoders: Mapping[str, Encoder]) -> list[float]:
    """Of each contender, a picture."""
    found: dict[tuple[str, ...], float] = {}
    for _ in range(3):  # in turns, so that what else the machine does falls on all
        for parts in {contender.parts: None for contender in CONTENDERS}:
            own = [encoders[part] for part in parts]
            took = cost_of(own[0] if len(own) == 1 else ensemble(own)).whole
            found[parts] = min(took, found.get(parts, took))
    return [found[contender.parts] for contender in CONTENDERS]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of picture sets")
    parser.add_argument("--lite0", type=Path, required=True, help="folder that convert_builtin.py made")
    parser.add_argument("--sets", nargs="*", default=["trashnet", "clothing", "chest-xray-28"])
    parser.add_argument("--seeds", type=int, default=10)
    options = parser.parse_args()

    anything = sorted((options.data / "imagenet-sample").glob("*.jpg"))
    encoders: dict[str, Encoder] = {
        "builtin": BuiltinEncoder(),
        "lite0": Lite0(shipped=Shipped.open(options.lite0)),
        "colour-texture": ColourTexture(Background.fit(ColourTexture().encode_images(anything))),
    }
    measured = []
    for name in options.sets:
        read = read_dataset(options.data / name)
        y = np.unique(np.asarray(read.labels), return_inverse=True)[1].astype(np.int64)
        X = {part: encoder.encode_images(read.images) for part, encoder in encoders.items()}
        measured.append(measure(X, y, encoders, options.seeds))
    right, error, told = (np.stack(one) for one in zip(*measured, strict=True))  # (sets, contenders, …)
    best = right[:, SINGLE].mean(axis=3).argmax(axis=1)  # (sets, shots), over seeds
    cost = milliseconds(encoders)
    rows: list[dict[str, object]] = []
    for at, contender in enumerate(CONTENDERS):
        for k, shots in enumerate(SHOTS):
            singles = np.stack([right[s, SINGLE[best[s, k]], k] for s in range(len(right))])
            rows.append(
                {
                    "encoder": contender.name,
                    "shots": shots,
                    "accuracy": percent(over_seeds(right[:, at, k].mean(axis=0))),
                    "gain": percent(_gain(right[:, at, k], right[:, 0, k])),
                    "over_best": percent(_gain(right[:, at, k], singles)),
                    "worst_set": 100 * float((right[:, at, k] - right[:, 0, k]).mean(axis=1).min()),
                    "ece": 100 * float(error[:, at, k].mean()),
                    "auroc": 100 * float(np.nanmean(told[:, at, k])),
                    "ms": cost[at],
                    "by_set": {
                        name: 100 * float(right[s, at, k].mean()) for s, name in enumerate(options.sets)
                    },
                }
            )
    shown: list[dict[str, Value]] = [
        {
            "encoder": str(row["encoder"]),
            "shots": int(str(row["shots"])),
            "accuracy": interval(row["accuracy"]),
            "gain": interval(row["gain"], "+"),
            "over best": interval(row["over_best"], "+"),
            "worst set": f"{row['worst_set']:+.1f}",
            "ECE": f"{row['ece']:.1f}",
            "AUROC": f"{row['auroc']:.1f}",
            "ms": f"{row['ms']:.1f}",
        }
        for row in rows
    ]
    print_table(f"Ensembles, auto without words, {options.seeds} seeds", shown)
    notes = " ".join((__doc__ or "").split("\n\n")[-1].split())
    print(write_result("ensemble", command(), rows, notes, sets=options.sets))


def _gain(ours: np.ndarray, theirs: np.ndarray) -> Estimate:
    """Of (sets, seeds)."""
    return paired_difference(ours.mean(axis=0), theirs.mean(axis=0))


if __name__ == "__main__":
    main()
