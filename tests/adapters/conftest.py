"""Small supports for the adapters' tests."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from handful.adapters import Head, fit_head
from handful.adapters.support import Support
from handful.background import Background
from handful.rows import IntArray, Rows, unit


@dataclass(frozen=True)
class Scene:
    """A support, and pictures of its classes that it does not hold."""

    support: Support
    Q: Rows
    labels: IntArray


def make_scene(
    *,
    classes: int = 4,
    shots: int | Sequence[int] = 3,
    dim: int = 8,
    views: int = 1,
    text: str | Sequence[int] | None = None,
    noise: float = 0.6,
    nuisance: float = 0.0,
    background: bool = False,
    seed: int = 0,
) -> Scene:
    """Gaussian classes on the sphere.

    text : "fair", "random", or the classes that have a fair one; texts lie apart from pictures, as CLIP's do.
    nuisance : strength of a direction, the same for all, in which pictures differ whatever they show.
    """
    random = np.random.default_rng(seed)
    common = 2 * unit(random.standard_normal((1, dim)))
    centres = random.standard_normal((classes, dim)) / np.sqrt(dim)
    loud = unit(random.standard_normal((1, dim)))

    def pictures(labels: IntArray) -> Rows:
        own = noise * random.standard_normal((len(labels), dim)) / np.sqrt(dim)
        other = nuisance * random.standard_normal((len(labels), 1)) * loud
        return unit(common + centres[labels] + own + other).astype(np.float32)

    counts = [shots] * classes if isinstance(shots, int) else list(shots)
    y = np.repeat(np.arange(classes), counts)
    X = np.repeat(pictures(y), views, axis=0)
    if views > 1:
        X = unit(X + 0.1 * random.standard_normal(X.shape) / np.sqrt(dim)).astype(np.float32)
    ids = np.repeat(np.arange(len(y)), views)
    prior = None
    if text is not None:
        gap = 2 * unit(random.standard_normal((1, dim)))
        prior = unit(gap + 0.3 * common + 0.3 * centres).astype(np.float32)
        if text == "random":
            prior = unit(gap + 0.3 * random.standard_normal((classes, dim)) / np.sqrt(dim)).astype(np.float32)
        elif not isinstance(text, str):
            prior[[c not in set(text) for c in range(classes)]] = 0
    labels = np.repeat(np.arange(classes), 20)
    anything = Background.fit(unit(common + random.standard_normal((200, dim)) / np.sqrt(dim)))
    support = Support.checked(
        X,
        np.repeat(y, views),
        class_count=classes,
        text=prior,
        shot_ids=[str(i) for i in ids],
        background=anything if background else None,
    )
    return Scene(support, pictures(labels), labels)


@pytest.fixture(scope="session")
def scene() -> Callable[..., Scene]:
    """`make_scene`, which tests call with what they need."""
    return make_scene


def fit_to(method: str, support: Support) -> Head:
    """The head of a support."""
    return fit_head(
        method,
        support.X,
        support.y,
        class_count=support.class_count,
        text=support.text,
        groups=support.groups,
        background=support.background,
        shot_ids=support.ids,
    )


@pytest.fixture(scope="session")
def fit() -> Callable[[str, Support], Head]:
    """`fit_to`."""
    return fit_to
