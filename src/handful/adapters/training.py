"""Training without a validation set: AdamW for as many epochs as left-out shots support."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from handful.adapters.calibration import fit_sharpness, log_loss, softmax
from handful.adapters.feature_jitter import FeatureJitter, check_jitter
from handful.adapters.held_out import level_lone_rows
from handful.adapters.scorer import HeldOut
from handful.adapters.support import Support
from handful.errors import SupportError
from handful.rows import FloatArray, IntArray, Rows

Matrix = NDArray[np.floating]  # float32 when training, float64 when gradients are checked
Parameters = tuple[Matrix, ...]

_FIRST_DECAY, _SECOND_DECAY, _EPSILON = 0.9, 0.999, 1e-8
_JUDGED_ROWS = 1000  # at most, when epochs are compared
_FEW_SHOTS = 8.0  # shots per class under which there are five folds, not three
_PATIENCE = 6  # epochs without a smaller loss, after which a schedule is given up
_SHAKING = 1  # beside a seed: what jitter draws, so that batches are the same without it
_MIN_JUDGED = 8  # rows; with fewer there is no evidence, and nothing is trained

# A context variable, since between the caller and the epochs lie adapters that have nothing to do with it.
_watcher: ContextVar[Callable[[float], None] | None] = ContextVar("handful_training_watcher", default=None)


@contextmanager
def watched(tell: Callable[[float], None]) -> Iterator[None]:
    """Within the block, tell what part of its longest possible way training has gone, 0 to 1, every epoch.

    What `tell` raises ends the training.
    """
    token = _watcher.set(tell)
    try:
        yield
    finally:
        _watcher.reset(token)


@contextmanager
def stage(at: int, count: int) -> Iterator[None]:
    """Within the block, training is the part `at` of `count`, for whoever watches."""
    tell = _watcher.get()
    if tell is None:
        yield
        return
    with watched(lambda part: tell((at + part) / count)):
        yield


def _tell(done: int, all_: int) -> None:
    tell = _watcher.get()
    if tell is not None:
        tell(min(done / max(all_, 1), 1.0))


class Trainable(Protocol):
    """A model of a support, whose parameters can be trained."""

    def start(self, seed: int) -> Parameters:
        """The untrained parameters, float32."""
        ...

    def rows(self) -> IntArray:
        """The rows of the support that can be learnt from."""
        ...

    @property
    def support(self) -> Support:
        """What it is a model of."""
        ...

    def loss_and_gradient(
        self, parameters: Parameters, rows: IntArray, seen: Rows | None = None
    ) -> tuple[float, Parameters]:
        """The mean loss of rows, and its derivative for each parameter.

        seen : (n, D) how the rows look this time; None: as they are.
        """
        ...

    def scores(self, parameters: Parameters, Q: Rows) -> FloatArray:
        """(B, C) scores of pictures that were not trained on."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """epochs : the length of the cosine from learning_rate to 0.    batch : rows of a step.

    jitter, jitter_strength : of rows that are learnt from, anew at each step, as in `FeatureJitter`.
    """

    learning_rate: float
    epochs: int
    batch: int = 256
    weight_decay: float = 0.0
    seed: int = 0
    jitter: str = "none"
    jitter_strength: float = 0.3

    def __post_init__(self) -> None:
        if not (np.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise SupportError(f"learning_rate is {self.learning_rate}; give a number above 0")
        if self.epochs < 0:
            raise SupportError(f"epochs is {self.epochs}; give 0 or more")
        if self.batch < 1:
            raise SupportError(f"batch is {self.batch}; give 1 or more")
        if not (np.isfinite(self.weight_decay) and self.weight_decay >= 0):
            raise SupportError(f"weight_decay is {self.weight_decay}; give 0 or more")
        check_jitter(self.jitter, self.jitter_strength)


def cross_entropy(logits: Matrix, y: IntArray) -> tuple[float, Matrix]:
    """The mean −log probability of y (B,), and its derivative for the logits (B, C)."""
    rows = np.arange(len(y))
    loss = float(log_loss(logits.astype(np.float64), y).mean())
    slope = softmax(logits)  # type: ignore[arg-type]  # any float: it keeps the precision it is given
    slope[rows, y] -= 1
    return loss, np.asarray(slope / logits.dtype.type(len(y)))


def descend(model: Trainable, schedule: Schedule) -> Iterator[Parameters]:
    """The parameters before training, and after each epoch.

    AdamW: Loshchilov & Hutter, ICLR 2019, algorithm 2, with bias correction; the rate of step i of n is
    learning_rate·(1 + cos(πi/n))/2.
    """
    random = np.random.default_rng(schedule.seed)
    parameters = model.start(schedule.seed)
    yield parameters
    rows, X = model.rows(), model.support.X
    jitter = FeatureJitter.of(X, kind=schedule.jitter, strength=schedule.jitter_strength)
    shaking = np.random.default_rng([schedule.seed, _SHAKING])
    means = [np.zeros_like(p) for p in parameters]
    squares = [np.zeros_like(p) for p in parameters]
    batches = -(-len(rows) // schedule.batch)  # none of a part in which nothing has company
    step = 0
    for _ in range(schedule.epochs):
        drawn = random.permutation(rows)
        for batch in np.array_split(drawn, batches) if batches else []:
            rate = schedule.learning_rate * (1 + np.cos(np.pi * step / (schedule.epochs * batches))) / 2
            step += 1
            some = np.sort(batch)
            _, gradients = model.loss_and_gradient(parameters, some, jitter(X[some], shaking))
            moved = []
            for p, g, mean, square in zip(parameters, gradients, means, squares, strict=True):
                mean += (1 - _FIRST_DECAY) * (g - mean)
                square += (1 - _SECOND_DECAY) * (g * g - square)
                unbiased = mean / (1 - _FIRST_DECAY**step)
                spread = np.sqrt(square / (1 - _SECOND_DECAY**step)) + _EPSILON
                moved.append(
                    (p - rate * (unbiased / spread + schedule.weight_decay * p)).astype(p.dtype, copy=False)
                )
            parameters = tuple(moved)
        yield parameters


@dataclass(frozen=True, kw_only=True, eq=False)
class Trained:
    """What training gave.

    parameters : after `epochs` epochs.    held_out : by the folds' models; None where nothing was trained.
    """

    parameters: Parameters
    epochs: int
    learning_rate: float
    held_out: HeldOut | None


def train(support: Support, build: Callable[[Support], Trainable], schedules: Sequence[Schedule]) -> Trained:
    """Train on the whole support for as long as left-out groups speak for it, which may be not at all.

    The groups are dealt into folds. For each schedule, each fold's model is trained without the fold and
    judged on it after every epoch. The schedule and epoch of least loss are taken, at the temperature that
    suits each best, among those that name no fewer rows rightly than the untrained model does, and whose
    loss is smaller by more than the standard error of the difference.
    Where no class has two groups there is nothing to judge by, and nothing is trained.

    held_out are the folds' scores at that epoch, each by a model that never saw the row.
    """
    company = support.company
    chosen, epochs, held_out = schedules[0], 0, None
    if company.sum() >= _MIN_JUDGED and support.class_count > 1:
        folds = deal(support, _fold_count(support), schedules[0].seed)
        best = np.inf
        ahead = sum(schedule.epochs + 1 for schedule in schedules)
        for number, schedule in enumerate(schedules):
            lowest, since = np.inf, 0
            behind = sum(before.epochs + 1 for before in schedules[:number])
            for epoch, loss, passed, held in _judged_epochs(support, build, schedule, folds):
                _tell(behind + epoch, ahead)
                if passed and loss < best:
                    best, chosen, epochs, held_out = loss, schedule, epoch, held
                lowest, since = (loss, 0) if loss < lowest else (lowest, since + 1)
                if since >= _PATIENCE:
                    break
    if epochs == 0:
        return Trained(
            parameters=build(support).start(chosen.seed),
            epochs=0,
            learning_rate=chosen.learning_rate,
            held_out=None,
        )
    *_, parameters = (p for p, _ in zip(descend(build(support), chosen), range(epochs + 1), strict=False))
    return Trained(
        parameters=parameters, epochs=epochs, learning_rate=chosen.learning_rate, held_out=held_out
    )


def deal(support: Support, count: int, seed: int) -> IntArray:
    """(N,) a fold for each row: groups stay whole, and a class's groups go to different folds in turn."""
    random = np.random.default_rng(seed)
    folds = np.full(int(support.groups.max(initial=-1)) + 1, -1)
    for label in np.flatnonzero(support.counts):
        groups = np.unique(support.groups[support.y == label])
        fresh = random.permutation(groups[folds[groups] < 0])
        taken = np.bincount(folds[groups][folds[groups] >= 0], minlength=count)
        order = np.argsort(taken + random.random(count), kind="stable")  # the emptiest first
        folds[fresh] = order[np.arange(len(fresh)) % count]
    return folds[support.groups]


