"""Clouds of rows that stand for pictures of classes."""

from collections.abc import Callable

import numpy as np
import pytest

from handful.rows import Rows, unit


@pytest.fixture(scope="session")
def clouds() -> Callable[..., tuple[Rows, np.ndarray, Rows]]:
    """Rows around class centres, their classes, and the centres."""

    def make(
        *, classes: int = 4, each: int = 12, noise: float = 0.6, seed: int = 0
    ) -> tuple[Rows, np.ndarray, Rows]:
        rng = np.random.default_rng(seed)
        centres = unit(rng.normal(size=(classes, 16)))
        y = np.repeat(np.arange(classes), each)
        X = centres[y] + noise * rng.normal(size=(len(y), 16)) / 4
        return unit(X).astype(np.float32), y, centres.astype(np.float32)

    return make
