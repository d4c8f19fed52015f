"""The background: how an encoder sees pictures of anything."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from handful.errors import EmbeddingError, HeadError
from handful.rows import FloatArray, Rows, as_rows, unit
from handful.tensors import Arrays, pack, unpack

_DRAWS = 256  # rows of `anything`
_LARGEST = 1e6  # unit rows have means and covariances up to 1
_NEARNESS = 20.0  # of cosines: how much more a nearer anchor draws
_FORMAT_OF_PARTS = 2  # what is of one encoder is still written as 1
_MOST_COLUMNS = 16_384  # of a part

FEWEST_PARTS, MOST_PARTS = 2, 4  # encoders whose rows stand side by side


@dataclass(frozen=True, kw_only=True, eq=False)
class Background:
    """Mean and covariance of an encoder's embeddings of many unlabelled pictures of anything.

    mean : (D,).    covariance : (D, D), symmetric, positive semi-definite.    count : pictures seen.
    logit_scale : the encoder's own factor from cosine between picture and text to logits (CLIP: 100).
    ridge : the share of an isotropic background in the whitening; larger where the encoder's covariance
    tells less about how pictures of one class differ.
    anchors : (K, D) directions of things that the encoder was taught by name, kept in int8; or None.

    >>> Background.fit(np.eye(3)).count
    3
    """

    mean: FloatArray
    covariance: FloatArray
    count: int
    logit_scale: float = 100.0
    ridge: float = 0.3
    anchors: NDArray[np.generic] | None = None

    def __post_init__(self) -> None:
        mean = np.asarray(self.mean, dtype=np.float64)
        covariance = np.asarray(self.covariance, dtype=np.float64)
        if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)):
            raise EmbeddingError(
                "a background has a mean (D,) and a covariance (D, D), "
                f"not {mean.shape} and {covariance.shape}"
            )
        if not ((np.abs(mean) < _LARGEST).all() and (np.abs(covariance) < _LARGEST).all()):
            raise EmbeddingError(
                "the background holds numbers that are not finite, or far too large for unit rows; "
                "profile the encoder again"
            )
        if not np.allclose(covariance, covariance.T, atol=1e-6) or (np.diag(covariance) < 0).any():
            raise EmbeddingError("the background's covariance is not symmetric with a non-negative diagonal")
        deviations = np.sqrt(np.diag(covariance))
        if (np.abs(covariance) > np.outer(deviations, deviations) * (1 + 1e-4) + 1e-6).any():
            raise EmbeddingError("the background's covariance is none: it correlates columns by more than 1")
        if not 0 < self.logit_scale < float("inf"):
            raise EmbeddingError(f"the background's logit_scale is a positive number, not {self.logit_scale}")
        if not 0 < self.ridge < float("inf"):
            raise EmbeddingError(f"the background's ridge is a positive number, not {self.ridge}")
        if self.anchors is not None:
            object.__setattr__(self, "anchors", _directions(self.anchors, len(mean)))
        # Exactly symmetric, and plain numbers: the fingerprint has to survive to_bytes, which keeps one half.
        object.__setattr__(self, "mean", mean)
        object.__setattr__(self, "covariance", (covariance + covariance.T) / 2)
        object.__setattr__(self, "count", int(self.count))
        object.__setattr__(self, "logit_scale", float(self.logit_scale))
        object.__setattr__(self, "ridge", float(self.ridge))

    @classmethod
    def fit(
        cls,
        X: ArrayLike,
        *,
        logit_scale: float = 100.0,
        ridge: float = 0.3,
        anchors: NDArray[np.generic] | None = None,
    ) -> Self:
        """From embeddings (N, D) of unlabelled pictures, N ≥ 2; a thousand of all kinds is a good number."""
        rows = as_rows(X, name="the background's pictures").astype(np.float64)
        if len(rows) < 2:
            raise EmbeddingError(f"a background needs at least 2 pictures, got {len(rows)}")
        mean = rows.mean(axis=0)
        residuals = rows - mean
        return cls(
            mean=mean,
            covariance=residuals.T @ residuals / (len(rows) - 1),
            count=len(rows),
            logit_scale=logit_scale,
            ridge=ridge,
            anchors=anchors,
        )

    @property
    def said(self) -> str:
        """In words: which it is, and of how many pictures."""
        return f"{self.fingerprint} of {self.count} pictures"

    @property
    def dimension(self) -> int:
        """Columns D of the embeddings."""
        return len(self.mean)

    @cached_property
    def fingerprint(self) -> str:
        """Digest of the numbers; a compact head names its background by it."""
        digest = sha256(self.mean.astype("<f4").tobytes())
        digest.update(self.covariance.astype("<f4").tobytes())
        digest.update(f"{self.count} {self.logit_scale!r} {self.ridge!r}".encode())
        if self.anchors is not None:
            digest.update(self.anchors.tobytes())
        return digest.hexdigest()[:16]

    def drawn(self, X: Rows, pull: float) -> Rows:
        """unit(x + pull·unit(Wᵀ softmax(20·W x))), W the anchors' unit rows: towards those that X are near.

        What a picture shares with things that the encoder knows says more of its class than the rest does.
        """
        if self._anchors is None or pull == 0:
            return X
        nearness = np.exp(_NEARNESS * (X @ self._anchors.T - 1))  # unit undoes softmax's denominator
        return np.asarray(unit(X + np.float32(pull) * unit(nearness @ self._anchors)), np.float32)

    @cached_property
    def _anchors(self) -> Rows | None:
        """(K, D) unit rows."""
        return None if self.anchors is None else np.asarray(unit(self.anchors.astype(np.float32)), np.float32)

    @cached_property
    def whitening(self) -> FloatArray:
        """A = P^−½ with P = (Σ·D/tr Σ + ridge·I)/(1 + ridge), (D, D), symmetric: the background's metric."""
        values, vectors = self._spectrum
        total = float(np.trace(self.covariance))
        scaled = values * (self.dimension / total) if total > 0 else np.ones(self.dimension)
        return np.asarray((vectors * np.sqrt((1 + self.ridge) / (scaled + self.ridge))) @ vectors.T)

    @cached_property
    def whitening_rows(self) -> NDArray[np.float32]:
        """The same in single precision."""
        return self.whitening.astype(np.float32)

    @cached_property
    def whitened_spread(self) -> float:
        """tr(AΣA): mean squared distance from their mean, in the metric, of pictures of anything."""
        return float(np.trace(self.whitening @ self.covariance @ self.whitening))

    @cached_property
    def anything(self) -> Rows:
        """(256, D) unit rows such as pictures of anything have: normal ones of this mean and covariance."""
        values, vectors = self._spectrum
        draws = np.random.default_rng(0).standard_normal((_DRAWS, self.dimension))
        return np.asarray(unit(self.mean + (draws * np.sqrt(values)) @ vectors.T), np.float32)

    @cached_property
    def _spectrum(self) -> tuple[FloatArray, FloatArray]:
        """Eigenvalues (D,), none negative by rounding, and eigenvectors (D, D) of the covariance."""
        values, vectors = np.linalg.eigh(self.covariance)
        return np.maximum(values, 0), vectors

    def to_bytes(self) -> bytes:
        """Safetensors: the mean, and the upper triangle of the covariance, in float32, and the anchors."""
        return pack("background", 1, self._arrays(), self._numbers())

    @classmethod
    def from_bytes(cls, data: bytes) -> "Background":
        """Read what `to_bytes` wrote, of one encoder or of several. Raises HeadError for something else."""
        arrays, settings = unpack("background", _FORMAT_OF_PARTS, data)
        try:
            return _restored_parts(arrays, settings) if "parts" in settings else _restored(arrays, settings)
        except (KeyError, ValueError, TypeError, AttributeError, OverflowError) as exc:
            raise HeadError(f"this background is damaged: {exc}; profile the encoder again") from None

    def _arrays(self) -> Arrays:
        arrays: Arrays = {
            "mean": self.mean.astype(np.float32),
            "covariance": self.covariance[np.triu_indices(self.dimension)].astype(np.float32),
        }
        return arrays if self.anchors is None else arrays | {"anchors": self.anchors}

    def _numbers(self) -> dict[str, float]:
        return {"count": self.count, "logit_scale": self.logit_scale, "ridge": self.ridge}


