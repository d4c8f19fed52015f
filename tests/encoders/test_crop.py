import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from handful.encoders.crop import centre_crop


def gradient(height: int, width: int) -> np.ndarray:
    """Red grows to the right, green downwards."""
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack(
        [columns * 255 // max(1, width - 1), rows * 255 // max(1, height - 1), 0 * rows], -1
    ).astype("u1")


@pytest.mark.parametrize("shape", [(240, 320), (320, 240), (1, 1), (7, 900), (600, 600)])
def test_any_shape_becomes_the_square(shape: tuple[int, int]) -> None:
    assert centre_crop(gradient(*shape), short_side=292, side=260).shape == (260, 260, 3)


def test_the_middle_is_kept_and_nothing_is_stretched() -> None:
    cropped = centre_crop(gradient(292, 584), short_side=292, side=260)
    assert_array_equal(cropped, gradient(292, 584)[16:276, 162:422])


def test_it_is_close_to_resizing_the_whole_and_cropping_then() -> None:
    picture = gradient(240, 320)
    whole = np.asarray(Image.fromarray(picture).resize((389, 292), Image.Resampling.BICUBIC))
    cropped = centre_crop(picture, short_side=292, side=260)
    assert np.abs(cropped.astype(int) - whole[16:276, 64:324]).mean() < 1
