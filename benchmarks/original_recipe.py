"""Teaching ten classes of 16 pictures: the recipe of the original Tip-Adapter services against ours.

    python benchmarks/original_recipe.py [--data FOLDER]

FOLDER holds a folder of pictures for each class. Original: ten passes of all shots through the encoder, each
picture cut at random (half of its area or more) and flipped by chance, the rows averaged to one key each;
then twenty passes, cut anew, each followed by one epoch of AdamW on the keys (Tip-Adapter-F; α = 1, β = 5,
one prompt "a photo of a …."); once more on the same rows without the prompt, in case words mislead it. Ours:
`FewShotClassifier(method="auto")` without any cache: each picture is encoded once, the head is made in closed
form. Both have the same builtin encoder, loaded and warm, the same shots and class names, and are asked all
other pictures. The original gets its pictures decoded, ours decodes them. Ours is timed before and after the
original of each draw. `times ours` is the median over draws; intervals are of 95 %, Student's t over draws.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
from PIL import Image
from rich.progress import Progress

from figures import interval, percent, percent_of_all
from handful import FewShotClassifier, load_encoder
from handful.encoders import Encoder
from handful.evaluation.metrics import over_seeds, paired_difference
from handful.images import decode
from handful.pixels import Pixels
from handful.rows import Rows, unit
from references import Array, Labels, probabilities
from tables import Row, command, print_table, write_result

SHOTS = 16
CACHE_PASSES, TUNING_PASSES = 10, 20
ALPHA, BETA = 1.0, 5.0
LEARNING_RATE, WEIGHT_DECAY, ADAM_EPSILON = 1e-3, 0.01, 1e-4
BATCH = 256
LEAST_AREA, ASPECTS = 0.5, (3 / 4, 4 / 3)  # of a random cut
ORIGINAL, WORDLESS, OURS = "original recipe", "original recipe, no words", "ours"
WAYS = {ORIGINAL: CACHE_PASSES + TUNING_PASSES, WORDLESS: CACHE_PASSES + TUNING_PASSES, OURS: 1}  # passes
CUT_SIDE = 292  # pixels of a cut: what the builtin encoder would resize its short side to


@dataclass(frozen=True, eq=False)
class Passes:
    """What the encoder gave for the shots, cut anew each time: lists of (N, D) rows."""

    for_cache: list[Rows]
    for_tuning: list[Rows]

    @classmethod
    def of(cls, encoder: Encoder, pictures: Sequence[Pixels], seed: int) -> "Passes":
        rng = np.random.default_rng(seed)
        rows = [
            encoder.encode_images([cut(picture, rng) for picture in pictures])
            for _ in range(CACHE_PASSES + TUNING_PASSES)
        ]
        return cls(rows[:CACHE_PASSES], rows[CACHE_PASSES:])


def cut(picture: Pixels, rng: np.random.Generator) -> Pixels:
    """A random part of the picture, flipped half of the time, as a square."""
    height, width = picture.shape[:2]
    area = rng.uniform(LEAST_AREA, 1) * height * width
    aspect = np.exp(rng.uniform(*np.log(ASPECTS)))
    w, h = min(np.sqrt(area * aspect), width), min(np.sqrt(area / aspect), height)
    left, top = rng.uniform(0, width - w), rng.uniform(0, height - h)
    box = (left, top, left + w, top + h)
    image = Image.fromarray(picture).resize((CUT_SIDE, CUT_SIDE), Image.Resampling.BICUBIC, box=box)
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.asarray(image)


class TipAdapterF:
    """Keys tuned on what the passes gave. text : (C, D) rows times the encoder's logit scale."""

    def __init__(self, passes: Passes, y: Labels, text: Array, seed: int) -> None:
        self._text = text
        self._values = np.eye(len(text), dtype=np.float32)[y]
        self._keys = unit(np.mean(passes.for_cache, axis=0))
        self._tune(passes.for_tuning, y, np.random.default_rng(seed))

    def scores(self, Q: Rows) -> Array:
        """Q·textᵀ + α·exp(−β(1 − Q·keysᵀ))·values."""
        affinity = np.exp(BETA * (Q @ self._keys.T - 1))
        return Q @ self._text.T + ALPHA * affinity @ self._values

    def _tune(self, epochs: Sequence[Rows], y: Labels, rng: np.random.Generator) -> None:
        """AdamW on the keys, the learning rate falling along a cosine, step by step."""
        batches = -(-len(y) // BATCH)
        steps = len(epochs) * batches
        momentum, power = np.zeros_like(self._keys), np.zeros_like(self._keys)
        step = 0
        for rows in epochs:
            for batch in np.array_split(rng.permutation(len(y)), batches):
                rate = LEARNING_RATE * (1 + np.cos(np.pi * step / steps)) / 2
                step += 1
                gradient = self._gradient(rows[batch], y[batch])
                momentum = 0.9 * momentum + 0.1 * gradient
                power = 0.999 * power + 0.001 * gradient**2
                root = np.sqrt(power / (1 - 0.999**step)) + ADAM_EPSILON
                self._keys = self._keys * (1 - rate * WEIGHT_DECAY)
                self._keys = self._keys - rate * momentum / (1 - 0.9**step) / root

    def _gradient(self, Q: Rows, y: Labels) -> Array:
        """Of the mean cross-entropy, by the keys."""
        affinity = np.exp(BETA * (Q @ self._keys.T - 1))
        slope = probabilities(Q @ self._text.T + ALPHA * affinity @ self._values)
        slope[np.arange(len(y)), y] -= 1
        return (slope @ self._values.T * affinity * (ALPHA * BETA / len(y))).T @ Q


class Contest:
    """Both ways, taught the same draws."""

    def __init__(self, encoder: Encoder, paths: list[Path], y: Labels, names: list[str], rows: Rows) -> None:
        self._encoder, self._paths, self._y, self._names, self._rows = encoder, paths, y, names, rows
        self.seconds: dict[str, list[float]] = {way: [] for way in WAYS}
        self.right: dict[str, list[float]] = {way: [] for way in WAYS}

    def draw(self, seed: int) -> None:
        rng, y = np.random.default_rng(seed), self._y
        drawn = [rng.permutation(np.flatnonzero(y == c))[:SHOTS] for c in range(len(self._names))]
        shots = np.concatenate(drawn)
        asked = np.setdiff1d(np.arange(len(y)), shots)
        before = self._ours(shots, asked)
        self._original(shots, asked, seed)
        answers, spent = self._ours(shots, asked)
        self._note(OURS, answers, asked, (before[1] + spent) / 2)

    def _ours(self, shots: Labels, asked: Labels) -> tuple[Labels, float]:
        pictures = [self._paths[i] for i in shots]
        labels = [self._names[c] for c in self._y[shots]]
        start = perf_counter()
        classifier = FewShotClassifier(encoder=self._encoder, method="auto", progress=False)
        answers = classifier.fit(pictures, labels).predict_embeddings(self._rows[asked])
        spent = perf_counter() - start
        return np.searchsorted(self._names, answers), spent

    def _original(self, shots: Labels, asked: Labels, seed: int) -> None:
        pictures, y = [decode(self._paths[i]) for i in shots], self._y[shots]
        background = self._encoder.background
        scale = 100.0 if background is None else background.logit_scale
        start = perf_counter()
        text = scale * self._encoder.encode_texts([f"a photo of a {name}." for name in self._names])
        passes = Passes.of(self._encoder, pictures, seed)
        encoding = perf_counter() - start
        for way, prior in ((ORIGINAL, text), (WORDLESS, np.zeros_like(text))):
            start = perf_counter()
            answers = TipAdapterF(passes, y, prior, seed).scores(self._rows[asked]).argmax(axis=1)
            self._note(way, answers, asked, encoding + perf_counter() - start)

    def _note(self, way: str, answers: Labels, asked: Labels, seconds: float) -> None:
        self.right[way].append(float(np.mean(answers == self._y[asked])))
        self.seconds[way].append(seconds)


def read_pictures(folder: Path) -> tuple[list[Path], Labels, list[str]]:
    """Pictures, classes and class names."""
    names = sorted(path.name for path in folder.iterdir() if path.is_dir())
    found = [(path, c) for c, name in enumerate(names) for path in sorted((folder / name).glob("*.jpg"))]
    return [path for path, _ in found], np.array([c for _, c in found]), names


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    trashnet = Path(__file__).parents[1] / "examples" / "data" / "trashnet"
    parser.add_argument("--data", type=Path, default=trashnet, help="folder of class folders")
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    paths, y, names = read_pictures(options.data)
    if len(names) < 2:
        parser.error(f"{options.data} holds {len(names)} class folder(s); give a folder with two or more")
    encoder = load_encoder("builtin", cached=False)
    with Progress(transient=True) as bar:
        task = bar.add_task("encoding what is asked", total=len(paths))
        rows = encoder.encode_images(paths, progress=lambda done: bar.update(task, completed=done))
        encoder.encode_texts(["warm"])
        contest = Contest(encoder, paths, y, names, rows)
        for seed in bar.track(range(options.seeds), description="teaching"):
            contest.draw(seed)

    spent, right = contest.seconds, contest.right
    found = [
        {
            "way": way,
            "passes": WAYS[way],
            "seconds": median(spent[way]),
            "times_ours": median(a / b for a, b in zip(spent[way], spent[OURS], strict=True)),
            "accuracy": percent_of_all(over_seeds(right[way])),
            "over_original": percent(paired_difference(right[way], right[ORIGINAL])),
        }
        for way in spent
    ]
    table: list[Row] = [
        {
            "way": row["way"],
            "passes through the encoder": row["passes"],
            "seconds": row["seconds"],
            "times ours": row["times_ours"],
            "top-1 %": interval(row["accuracy"]),
            "over the original": interval(row["over_original"], "+") if row["way"] != ORIGINAL else "–",
        }
        for row in found
    ]
    size = f"{options.data.name}: {len(names)} classes × {SHOTS} shots, {options.seeds} draws"
    print_table(f"Building a classifier, {size}", table)
    notes = [size + ".", " ".join((__doc__ or "").split("\n\n")[-1].split())]
    print(write_result("original_recipe", command(), found, notes, seconds=spent, accuracy=right))


if __name__ == "__main__":
    main()