def without(support: Support, rows: NDArray[np.bool_]) -> Support:
    """The support without some rows. A class may be left with neither shot nor text."""
    keep = ~rows
    return replace(
        support,
        X=support.X[keep],
        y=support.y[keep],
        ids=tuple(i for i, kept in zip(support.ids, keep, strict=True) if kept),
        groups=np.unique(support.groups[keep], return_inverse=True)[1].astype(np.int64).reshape(-1),
    )


def _fold_count(support: Support) -> int:
    counts = support.counts[support.counts > 0]
    return 5 if counts.mean() < _FEW_SHOTS else 3


def _judged_epochs(
    support: Support, build: Callable[[Support], Trainable], schedule: Schedule, folds: IntArray
) -> Iterator[tuple[int, float, bool, HeldOut]]:
    """Each epoch, its loss on held-out rows, whether it is surely no worse than the start, and the scores."""
    parts = [(f, without(support, folds == f)) for f in np.unique(folds) if (folds != f).any()]
    models = [build(part) for _, part in parts]
    judged = np.zeros(len(support.y), bool)
    for f, part in parts:
        inside = folds == f
        judged[inside] = ((part.counts > 0) | support.has_text)[support.y[inside]]
    # Only rows whose class keeps a shot tell whether learning from shots helps.
    telling = np.flatnonzero(judged & support.company)
    telling = telling[
        np.unique(np.linspace(0, len(telling) - 1, min(len(telling), _JUDGED_ROWS)).astype(int))
    ]
    y, weights, untrained = support.y[telling], np.ones(len(telling)), np.zeros(len(telling))
    right, sharpness = 0, 1.0
    for epoch, parameters in enumerate(zip(*(descend(model, schedule) for model in models), strict=True)):
        scores = np.zeros((len(support.y), support.class_count))
        for (f, _), model, values in zip(parts, models, parameters, strict=True):
            scores[folds == f] = model.scores(values, support.X[folds == f])
        level_lone_rows(scores, support, judged)
        seen = scores[telling]
        hits = int((seen.argmax(axis=1) == y).sum())
        if epoch == 0:
            sharpness = 5.0 / max(float(seen.std()), 1e-9)
        sharpness = fit_sharpness(seen, y, weights, start=sharpness, prior=0.1)
        losses = log_loss(sharpness * seen, y)
        if epoch == 0:
            right, untrained = hits, losses
        gain = untrained - losses
        better = epoch == 0 or (hits >= right and gain.mean() > gain.std() / np.sqrt(len(gain)))
        held_out = HeldOut(scores=scores, typicality=scores.max(axis=1), judged=judged)
        yield epoch, float(losses.mean()), bool(better), held_out
