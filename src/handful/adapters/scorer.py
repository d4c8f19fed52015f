"""What a head computes with: the part that differs between methods."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from handful.adapters.frozen import FrozenClasses
from handful.adapters.support import Support
from handful.background import Background
from handful.rows import FloatArray, IntArray, Rows
from handful.tensors import Arrays

Settings = dict[str, float]


class Scorer(Protocol):
    """Embeddings in, class scores out. Immutable."""

    kind: ClassVar[str]  # names the scorer in saved heads

    @property
    def dimension(self) -> int:
        """Columns D of the embeddings."""
        ...

    @property
    def class_count(self) -> int:
        """Columns C of the scores."""
        ...

    @property
    def key_count(self) -> int | None:
        """Rows of the support that it holds, one for one; None where it holds none."""
        ...

    def scores(self, Q: Rows) -> FloatArray:
        """(B, C), higher is better."""
        ...

    def typicality(self, Q: Rows, scores: FloatArray) -> FloatArray:
        """(B,) how much a row looks like any class; what `known` ranks. `scores` are those of Q."""
        ...

    def judged(self, Q: Rows) -> tuple[FloatArray, FloatArray]:
        """Both of them, for less than each by itself."""
        ...

    def affinity(self, q: Rows, X: Rows, rows: IntArray) -> FloatArray:
        """(n,) how much each support row X[rows] speaks for its class, ≥ 0, given a query (1, D)."""
        ...

    def compact(self) -> Self:
        """The same scorer in a byte for each number."""
        ...

    def arrays(self) -> Arrays:
        """What to save, with `settings`."""
        ...

    def settings(self) -> Settings:
        """Numbers to save beside the arrays."""
        ...

    @classmethod
    def restore(cls, arrays: Arrays, settings: Mapping[str, float], background: Background | None) -> Self:
        """The scorer that gave `arrays` and `settings`. KeyError or ValueError where they do not fit."""
        ...

    @property
    def needs_background(self) -> bool:
        """Whether `restore` needs the encoder's background."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class HeldOut:
    """How the support's rows score when they, and their group, are left out.

    scores : (N, C).    typicality : (M,) of those rows for which it can be told, in any order.
    judged : (N,) whether the row's own class kept a shot or a text, so that its own score means something.
    rows : which rows of the support these are; None for all.
    """

    scores: FloatArray
    typicality: FloatArray
    judged: NDArray[np.bool_]
    rows: IntArray | None = None

    def labels(self, support: Support) -> IntArray:
        """(N,) classes of the rows."""
        return support.y if self.rows is None else support.y[self.rows]


@dataclass(frozen=True, kw_only=True, eq=False)
class Fitted:
    """What an adapter makes of a support.

    held_out : None where leaving out is not possible (no shot).
    sharpness : factor from scores to logits where the method knows it itself; otherwise it is learnt from
    held_out, or, with nothing to learn from, from the spread of scores.
    known_prior : mean and standard deviation of the typicality to expect of pictures of the classes, as far
    as it can be said without shots.
    found : hyper-parameters that were chosen, kept with the head for its reader.
    state : whatever makes `add` cheap; never saved.
    freeze : makes the statistics by which single classes can be computed anew; None where there are none.
    """

    scorer: Scorer
    known_prior: tuple[float, float]
    held_out: HeldOut | None = None
    sharpness: float | None = None
    found: Settings = field(default_factory=dict)
    state: object = None
    freeze: Callable[[], FrozenClasses] | None = None
