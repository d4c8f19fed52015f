"""Decoded pictures → the square of pixels an image tower looks at."""

import numpy as np
from PIL import Image

from handful.pixels import Pixels


def centre_crop(picture: Pixels, *, short_side: int, side: int) -> Pixels:
    """The short side resized to `short_side` (bicubic), then the middle `side` × `side`.

    Both in one step: only the part that is kept is resampled.
    """
    height, width = picture.shape[:2]
    kept = min(height, width) * side / short_side
    left, top = (width - kept) / 2, (height - kept) / 2
    resized = Image.fromarray(picture).resize(
        (side, side), Image.Resampling.BICUBIC, box=(left, top, left + kept, top + kept)
    )
    return np.asarray(resized)
