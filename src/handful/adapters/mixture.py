"""Text and cache in one score, for classes that have both or one of them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handful.adapters.held_out import level_lone_rows
from handful.adapters.key_value_cache import KeyValueCache
from handful.adapters.pooled_cache import PooledCache
from handful.adapters.scorer import HeldOut
from handful.adapters.support import Support
from handful.rows import FloatArray, IntArray, Rows

_LOGIT_SCALE = 100.0  # CLIP's, where no background names the encoder's own
_CORRELATION = 0.5  # between what text and what shots say of a class, when one stands in for the other
_JUDGED_ROWS = 512  # at most, when the parts are compared


def logit_scale(support: Support) -> float:
    """The encoder's factor from cosine between picture and text to logits."""
    return _LOGIT_SCALE if support.background is None else support.background.logit_scale


def text_logits(
    support: Support, rows: IntArray | None = None, *, seen: Rows | None = None
) -> FloatArray | None:
    """(n, C) s·cos(x, text) of the support's rows, 0 where a class has no text; None where none has.

    seen : (n, D) how they look, where not as they are.
    """
    if support.text is None:
        return None
    X = support.X if seen is None else seen
    X = X if rows is None else X[rows]
    return np.asarray(logit_scale(support) * (X @ support.text.T).astype(np.float64))


def sample_rows(count: int) -> IntArray:
    """At most `_JUDGED_ROWS` of so many rows, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, _JUDGED_ROWS)).astype(np.int64))


@dataclass(frozen=True, kw_only=True, eq=False)
class Mixture:
    """How the two parts of a class's score, text and cache, add up, and stand in for each other.

    cache_mean, cache_spread : the cache's pooled sums, for classes that are not the picture's.
    text_mean, text_spread : the text logits', likewise.
    """

    alpha: float
    has_text: NDArray[np.bool_]
    any_text: bool
    cache_mean: float
    cache_spread: float
    text_mean: float = 0.0
    text_spread: float = 1.0

    @classmethod
    def of(cls, cache: PooledCache, support: Support, alpha: float) -> "Mixture":
        rows = sample_rows(len(support.y))
        return cls.seen(cache, cache.left_out(support, rows), support, rows, alpha)

    @classmethod
    def seen(
        cls, cache: PooledCache, pooled: FloatArray, support: Support, rows: IntArray, alpha: float
    ) -> "Mixture":
        """From pooled sums (n, C) of rows whose groups were left out."""
        rival = np.ones_like(pooled, bool)
        rival[np.arange(len(rows)), support.y[rows]] = False
        values = pooled[rival & np.isfinite(pooled)]
        # One class alone has shots: pictures of others are taken to stand half-way, as CLIP's do.
        middle = cache.shots * float(np.exp(-cache.beta / 2))
        mean, spread = (float(values.mean()), float(values.std())) if values.size else (middle, middle / 4)
        text_mean, text_spread = 0.0, 1.0
        logits = text_logits(support, rows)
        if logits is not None:
            texts = logits[rival & support.has_text]
            if texts.size:
                text_mean, text_spread = float(texts.mean()), max(float(texts.std()), 1e-6)
        return cls(
            alpha=alpha,
            has_text=support.has_text,
            any_text=bool(support.has_text.any()),
            cache_mean=mean,
            cache_spread=max(spread, 1e-6),
            text_mean=text_mean,
            text_spread=text_spread,
        )

    @property
    def cache_of_text(self) -> float:
        """The factor from a text logit's deviation to that of the pooled sum it lets one expect."""
        return _CORRELATION * self.cache_spread / self.text_spread

    @property
    def text_of_cache(self) -> float:
        """The factor of the other direction."""
        return _CORRELATION * self.text_spread / self.cache_spread if self.any_text else 0.0

    @property
    def weight_of_cache(self) -> FloatArray:
        """(C,) the derivative of a class's score for its pooled sum, where it has shots."""
        return np.where(self.has_text, self.alpha, self.alpha + self.text_of_cache)

    def scores(self, pooled: FloatArray, logits: FloatArray | None) -> FloatArray:
        """(n, C) from pooled sums, NaN where a class has no shot, and text logits."""
        has_shots = np.isfinite(pooled)
        cache = np.where(has_shots, pooled, self.cache_mean)
        if logits is None:
            return self.alpha * cache
        text_seen = np.where(self.has_text, logits, self.text_mean)
        cache += ~has_shots * self.cache_of_text * (text_seen - self.text_mean)
        text = np.where(
            self.has_text, logits, self.text_mean + self.text_of_cache * (cache - self.cache_mean)
        )
        return np.asarray(text + self.alpha * cache)

    def held_out(self, pooled: FloatArray, support: Support) -> HeldOut:
        """What the rows of `pooled`, all of the support, score."""
        scores = self.scores(pooled, text_logits(support))
        judged = support.company | support.has_text[support.y]
        level_lone_rows(scores, support, judged)
        return HeldOut(scores=scores, typicality=scores.max(axis=1), judged=judged)

    def scorer(self, cache: PooledCache, support: Support) -> KeyValueCache:
        """The same scores for pictures to come."""
        has_shots = support.counts > 0
        weights = np.where(has_shots, self.alpha * cache.shots / cache.pool, 0.0)
        offsets = np.where(has_shots, 0.0, self.alpha * self.cache_mean)
        text = None
        if support.text is not None:
            stand_in = self.alpha * self.cache_of_text
            factor = self.has_text * (1.0 + ~has_shots * stand_in)
            offsets -= (self.has_text & ~has_shots) * stand_in * self.text_mean
            lack = ~self.has_text
            offsets += lack * (self.text_mean - has_shots * self.text_of_cache * self.cache_mean)
            weights += lack * has_shots * self.text_of_cache * cache.shots / cache.pool
            text = (logit_scale(support) * factor[:, None] * support.text).astype(np.float32)
        return KeyValueCache(
            keys=support.X, labels=support.y, beta=cache.beta, weights=weights, offsets=offsets, text=text
        )