class JoinedBackground(Background):
    """The backgrounds of several encoders whose rows stand side by side, as `rows.side_by_side` makes them.

    widths : (n,) columns of each part, n from 2 to 4.    parts : (n,) the background of each, None where
    nobody has profiled it.

    Methods see each part by its own. As one background of all columns it has nothing between the parts, and
    an unprofiled part isotropic.

    >>> JoinedBackground([(2, None), (3, Background.fit(np.eye(3)))]).dimension
    5
    """

    widths: tuple[int, ...]
    parts: tuple[Background | None, ...]

    def __init__(self, parts: Sequence[tuple[int, Background | None]]) -> None:
        """Raises EmbeddingError for too few or too many parts, and for a width that is not the part's."""
        if not FEWEST_PARTS <= len(parts) <= MOST_PARTS:
            raise EmbeddingError(
                f"rows of {len(parts)} parts; there are {FEWEST_PARTS} to {MOST_PARTS} parts side by side"
            )
        for width, part in parts:
            if width < 1 or isinstance(part, JoinedBackground):
                raise EmbeddingError(f"a part has one encoder's columns, at least one, not {width}")
            if part is not None and part.dimension != width:
                raise EmbeddingError(f"a part of {width} columns has a background of {part.dimension}")
        known = [part for _, part in parts if part is not None]
        for name, value in (
            ("widths", tuple(int(width) for width, _ in parts)),
            ("parts", tuple(part for _, part in parts)),
            ("count", min((part.count for part in known), default=0)),
            ("logit_scale", float(np.mean([part.logit_scale for part in known])) if known else 100.0),
            ("ridge", 0.3),
            ("anchors", None),
        ):
            object.__setattr__(self, name, value)

    @cached_property
    def mean(self) -> FloatArray:  # made late: of four parts it is large, and seldom wanted
        """(D,)."""
        means = [
            np.zeros(width) if part is None else part.mean
            for width, part in zip(self.widths, self.parts, strict=True)
        ]
        return np.asarray(np.concatenate(means) / np.sqrt(len(means)))

    @cached_property
    def covariance(self) -> FloatArray:
        """(D, D), zero between the parts."""
        whole = np.zeros((self.dimension, self.dimension))
        start = 0
        for width, part in zip(self.widths, self.parts, strict=True):
            own = np.eye(width) / width if part is None else part.covariance
            whole[start : start + width, start : start + width] = own / len(self.parts)
            start += width
        return whole

    @property
    def dimension(self) -> int:
        return sum(self.widths)

    @property
    def said(self) -> str:
        return " and ".join(said_of(part) for part in self.parts)

    @cached_property
    def fingerprint(self) -> str:
        digest = sha256()
        for width, part in zip(self.widths, self.parts, strict=True):
            digest.update(f"{width} {None if part is None else part.fingerprint}, ".encode())
        return digest.hexdigest()[:16]

    def to_bytes(self) -> bytes:
        """Safetensors: the widths, and all that is in the parts'."""
        arrays: Arrays = {}
        told: list[object] = []
        for at, (width, part) in enumerate(zip(self.widths, self.parts, strict=True)):
            told.append({"width": width, "numbers": None if part is None else part._numbers()})
            if part is not None:
                arrays |= {f"{at}.{name}": array for name, array in part._arrays().items()}
        return pack("background", _FORMAT_OF_PARTS, arrays, {"parts": told})


