"""Synthesised classifiers: words for what the image tower knows, and for its neighbours."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from handful.rows import Rows, unit


@dataclass(frozen=True, eq=False)
class Synthesiser:
    """A text is the mean of known classifiers, weighted by how near their names are to it.

    row(t) = unit(Σ_i w_i r_i),  w = softmax(sharpness · cosine(t − m, s_i − m)),  m the mean of all s_i;
    s_i the sentence row of class i's name, r_i its classifier, centred, in the image space.
    Source: Changpinyo, Chao, Gong and Sha, Synthesized Classifiers for Zero-Shot Learning (CVPR 2016).

    sentences : (K, S) unit rows.    classifiers : (K, D).
    """

    sentences: Rows
    classifiers: Rows
    sharpness: float

    def __call__(self, sentences: Rows) -> Rows:
        """(M, S) sentence rows → (M, D) unit rows in the image space."""
        common, known = self._known
        cosine = unit(sentences - common) @ known
        weights = np.exp(self.sharpness * (cosine - cosine.max(axis=1, keepdims=True)))
        return unit(weights @ self.classifiers).astype(np.float32)

    @cached_property
    def _known(self) -> tuple[Rows, Rows]:
        """m (S,), and the unit rows of s_i − m as columns (S, K)."""
        common = self.sentences.mean(axis=0)
        return common, unit(self.sentences - common).T
