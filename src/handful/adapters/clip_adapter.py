"""`clip-adapter`: a small trained bottleneck between the embedding and the classes."""

from dataclasses import dataclass

import numpy as np

from handful.adapters.bottleneck import Bottleneck
from handful.adapters.calibration import fit_sharpness, held_out_sharpness, log_loss
from handful.adapters.held_out import level_lone_rows
from handful.adapters.known_prior import typicality_without_shots
from handful.adapters.mixture import logit_scale
from handful.adapters.scorer import Fitted, HeldOut
from handful.adapters.support import Support
from handful.adapters.training import Matrix, Parameters, Schedule, cross_entropy, train
from handful.errors import SupportError
from handful.rows import FloatArray, IntArray, Rows, unit

_TEXT_SHARES = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)
_TABLE_SHARE = 0.9  # of the text in a class's row, where too few shots can be left out to choose
_ENOUGH = 8  # rows of classes with company, from which the share is chosen


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipAdapterOptions:
    """How to train the bottleneck; `text_share=1.0` takes the classes of the paper."""

    reduction: int = 4  # D / the bottleneck's width; the paper's
    ratio: float = 0.2  # of the bottleneck's answer in the adapted row; the paper's
    text_share: float | None = None  # of the text in a class's row, 0 to 1; None: by left-out shots
    learning_rate: float = 3e-3  # of AdamW, at the start of the cosine
    epochs: int = 40  # the length of the schedule, which left-out shots may cut short
    batch: int = 256  # rows of a step
    weight_decay: float = 0.0  # AdamW's, per step and unit of learning rate
    seed: int = 0  # of the start, folds, batches and jitter
    jitter: str = "none"  # of embeddings while they are learnt from: brightness, contrast or posterise
    jitter_strength: float = 0.3  # 0 to 1, as in FeatureJitter

    def schedule(self) -> Schedule:
        """The options of training."""
        return Schedule(
            learning_rate=self.learning_rate,
            epochs=self.epochs,
            batch=self.batch,
            weight_decay=self.weight_decay,
            seed=self.seed,
            jitter=self.jitter,
            jitter_strength=self.jitter_strength,
        )

    def __post_init__(self) -> None:
        if self.reduction < 1:
            raise SupportError(f"reduction is {self.reduction}; give 1 or more")
        for name, value in (("ratio", self.ratio), ("text_share", self.text_share)):
            if value is not None and not 0 <= value <= 1:
                raise SupportError(f"{name} is {value}; give a share between 0 and 1")
        self.schedule()


def fit(support: Support, options: ClipAdapterOptions) -> Fitted:
    """scores = cos(f, w_c), f = (1 − ratio)·q + ratio·up·max(down·q, 0).

    w_c mixes the class's text (alone, as published) with the mean of its shots; left-out shots choose the
    share. up is zero before training, so that training starts at the nearest w_c; the paper's second
    rectifier is left out, since none of its gradients would be alive there. A shot is scored in training
    by a w of its class that it has no part in. How many epochs, which may be none, is said by shots left
    out in folds (see `training.train`); where each class has one shot, nothing is trained.

    Source: Gao et al., CLIP-Adapter, IJCV 2024 (arXiv 2110.04544), §3.2.
    """
    share = _chosen_share(support, options)
    held_out = _held_out(support, share)
    temperature = held_out_sharpness(held_out, support)
    trained = train(
        support,
        lambda part: BottleneckTraining.of(part, share, options, temperature),
        [options.schedule()],
    )
    down, up = (p.astype(np.float32) for p in trained.parameters)
    scorer = Bottleneck(
        down=down, up=up, rows=class_rows(support, share).astype(np.float32), ratio=options.ratio
    )
    return Fitted(
        scorer=scorer,
        known_prior=typicality_without_shots(scorer, support),
        held_out=trained.held_out or held_out,
        sharpness=logit_scale(support) if held_out is None else None,
        found={"text_share": share, "epochs": trained.epochs},
    )


def class_rows(support: Support, share: float) -> FloatArray:
    """(C, D) unit rows: share·text + (1 − share)·mean; zero where there is neither."""
    sums = support.class_sums(support.X.astype(np.float64))
    return _mixed(sums, support, np.arange(support.class_count), share)


def own_rows(support: Support, share: float) -> FloatArray:
    """(N, D) the row of each shot's class, had the shot's group not been there."""
    X = support.X.astype(np.float64)
    pair, _, _, _ = support.leavings
    parts = np.zeros((int(pair.max(initial=-1)) + 1, support.dimension))
    np.add.at(parts, pair, X)
    rest = support.class_sums(X)[support.y] - parts[pair]
    rest[~support.company] = 0  # not what rounding leaves of them
    return _mixed(rest, support, support.y, share)


