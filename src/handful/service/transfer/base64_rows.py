"""Embeddings as text."""

import binascii

import numpy as np
from numpy.typing import NDArray

from handful.errors import RequestError


def numbers_of(text: str, *, pointer: str) -> NDArray[np.float32]:
    """(N,) numbers of the base64 of little-endian float32. Raises RequestError."""
    try:
        return np.frombuffer(binascii.a2b_base64(text, strict_mode=True), "<f4")
    except (binascii.Error, ValueError) as exc:
        raise RequestError(
            f"this is no base64 of little-endian float32 ({exc}); encode the bytes of the numbers",
            pointer=pointer,
        ) from None
