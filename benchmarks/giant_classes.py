"""Classes in any number that lie as real ones do, made anew wherever they are asked for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from feature_sets import read_sets
from handful.rows import FloatArray, IntArray, Rows, unit

CLASSES_OF_A_CLUSTER = 1000  # on average; their numbers are log-normal
SHOTS = 4  # that a class row is the mean of
_BLOCK = 4096  # rows that share a seed


@dataclass(frozen=True, eq=False)
class GiantClasses:
    """Class rows (C, D) in fp16, asked for in slices, and shots of some classes to ask with.

    Of real sets of embeddings: the covariance W of shots around their class, over all sets; that of class
    means around their set's, corrected for their few shots: of the set with most classes, which are things of
    all kinds (between clusters, T), and of the others, each of which is of one kind (within a cluster, B).
    A cluster's centre is drawn from N(mean, T), a class from N(centre, B), its row is the mean of four shots,
    N(class, W / 4), and a query is one more shot, N(class, W); rows and queries are brought to unit length.
    """

    count: int
    mean: FloatArray
    centres: Rows  # (clusters, D)
    shares: FloatArray  # (clusters,) cumulative
    row_root: Rows  # (D, D) of B + W/4: what rows vary by within a cluster
    to_class: Rows  # (D, D) from a row's deviation to the expected one of its class
    class_root: Rows  # (D, D) of the class's covariance given its row
    shot_root: Rows  # (D, D) of W

    @property
    def shape(self) -> tuple[int, int]:
        """C and D."""
        return self.count, len(self.mean)

    @classmethod
    def like(cls, folder: Path, count: int) -> Self:
        """As the sets in a folder, read as `feature_sets` does."""
        sets = sorted(read_sets(folder), key=lambda one: -one.class_count)
        within, degrees, between = 0.0, 0, []
        means, shots = [], []
        for one in sets:
            X = np.concatenate([one.pool, one.test]).astype(np.float64)
            y = np.concatenate([one.pool_labels, one.test_labels])
            counts = np.bincount(y)
            own = np.stack([X[y == label].mean(axis=0) for label in range(one.class_count)])
            within = within + (X - own[y]).T @ (X - own[y])
            degrees += len(X) - len(own)
            means.append(own)
            shots.append(float((1 / counts).mean()))
        W = within / degrees
        for own, share in zip(means, shots, strict=True):
            centred = own - own.mean(axis=0)
            between.append(centred.T @ centred / (len(own) - 1) - share * W)
        T, B = _possible(between[0]), _possible(np.mean(between[1:], axis=0))
        seen = B + W / SHOTS
        gain = np.linalg.solve(seen + 1e-9 * np.eye(len(seen)), B)  # B·seen⁻¹, transposed
        mean = np.mean([own.mean(axis=0) for own in means], axis=0)
        rng = np.random.default_rng(0)
        clusters = max(count // CLASSES_OF_A_CLUSTER, 1)
        shares = rng.lognormal(0.0, 1.0, clusters)
        centres = mean + rng.standard_normal((clusters, len(mean))) @ _root(T)
        return cls(
            count=count,
            mean=mean,
            centres=centres.astype(np.float32),
            shares=np.cumsum(shares / shares.sum()),
            row_root=_root(seen).astype(np.float32),
            to_class=gain.astype(np.float32),
            class_root=_root(_possible(B - B @ gain)).astype(np.float32),
            shot_root=_root(W).astype(np.float32),
        )

    def __getitem__(self, part: slice) -> Rows:
        start, stop, step = part.indices(self.count)
        assert step == 1
        blocks = range(start // _BLOCK, -(-stop // _BLOCK))
        made = [self._block(block)[0] for block in blocks]
        if not made:
            return np.zeros((0, len(self.mean)), np.float32)
        return np.concatenate(made)[start - blocks[0] * _BLOCK : stop - blocks[0] * _BLOCK]

    def shots(self, number: int, seed: int = 1) -> tuple[Rows, IntArray]:
        """Queries (number, D), and the positions of their classes."""
        rng = np.random.default_rng((seed, 0))
        # A block is made for many queries at once; of ten million classes not all blocks are needed.
        blocks = rng.choice(-(-self.count // _BLOCK), min(50, -(-self.count // _BLOCK)), replace=False)
        Q, truths = [], []
        for block, share in zip(blocks.tolist(), np.array_split(np.arange(number), len(blocks)), strict=True):
            _, centres, deviations = self._block(block)
            chosen = rng.choice(len(centres), len(share), replace=len(share) > len(centres))
            drawn = rng.standard_normal((2, len(chosen), len(self.mean)), np.float32)
            classes = centres[chosen] + deviations[chosen] @ self.to_class + drawn[0] @ self.class_root
            Q.append(unit(classes + drawn[1] @ self.shot_root))
            truths.append(block * _BLOCK + chosen)
        return np.concatenate(Q).astype(np.float32), np.concatenate(truths)

    def _block(self, block: int) -> tuple[Rows, Rows, Rows]:
        """Rows of a block, their clusters' centres, and how they deviate from them."""
        rng = np.random.default_rng((0, 1, block))
        size = min(_BLOCK, self.count - block * _BLOCK)
        clusters = np.minimum(np.searchsorted(self.shares, rng.random(size)), len(self.shares) - 1)
        deviations = rng.standard_normal((size, len(self.mean)), np.float32) @ self.row_root
        centres = self.centres[clusters]
        return np.asarray(unit(centres + deviations), np.float32), centres, deviations


def _possible(covariance: FloatArray) -> FloatArray:
    """The next covariance: a difference of two may have directions of less than no variance."""
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray((vectors * np.maximum(values, 0)) @ vectors.T)


def _root(covariance: FloatArray) -> FloatArray:
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T)
