"""Decoded pictures → the square of pixels an image tower looks at."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]  # (H, W, 3)

_GAP = (
    3.0  # a picture over 3 times too large is first shrunk by whole numbers: same result to the eye, faster
)


def centre_crop(picture: Pixels, *, short_side: int, side: int) -> Pixels:
    """The short side resized to `short_side` (bicubic), then the middle `side` × `side`.

    Both in one step: only the part that is kept is resampled.
    """
    height, width = picture.shape[:2]
    kept = min(height, width) * side / short_side
    left, top = (width - kept) / 2, (height - kept) / 2
    resized = Image.fromarray(picture).resize(
        (side, side),
        Image.Resampling.BICUBIC,
        box=(left, top, left + kept, top + kept),
        reducing_gap=_GAP,
    )
    return np.asarray(resized)
