"""Unit rows: what embeddings are, everywhere in Handful."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from handful.errors import EmbeddingError

Rows = NDArray[np.float32]  # (N, D), unit L2 norm
FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


def unit(X: NDArray[np.floating]) -> NDArray[np.floating]:
    """Each row at length one; a row of zeros stays zero."""
    lengths = np.linalg.norm(X, axis=-1, keepdims=True)
    return X / np.where(lengths > 0, lengths, 1).astype(X.dtype)


def mean_rows(views: Rows) -> Rows:
    """(N, D) the unit mean of each picture's views (N, V, D); of a single view the view itself."""
    if views.shape[1] == 1:
        return np.asarray(views[:, 0])
    return np.asarray(unit(views.mean(axis=1)), np.float32)


def side_by_side(parts: Sequence[Rows]) -> Rows:
    """(N, D₁ + … + Dₙ) unit rows of n encoders' unit rows (N, Dᵢ): side by side, each at 1/√n.

    >>> side_by_side([np.ones((1, 1), "f4"), np.ones((1, 1), "f4")]).round(2)
    array([[0.71, 0.71]], dtype=float32)
    """
    return np.concatenate(parts, axis=1) * np.float32(1 / np.sqrt(len(parts)))


def apart(X: Rows, widths: Sequence[int]) -> list[Rows]:
    """What `side_by_side` put together: (N, Dᵢ) unit rows of each part."""
    ends = np.cumsum(widths)
    return [
        np.asarray(unit(X[:, end - width : end]), np.float32) for end, width in zip(ends, widths, strict=True)
    ]


def as_rows(X: ArrayLike, *, name: str = "X", dimension: int | None = None) -> Rows:
    """Check untrusted embeddings once and give them unit length.

    X : (N, D) or (D,) numbers.    Returns (N, D) float32.
    Raises EmbeddingError where X is not a matrix of finite, non-zero rows of `dimension` columns.
    """
    try:
        array = np.asarray(X)
        if array.dtype.kind not in "biufO":  # text of digits and complex numbers would convert
            raise TypeError(f"it holds {array.dtype}")
        with np.errstate(over="ignore"):  # too large for float32: not finite, said below
            rows = array.astype(np.float32)
    except (TypeError, ValueError) as exc:
        raise EmbeddingError(f"{name} is not a matrix of numbers: {exc}") from None
    if rows.ndim == 1:
        rows = rows[None, :]
    if rows.ndim != 2 or rows.shape[1] == 0:
        raise EmbeddingError(f"{name} has shape {rows.shape}; embeddings are (N, D)")
    if dimension is not None and rows.shape[1] != dimension:
        raise EmbeddingError(
            f"{name} has {rows.shape[1]} columns, not {dimension}; use embeddings of one encoder"
        )
    lengths = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    if not (lengths > 0).all() or not np.isfinite(lengths).all():
        bad = np.flatnonzero(~np.isfinite(lengths[:, 0]) | (lengths[:, 0] == 0))
        raise EmbeddingError(
            f"row {bad[0]} of {name} is {'zero' if lengths[bad[0], 0] == 0 else 'not finite'}; "
            "an embedding is a finite vector of non-zero length"
        )
    scaled: Rows = (rows / lengths).astype(np.float32)
    return scaled
