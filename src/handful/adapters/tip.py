"""`tip`: Tip-Adapter's KV cache, without training."""

from dataclasses import dataclass

import numpy as np

from handful.adapters.calibration import fit_sharpness, log_loss
from handful.adapters.key_value_cache import KeyValueCache
from handful.adapters.known_prior import typicality_without_shots
from handful.adapters.mixture import Mixture, logit_scale, sample_rows, text_logits
from handful.adapters.pooled_cache import PooledCache, spoken_shots
from handful.adapters.scorer import Fitted
from handful.adapters.support import Support
from handful.errors import SupportError
from handful.rows import FloatArray, IntArray

_BETA = 3.5  # where too few shots can be left out to choose; under "unit" pooling it matters little
_BETAS = (1.0, 2.0, 3.5, 5.5, 8.0, 12.0, 20.0)
_ALPHA_SHARE = 0.03  # of the logit scale, likewise
_ALPHA_SHARES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
_ENOUGH = 8  # rows with two others of their class, from which α and β are chosen
_TIE = 0.5  # nats, over all rows, for a factor two away from the table
_POOLINGS = ("unit", "mean", "sum")


@dataclass(frozen=True, slots=True, kw_only=True)
class TipOptions:
    """`TipOptions(alpha=1.0, beta=5.5, pooling="sum")` is the method as published.

    pooling : "sum" of a class's kernel values, as published, in which a class of many shots swamps the
    others; "mean" times the mean number of shots, which is the same where all classes have equally many;
    or "unit", the same with each class's mean at unit length in the kernel's own space, so that a class of
    shots that look alike does not score higher for it.
    """

    alpha: float | None = None  # weight of the cache beside the text logits; None: by left-out shots
    beta: float | None = None  # a shot's say halves every ln 2 / beta of cosine; None: by left-out shots
    pooling: str = "unit"

    def __post_init__(self) -> None:
        if self.pooling not in _POOLINGS:
            raise SupportError(f"pooling is {self.pooling!r}; choose one of {', '.join(_POOLINGS)}")
        for name, value in (("alpha", self.alpha), ("beta", self.beta)):
            if value is not None and not (np.isfinite(value) and value > 0):
                raise SupportError(f"{name} is {value}; give a number above 0, or None to have it chosen")


def fit(support: Support, options: TipOptions) -> Fitted:
    """scores = s·cos(q, text) + α·n̂·Σᵢ exp(−β(1 − cos(q, xᵢ))) / pool, over the class's shots i.

    s is the encoder's logit scale; n̂ / pool is 1 for "sum", n̄/n_c for "mean", n̄/√(Σᵢⱼ kᵢⱼ) for "unit", with
    n̄ the mean number of shots of a class. A class that lacks text or shots gets, for the part it lacks, what
    the other part lets one expect. α, β unset are those of a grid that left-out shots find most probable,
    drawn to a table (β = 3.5, α·n̂ = 0.03·s) that holds alone while fewer than eight rows have two others in
    their class.

    Source: Zhang et al., Tip-Adapter, ECCV 2022, §3.1.
    """
    alpha, beta = _chosen(support, options)
    cache = PooledCache.of(support, beta, options.pooling)
    held_out = None
    if len(support.X):
        mixture = Mixture.of(cache, support, alpha)
        scorer = mixture.scorer(cache, support)
        held_out = mixture.held_out(cache.left_out(support), support)
    else:
        scorer = _text_only(support, beta)
    return Fitted(
        scorer=scorer,
        known_prior=typicality_without_shots(scorer, support),
        held_out=held_out,
        sharpness=1.0 if held_out is None else None,
        found={"alpha": alpha, "beta": beta},
    )


def _text_only(support: Support, beta: float) -> KeyValueCache:
    """The cache of no shots: each class its text."""
    none = np.zeros(support.class_count)
    text = None if support.text is None else (logit_scale(support) * support.text).astype(np.float32)
    return KeyValueCache(keys=support.X, labels=support.y, beta=beta, weights=none, offsets=none, text=text)


def _chosen(support: Support, options: TipOptions) -> tuple[float, float]:
    """α and β: given, by left-out shots, or of the table."""
    scale = logit_scale(support)
    shots = spoken_shots(support, options.pooling)
    mixed = bool(support.has_text.any())
    table = _ALPHA_SHARE * scale / shots if mixed else 1.0
    # With one left, a class looks sharper than it will: such rows would ask for too large a β.
    company = np.flatnonzero(support.company & (support.counts[support.y] > 2))
    if len(company) < _ENOUGH or (options.beta is not None and (options.alpha is not None or not mixed)):
        return options.alpha or table, options.beta or _BETA
    rows = company[sample_rows(len(company))]
    logits = text_logits(support, rows)
    alphas = [share * scale / shots for share in _ALPHA_SHARES] if mixed else [table]
    best = (np.inf, table, _BETA)
    for beta in _BETAS if options.beta is None else (options.beta,):
        cache = PooledCache.of(support, beta, options.pooling)
        pooled = cache.left_out(support, rows)
        for alpha in alphas if options.alpha is None else (options.alpha,):
            mixture = Mixture.seen(cache, pooled, support, rows, alpha)
            distance = abs(np.log2(beta / _BETA)) + abs(np.log2(alpha / table))
            cost = _loss(mixture.scores(pooled, logits), support.y[rows]) + _TIE * distance / len(rows)
            best = min(best, (cost, alpha, beta))
    return best[1], best[2]


def _loss(scores: FloatArray, y: IntArray) -> float:
    """Mean −log probability at the temperature that suits the scores best."""
    sharpness = fit_sharpness(
        scores, y, np.ones(len(y)), start=5.0 / max(float(scores.std()), 1e-9), prior=0.1
    )
    return float(log_loss(sharpness * scores, y).mean())
