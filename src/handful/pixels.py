"""PIL images and arrays of every kind become RGB pixels."""

from threading import Lock

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from handful import tiff
from handful.errors import ImageError

Pixels = NDArray[np.uint8]  # (H, W, 3), RGB

# Times the size asked for that a reduced picture keeps. Against resizing the full photo, the worst ratio has
# 32 dB PSNR at 1 and 48 dB at 2.
REDUCTION_GAP = 2

_LOCKS = [Lock() for _ in range(64)]
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def from_image(image: Image.Image, *, orientation: int = 1, at_least: int | None = None) -> Pixels:
    """Any mode of PIL, transparent parts on white, turned by an EXIF orientation of 1 to 8.

    at_least : see `images.decode`. Raises ImageError for values that are not finite, and whatever PIL raises.
    """
    load(image)
    rgb = _rgb(image)
    if at_least and (factor := min(rgb.size) // (REDUCTION_GAP * at_least)) > 1:
        rgb = rgb.reduce(factor)
    if orientation in _TURNS:
        rgb = rgb.transpose(_TURNS[orientation])
    return np.array(rgb)


def from_array(array: np.ndarray) -> Pixels:
    """Of an array (H, W) or (H, W, 1, 3 or 4): uint8, uint16 (65535 is white), bool, floats 0 to 1.

    Raises ImageError for any other.
    """
    if not is_one_picture(array):
        hint = ""
        if array.ndim == 4:
            hint = "; this looks like many pictures: give them one by one"
        elif array.ndim == 3 and array.shape[0] in (1, 3, 4):
            hint = "; channels come last: numpy.moveaxis(x, 0, -1)"
        raise ImageError(f"has shape {array.shape}; give (H, W), (H, W, 1), (H, W, 3) or (H, W, 4){hint}")
    values = _eight_bits(array)
    if values.ndim == 2:
        values = values[:, :, None]
    if values.shape[2] == 4:
        alpha = values[:, :, 3:].astype(np.uint32)
        on_white = values[:, :, :3] * alpha + 255 * (255 - alpha)
        return ((on_white + 127) // 255).astype(np.uint8)
    return np.array(np.broadcast_to(values, (*values.shape[:2], 3)))


def is_one_picture(array: np.ndarray) -> bool:
    """Whether the shape is that of one picture, channels last."""
    return array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))


def load(image: Image.Image) -> None:
    """Read a lazily opened picture's pixels; PIL cannot do that from two threads at once."""
    with _LOCKS[(id(image) >> 4) % len(_LOCKS)]:
        image.load()


def orientation_of(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8, that a PIL image carries."""
    exif = image.info.get("exif")
    return tiff.orientation(exif) if isinstance(exif, bytes) else 1


def _rgb(image: Image.Image) -> Image.Image:
    mode = image.mode
    if mode.startswith("I;16"):
        return Image.fromarray(_from_16_bits(np.asarray(image))).convert("RGB")
    if mode in ("I", "F"):
        return Image.fromarray(_stretched(np.asarray(image))).convert("RGB")
    if mode in ("La", "RGBa"):  # colours already multiplied by alpha
        image = image.convert(mode.upper())
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image.getchannel("A"))
        return white
    return image.convert("RGB")


def _from_16_bits(values: NDArray[np.uint16]) -> Pixels:
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _stretched(values: NDArray[np.generic]) -> Pixels:
    floats = values.astype(np.float64)
    if not np.isfinite(floats).all():
        raise ImageError("holds values that are not finite; replace them")
    low, high = float(floats.min()), float(floats.max())
    if values.dtype.kind == "f" and low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    return np.rint((floats - low) * (255 / (high - low if high > low else 1))).astype(np.uint8)


def _eight_bits(array: np.ndarray) -> Pixels:
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.uint16:
        return _from_16_bits(array)
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype.kind == "f":
        scaled = np.rint(array.astype(np.float64) * 255)
        if not (scaled.min() >= 0 and scaled.max() <= 255):  # also where one is NaN
            raise ImageError(
                f"holds floats from {array.min():.6g} to {array.max():.6g}; floats lie in 0 to 1: "
                "divide by the white value, or give uint8"
            )
        return scaled.astype(np.uint8)
    raise ImageError(f"holds {array.dtype}; give uint8, uint16, bool, or floats from 0 to 1")