def _restored_parts(arrays: Arrays, settings: Mapping[str, object]) -> JoinedBackground:
    told = settings["parts"]
    if not isinstance(told, list) or len(told) > MOST_PARTS:
        raise ValueError("its parts are no list of some")
    parts: list[tuple[int, Background | None]] = []
    for at, one in enumerate(told):
        start = f"{at}."
        own = {name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)}
        width = int(one["width"])
        if not 1 <= width <= _MOST_COLUMNS:
            raise ValueError(f"a part of {width} columns")
        parts.append((width, None if one["numbers"] is None else _restored(own, one["numbers"])))
    return JoinedBackground(parts)


def _restored(arrays: Arrays, settings: Mapping[str, object]) -> Background:
    mean, packed = arrays["mean"], arrays["covariance"]
    if mean.ndim != 1 or packed.shape != (len(mean) * (len(mean) + 1) // 2,):
        raise ValueError(f"a mean {mean.shape} with half a covariance {packed.shape}")
    upper = np.triu_indices(len(mean))
    covariance = np.zeros((len(mean), len(mean)))
    covariance[upper] = packed
    covariance[upper[::-1]] = packed
    return Background(
        mean=mean.astype(np.float64),
        covariance=covariance,
        count=int(str(settings["count"])),
        logit_scale=float(str(settings["logit_scale"])),
        ridge=float(str(settings["ridge"])),
        anchors=arrays.get("anchors"),
    )


def said_of(background: Background | None) -> str:
    """In words, for those who ask what a head was made with.

    >>> said_of(None)
    'none: the shots alone'
    """
    return "none: the shots alone" if background is None else background.said


def _directions(anchors: NDArray[np.generic], dimension: int) -> NDArray[np.int8]:
    """(K, D) rows as directions whose largest number is ±127."""
    rows = np.asarray(anchors, np.float64)
    if rows.ndim != 2 or rows.shape[1] != dimension or not len(rows):
        raise EmbeddingError(f"a background's anchors are rows (K, {dimension}), not {rows.shape}")
    largest = np.abs(rows).max(axis=1, keepdims=True)
    if not (np.isfinite(largest) & (largest > 0)).all():
        raise EmbeddingError("a background's anchor is zero or not finite; an anchor is a direction")
    return np.asarray(np.rint(rows * (127 / largest)), np.int8)
