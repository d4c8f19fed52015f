"""An encoder that was never taught: histograms of colour and of texture. Weak, and unlike any network."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from handful.background import Background
from handful.encoders import Progress
from handful.errors import EncoderError
from handful.images import ImageSource, decode_many
from handful.pixels import Pixels
from handful.rows import Rows

_SIDE = 128
_AROUND = [(-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1)]


class ColourTexture:
    """512 columns: square roots of a histogram of hue, saturation and value, and of local binary patterns
    (Ojala, Pietikäinen, Harwood, Pattern Recognition 1996), of 128 × 128 pixels.
    """

    name = "colour-texture"
    dimension = 512
    fingerprint = "colour-texture-1"
    at_least = 2 * _SIDE

    def __init__(self, background: Background | None = None) -> None:
        self.background = background

    def prepare(self, pixels: Pixels) -> Pixels:
        return np.asarray(Image.fromarray(pixels).resize((_SIDE, _SIDE), Image.Resampling.BILINEAR))

    def encode_prepared(self, prepared: NDArray[np.uint8]) -> Rows:
        return np.stack([_row(pixels) for pixels in prepared])

    def encode_images(self, images: Iterable[ImageSource], *, progress: Progress | None = None) -> Rows:
        rows = [np.empty((0, self.dimension), np.float32)]
        for done, pixels in enumerate(decode_many(images, at_least=self.at_least), start=1):
            rows.append(_row(self.prepare(pixels))[None])
            if progress is not None:
                progress(done)
        return np.concatenate(rows)

    def encode_texts(self, texts: Sequence[str]) -> Rows:
        raise EncoderError("histograms know no words")


def _row(pixels: Pixels) -> NDArray[np.float32]:
    image = Image.fromarray(pixels)
    hue, saturation, value = np.moveaxis(np.asarray(image.convert("HSV")).astype(np.int64), 2, 0)
    colours = np.bincount((hue // 16 * 16 + saturation // 64 * 4 + value // 64).ravel(), minlength=256)
    grey = np.asarray(image.convert("L")).astype(np.int64)
    centre = grey[1:-1, 1:-1]
    codes = np.zeros_like(centre)
    for bit, (down, right) in enumerate(_AROUND):
        near = grey[1 + down : _SIDE - 1 + down, 1 + right : _SIDE - 1 + right]
        codes |= (near >= centre).astype(np.int64) << bit
    textures = np.bincount(codes.ravel(), minlength=256)
    row = np.sqrt(np.concatenate([colours / colours.sum(), textures / textures.sum()]) / 2)
    return np.asarray(row, np.float32)
