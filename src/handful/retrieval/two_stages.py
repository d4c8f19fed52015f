"""Answers of a head of very many classes: candidates from an index, exact scores of these."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from handful.adapters.head import Head, Judged
from handful.retrieval.head_index import HeadIndex
from handful.rows import FloatArray, IntArray, Rows

_CANDIDATES = 256  # for each query, or twice as many as are asked for
_SAMPLED = 2048  # classes that stand for all that are no candidates


@dataclass(frozen=True, eq=False)
class TwoStages:
    """A head whose classes have rows, and their index.

    Scores are the head's own. A probability is over all classes: the candidates' part of its denominator is
    exact, that of the others is estimated from an even sample of 2,048 classes, without bias; since all that
    scores high is a candidate, what is estimated is made of many small terms. `known` is that of the head, of
    which only the best class matters.
    """

    head: Head
    index: HeadIndex

    def judged(self, rows: Rows, top_k: int) -> tuple[IntArray, Judged]:
        """Places (B, K) of candidates, and what the head says of these: (B, K), (B, K) and (B,).

        rows : (B, D) unit rows that were checked before.    K ≥ top_k, or all classes.
        """
        places = self.index.candidates(rows, max(_CANDIDATES, 2 * top_k))
        said = [self.head.among(own).judged_rows(row[None]) for own, row in zip(places, rows, strict=True)]
        scores = np.concatenate([one.scores for one in said])
        known = np.concatenate([one.known for one in said])
        return places, Judged(scores, self._probabilities(rows, places, scores), known)

    def _probabilities(self, rows: Rows, places: IntArray, scores: FloatArray) -> FloatArray:
        sampled, sample = self._sample
        logits = self.head.sharpness * scores
        others = self.head.sharpness * sample.scores(rows)
        for own, row in zip(places, others, strict=True):
            row[np.isin(sampled, own)] = -np.inf
        highest = np.maximum(logits.max(axis=1), others.max(axis=1))[:, None]
        said, rest = np.exp(logits - highest), np.exp(others - highest)
        left = np.isfinite(others).sum(axis=1)
        times = (self.head.class_count - places.shape[1]) / np.maximum(left, 1)
        return np.asarray(said / (said.sum(axis=1) + rest.sum(axis=1) * times)[:, None])

    @cached_property
    def _sample(self) -> tuple[IntArray, Head]:
        count = self.head.class_count
        places = np.unique(np.linspace(0, count - 1, min(_SAMPLED, count)).astype(np.int64))
        return places, self.head.among(places)
