"""Embeddings of all views of the pictures of a set, each view encoded once and kept in a file."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from time import perf_counter

import numpy as np
from rich.progress import Progress

from handful.augment import POLICIES, views
from handful.encoders import Encoder
from handful.images import decode
from handful.pixels import Pixels
from handful.rows import Rows
from references import Labels


@dataclass(frozen=True, kw_only=True, eq=False)
class PictureViews:
    """A set of labelled pictures seen by an encoder.

    X : (N, V, D) of all views that any policy makes, the plain picture first.    y : (N,) classes.
    places : which of them a policy makes.    seconds : that encoding one picture took.
    """

    names: tuple[str, ...]
    X: Rows
    y: Labels
    places: dict[str, tuple[int, ...]]
    seconds: float

    def of(self, policy: str) -> Rows:
        """(N, V, D) of the views of a policy, the plain picture first."""
        return np.asarray(self.X[:, list(self.places[policy])])


def read_views(folder: Path, encoder: Encoder, cache: Path) -> PictureViews:
    """The pictures of a folder of class folders; encoded once for a folder, an encoder and its policies."""
    names = sorted(path.name for path in folder.iterdir() if path.is_dir())
    pictures = [(path, c) for c, name in enumerate(names) for path in sorted((folder / name).glob("*.jpg"))]
    key = repr([encoder.fingerprint, [f"{path.parent.name}/{path.name}" for path, _ in pictures], POLICIES])
    kept = cache / f"{folder.name}-{sha256(key.encode()).hexdigest()[:12]}.npz"
    if not kept.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        X, places, seconds = _encoded(folder.name, [path for path, _ in pictures], encoder)
        draft = kept.with_suffix(".part.npz")
        np.savez(draft, X=X, seconds=seconds, **{f"of {name}": own for name, own in places.items()})
        draft.replace(kept)
    with np.load(kept, allow_pickle=False) as arrays:
        return PictureViews(
            names=tuple(names),
            X=arrays["X"],
            y=np.array([c for _, c in pictures]),
            places={name: tuple(arrays[f"of {name}"].tolist()) for name in POLICIES},
            seconds=float(arrays["seconds"]),
        )


def _encoded(
    name: str, pictures: list[Path], encoder: Encoder
) -> tuple[Rows, dict[str, tuple[int, ...]], float]:
    first, places = _places(decode(pictures[0]))
    started = perf_counter()
    with Progress(transient=True) as bar:
        task = bar.add_task(f"{name}: encoding views", total=len(pictures) * first)

        def seen() -> Iterator[Pixels]:
            for path in pictures:
                yield from _different(decode(path))[0]

        X = encoder.encode_images(seen(), progress=lambda done: bar.update(task, completed=done))
    return X.reshape(len(pictures), first, -1), places, (perf_counter() - started) / len(X)


def _places(pixels: Pixels) -> tuple[int, dict[str, tuple[int, ...]]]:
    """How many different views there are, and which of them each policy makes."""
    seen, places = _different(pixels)
    return len(seen), places


def _different(pixels: Pixels) -> tuple[list[Pixels], dict[str, tuple[int, ...]]]:
    """The views of all policies, each once; told apart by how they are made, not by what is seen."""
    numbers: dict[tuple[object, ...], int] = {}
    made: list[Pixels] = []
    places = {}
    for policy in POLICIES:
        own = []
        for recipe, view in zip(_recipes(policy), views(pixels, policy), strict=True):
            if recipe not in numbers:
                numbers[recipe] = len(made)
                made.append(view)
            own.append(numbers[recipe])
        places[policy] = tuple(own)
    return made, places


def _recipes(name: str) -> list[tuple[object, ...]]:
    """What each view of a policy is made by, in the order of `views`."""
    policy = POLICIES[name]
    return [
        ("plain",),
        *([("flip",)] if policy.flip else []),
        *(("centre", part) for part in policy.centre),
        *(("corner", part, corner) for part in policy.corners for corner in range(4)),
        *(("turn", angle) for angle in policy.angles),
        *(("colour", recolouring) for recolouring in policy.recolourings),
    ]
