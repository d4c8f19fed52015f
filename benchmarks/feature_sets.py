"""Sets of embeddings made elsewhere, and the shots drawn of them.

A set is a file `<name>.npz` with `support_pool` (N, D), `support_labels` (N,), `test` (M, D) and
`test_labels` (M,). Shots are drawn from the pool; all of `test` is asked.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from handful import Background
from handful.rows import FloatArray, Rows, unit
from references import Labels

UNEQUAL = "1–16"  # for each class a random number from 1 to 16
Shots = int | str


@dataclass(frozen=True, kw_only=True, eq=False)
class FeatureSet:
    """A pool to draw shots from and pictures to ask, with the background that the other sets give."""

    name: str
    pool: Rows
    pool_labels: Labels
    test: Rows
    test_labels: Labels
    background: Background

    @property
    def class_count(self) -> int:
        return int(self.pool_labels.max()) + 1

    def shots(self, shots: Shots, seed: int) -> Labels:
        """Positions in the pool: `shots` for each class, or all where it has fewer. Draws of a seed grow."""
        rng = np.random.default_rng(seed)
        orders = [rng.permutation(np.flatnonzero(self.pool_labels == c)) for c in range(self.class_count)]
        counts = rng.integers(1, 17, self.class_count) if shots == UNEQUAL else [int(shots)] * len(orders)
        return np.concatenate([order[:count] for order, count in zip(orders, counts, strict=True)])


def read_sets(folder: Path) -> list[FeatureSet]:
    """The sets of a folder, in order of their names; the background of each is that of the others' pools."""
    paths = sorted(folder.glob("*.npz"))
    if len(paths) < 2:
        raise SystemExit(
            f"{folder} holds {len(paths)} .npz; give two or more, the background of one is of the others"
        )
    read = {}
    for path in paths:
        with np.load(path, allow_pickle=False) as arrays:
            read[path.stem] = (
                _unit(arrays["support_pool"]),
                arrays["support_labels"].astype(np.int64),
                _unit(arrays["test"]),
                arrays["test_labels"].astype(np.int64),
            )
    return [
        FeatureSet(
            name=name,
            pool=pool,
            pool_labels=pool_labels,
            test=test,
            test_labels=test_labels,
            background=Background.fit(np.concatenate([read[other][0] for other in read if other != name])),
        )
        for name, (pool, pool_labels, test, test_labels) in read.items()
    ]


def _unit(rows: FloatArray) -> Rows:
    return unit(rows.astype(np.float32))
