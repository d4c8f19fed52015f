"""`tip-f`: Tip-Adapter's KV cache with its keys trained."""

from dataclasses import dataclass, replace

import numpy as np

from handful.adapters import tip
from handful.adapters.calibration import held_out_sharpness
from handful.adapters.key_value_cache import KeyValueCache, kernel
from handful.adapters.known_prior import typicality_without_shots
from handful.adapters.mixture import Mixture, text_logits
from handful.adapters.pooled_cache import PooledCache, spoken_shots
from handful.adapters.scorer import Fitted
from handful.adapters.support import Support
from handful.adapters.training import Matrix, Parameters, Schedule, cross_entropy, train
from handful.rows import FloatArray, IntArray, Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class TipFOptions:
    """How to train; α, β and pooling are those of `tip`, from which training starts."""

    alpha: float | None = None  # as in TipOptions
    beta: float | None = None  # as in TipOptions
    pooling: str = "unit"  # as in TipOptions
    learning_rate: float = 1e-3  # the paper's
    epochs: int = 20  # the paper's; the length of the schedule, which left-out shots may cut short
    batch: int = 256  # rows of a step
    weight_decay: float = 0.0  # AdamW's, per step and unit of learning rate
    seed: int = 0  # of folds, batches and jitter
    jitter: str = "none"  # of embeddings while they are learnt from: brightness, contrast or posterise
    jitter_strength: float = 0.3  # 0 to 1, as in FeatureJitter

    def tip(self) -> tip.TipOptions:
        """The options of the start."""
        return tip.TipOptions(alpha=self.alpha, beta=self.beta, pooling=self.pooling)

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
        self.tip()
        self.schedule()


def fit(support: Support, options: TipFOptions) -> Fitted:
    """`tip` whose keys move so that left-out shots are named rightly; scores as in `tip`.

    A shot is scored in training by the keys of other groups only: its own key, at cosine one, would call
    it right whatever it looks like. How many epochs, which may be none, is said by shots left out in folds
    (see `training.train`); where each class has one shot, this is `tip`. Views of a shot, as rows of its
    group, are further keys and further pictures to learn from.

    Source: Zhang et al., Tip-Adapter, ECCV 2022, §3.2 (Tip-Adapter-F).
    """
    start = tip.fit(support, options.tip())
    if start.held_out is None or not isinstance(start.scorer, KeyValueCache):
        return start
    alpha, beta = start.found["alpha"], start.found["beta"]
    temperature = held_out_sharpness(start.held_out, support)
    shots = spoken_shots(support, options.pooling)
    trained = train(
        support,
        lambda part: KeyTraining.of(part, alpha, beta, options.pooling, temperature, shots),
        [options.schedule()],
    )
    scorer = replace(start.scorer, keys=trained.parameters[0].astype(np.float32))
    return replace(
        start,
        scorer=scorer,
        held_out=trained.held_out or start.held_out,
        known_prior=typicality_without_shots(scorer, support),
        found=start.found | {"epochs": trained.epochs},
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class KeyTraining:
    """The keys of a support as parameters; all else of the cache stays.

    factors : (N, C) from the kernel sum over other groups to the pooled sum, NaN where no key is left.
    logits : (N, C) of the texts, or None.    temperature : factor from scores to the logits of the loss.
    """

    support: Support
    scorer: KeyValueCache
    mixture: Mixture
    factors: FloatArray
    logits: FloatArray | None
    temperature: float

    @classmethod
    def of(
        cls,
        support: Support,
        alpha: float,
        beta: float,
        pooling: str,
        temperature: float,
        shots: float | None = None,
    ) -> "KeyTraining":
        """Training that starts at the support itself. shots : as in `PooledCache.of`."""
        cache = PooledCache.of(support, beta, pooling, shots)
        mixture = Mixture.of(cache, support, alpha)
        return cls(
            support=support,
            scorer=mixture.scorer(cache, support),
            mixture=mixture,
            factors=cache.left_out_factors(support, np.arange(len(support.y))),
            logits=text_logits(support),
            temperature=temperature,
        )

    def start(self, seed: int) -> Parameters:
        """The support's rows."""
        return (self.support.X,)

    def rows(self) -> IntArray:
        """Rows whose own class has another group's key, or a text."""
        return np.flatnonzero(self.support.company | self.support.has_text[self.support.y])

    def loss_and_gradient(
        self, parameters: Parameters, rows: IntArray, seen: Rows | None = None
    ) -> tuple[float, Parameters]:
        (keys,) = parameters
        support, order = self.support, self.scorer.class_order
        Q: Matrix = (support.X[rows] if seen is None else seen).astype(keys.dtype, copy=False)
        affinities = kernel(Q, keys[order.order], self.scorer.beta)
        affinities[support.groups[rows][:, None] == support.groups[order.order][None, :]] = 0
        factors = self.factors[rows]
        logits = None if self.logits is None else self.logits[rows]
        if seen is not None:
            logits = text_logits(support, seen=seen)
        scores = self.mixture.scores(factors * order.sums(affinities), logits)
        loss, slope = cross_entropy((self.temperature * scores).astype(keys.dtype), support.y[rows])
        slope *= np.nan_to_num(factors) * self.mixture.weight_of_cache * self.temperature
        affinities *= slope[:, support.y[order.order]]
        affinities *= keys.dtype.type(self.scorer.beta)
        gradient = np.empty_like(keys)
        gradient[order.order] = affinities.T @ Q
        return loss, (gradient,)

    def scores(self, parameters: Parameters, Q: Rows) -> FloatArray:
        return replace(self.scorer, keys=parameters[0].astype(np.float32)).scores(Q)