def _mixed(sums: FloatArray, support: Support, labels: IntArray, share: float) -> FloatArray:
    """Rows of labels from the sums of their shots, zero where there are none.

    Texts lie apart from pictures. So a class that lacks one of the two is given the mean of the others' one,
    moved as the class's other one lies from the mean of that.
    """
    means: FloatArray = np.asarray(unit(sums), np.float64)
    if support.text is None or not support.has_text.any():
        return means
    text = support.text[labels].astype(np.float64)
    shown, told = np.asarray(means.any(axis=1)), support.has_text[labels]
    class_means = unit(support.class_sums(support.X.astype(np.float64)))
    count = (support.counts > 0).sum() - (support.counts > 0)[labels]
    others = (class_means.sum(axis=0) - class_means[labels]) / np.maximum(count, 1)[:, None]
    centre = support.text[support.has_text].mean(axis=0, dtype=np.float64)
    from_text = np.where((count > 0)[:, None], others + text - centre, text)
    from_shots = np.where((count > 0)[:, None], centre + means - others, means)
    filled_means = np.where((told & ~shown)[:, None], unit(from_text), means)
    filled_text = np.where((shown & ~told)[:, None], unit(from_shots), text)
    return np.asarray(unit(share * filled_text + (1 - share) * filled_means), np.float64)


def _held_out(support: Support, share: float) -> HeldOut | None:
    """Each row by the nearest class row, its own class's without the row's group."""
    if not len(support.X):
        return None
    X = support.X.astype(np.float64)
    scores = X @ class_rows(support, share).T
    scores[np.arange(len(X)), support.y] = (X * own_rows(support, share)).sum(axis=1)
    judged = support.company | support.has_text[support.y]
    level_lone_rows(scores, support, judged)
    return HeldOut(scores=scores, typicality=scores.max(axis=1), judged=judged)


def _chosen_share(support: Support, options: ClipAdapterOptions) -> float:
    if options.text_share is not None:
        return options.text_share
    if not support.has_text.any():
        return 0.0
    rows = np.flatnonzero(support.company & support.has_text[support.y])
    if len(rows) < _ENOUGH:
        return _TABLE_SHARE
    y, losses = support.y[rows], []
    for share in _TEXT_SHARES:
        held_out = _held_out(support, share)
        assert held_out is not None  # there are rows
        scores = held_out.scores[rows]
        start = 5.0 / max(float(scores.std()), 1e-9)
        sharpness = fit_sharpness(scores, y, np.ones(len(y)), start=start, prior=0.1)
        losses.append(float(log_loss(sharpness * scores, y).mean()))
    return _TEXT_SHARES[int(np.argmin(losses))]


@dataclass(frozen=True, kw_only=True, eq=False)
class BottleneckTraining:
    """down and up as parameters; the classes stay.

    classes : (C, D).    own : (N, D), what stands for each row's own class.
    temperature : factor from scores to the logits of the loss.
    """

    support: Support
    classes: Rows
    own: Rows
    options: ClipAdapterOptions
    temperature: float

    @classmethod
    def of(
        cls, support: Support, share: float, options: ClipAdapterOptions, temperature: float
    ) -> "BottleneckTraining":
        return cls(
            support=support,
            classes=class_rows(support, share).astype(np.float32),
            own=own_rows(support, share).astype(np.float32),
            options=options,
            temperature=temperature,
        )

    def start(self, seed: int) -> Parameters:
        """down at random (He et al., ICCV 2015), up zero."""
        width = max(self.support.dimension // self.options.reduction, 1)
        random = np.random.default_rng(seed)
        down = random.standard_normal((width, self.support.dimension)) * np.sqrt(2 / self.support.dimension)
        return down.astype(np.float32), np.zeros((self.support.dimension, width), np.float32)

    def rows(self) -> IntArray:
        """Rows whose class is something without them."""
        return np.flatnonzero(self.own.any(axis=1))

    def loss_and_gradient(
        self, parameters: Parameters, rows: IntArray, seen: Rows | None = None
    ) -> tuple[float, Parameters]:
        down, up = parameters
        number = down.dtype.type
        ratio, temperature = number(self.options.ratio), number(self.temperature)
        X: Matrix = (self.support.X[rows] if seen is None else seen).astype(down.dtype, copy=False)
        classes, own = self.classes.astype(down.dtype, copy=False), self.own[rows].astype(down.dtype)
        place, y = np.arange(len(rows)), self.support.y[rows]

        hidden = np.maximum(X @ down.T, 0)
        mixed = (1 - ratio) * X + ratio * (hidden @ up.T)
        lengths = np.maximum(np.linalg.norm(mixed, axis=1, keepdims=True), number(1e-12))
        adapted = mixed / lengths
        logits = adapted @ classes.T
        logits[place, y] = (adapted * own).sum(axis=1)
        loss, slope = cross_entropy(temperature * logits, y)

        slope *= temperature
        of_own = slope[place, y].copy()
        slope[place, y] = 0
        of_adapted = slope @ classes + of_own[:, None] * own
        along = (of_adapted * adapted).sum(axis=1, keepdims=True)
        of_mixed = ratio * (of_adapted - along * adapted) / lengths
        of_hidden = np.where(hidden > 0, of_mixed @ up, 0)
        return loss, (of_hidden.T @ X, of_mixed.T @ hidden)

    def scores(self, parameters: Parameters, Q: Rows) -> FloatArray:
        down, up = parameters
        return Bottleneck(
            down=down.astype(np.float32, copy=False),
            up=up.astype(np.float32, copy=False),
            rows=self.classes,
            ratio=self.options.ratio,
        ).scores(Q)
