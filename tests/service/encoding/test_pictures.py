"""What is kept of pictures, and what the encoder sees of them."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageOps

from handful.encoders.builtin import BuiltinEncoder
from handful.errors import ImageError
from handful.images import Limits
from handful.service.encoding.pictures import Decoded, Keeping, Wanted, decode_picture
from handful.service.encoding.preparation import Preparation
from handful.service.encoding.room import Room

KEEPING = Keeping(side=768, quality=90)


def decoded(
    data: bytes, *, preparation: Preparation | None = None, policy: str = "none", limits: Limits | None = None
) -> Decoded:
    wanted = Wanted(preparation=preparation, policy=policy, keeping=KEEPING)
    return decode_picture(data, wanted, limits=limits or Limits(), room=Room(10**8), name="files 0")


def as_file(image: Image.Image, kind: str = "JPEG", *, orientation: int | None = None) -> bytes:
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    exif[0x010F] = "Camera of somebody"
    buffer = BytesIO()
    image.save(buffer, kind, exif=exif, quality=95)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def photo(trashnet) -> Image.Image:
    with Image.open(sorted(trashnet.rglob("*.jpg"))[3]) as image:
        return image.convert("RGB")


@pytest.fixture(scope="module")
def large(photo) -> Image.Image:
    return photo.resize((2400, 1800), Image.Resampling.BICUBIC)


def test_a_small_upright_jpeg_is_kept_pixel_for_pixel_without_its_metadata(photo) -> None:
    data = as_file(photo)
    assert b"Camera of somebody" in data
    kept = decoded(data).kept
    assert kept is not None
    assert b"Camera" not in kept
    assert len(Image.open(BytesIO(kept)).getexif()) == 0
    np.testing.assert_array_equal(
        np.asarray(Image.open(BytesIO(kept))), np.asarray(Image.open(BytesIO(data)))
    )


@pytest.mark.parametrize("orientation", [1, 3, 6, 8, 5])
def test_a_large_photo_is_kept_upright_at_the_side_asked_for(large, orientation) -> None:
    data = as_file(large, orientation=orientation)
    seen = decoded(data)
    upright = ImageOps.exif_transpose(Image.open(BytesIO(data)))
    assert (seen.width, seen.height) == upright.size
    assert seen.kept is not None
    kept = Image.open(BytesIO(seen.kept))
    assert kept.format == "JPEG"
    assert max(kept.size) == 768
    assert kept.size == ((768, 576) if orientation in (1, 3) else (576, 768))
    assert len(kept.getexif()) == 0
    assert b"Camera" not in seen.kept
    expected = np.asarray(upright.resize(kept.size, Image.Resampling.LANCZOS), float)
    error = np.sqrt(np.mean((np.asarray(kept, float) - expected) ** 2))
    assert error < 4  # of 255


@pytest.mark.parametrize("kind", ["PNG", "WebP", "TIFF"])
def test_other_formats_are_kept_as_jpeg(photo, kind) -> None:
    seen = decoded(as_file(photo, kind, orientation=6))
    assert seen.kept is not None
    kept = Image.open(BytesIO(seen.kept))
    assert kept.format == "JPEG"
    assert (seen.width, seen.height) == kept.size == (photo.height, photo.width)
    assert b"Camera" not in seen.kept


def test_a_small_jpeg_that_lies_on_its_side_is_turned(photo) -> None:
    seen = decoded(as_file(photo, orientation=6))
    assert seen.kept is not None
    assert Image.open(BytesIO(seen.kept)).size == (photo.height, photo.width)


def test_the_encoder_sees_the_same_whether_a_picture_is_kept_or_not(large) -> None:
    encoder = BuiltinEncoder()
    data = as_file(large, orientation=6)
    preparation = Preparation.of(encoder)
    (prepared,) = decoded(data, preparation=preparation).prepared
    alone = encoder.encode_images([data])
    np.testing.assert_allclose(preparation.encode([prepared]), alone, atol=1e-6)


def test_views_of_a_large_photo_are_what_they_are_of_all_its_pixels(large) -> None:
    encoder = BuiltinEncoder()
    everything = Preparation(at_least=None, prepare=encoder.prepare, encode=encoder.encode_images)
    pixels = np.asarray(large)
    fast = Preparation.of(encoder).of_views(pixels, "standard")
    slow = everything.of_views(pixels, "standard")
    assert len(fast) == 12
    np.testing.assert_array_equal(fast[0], slow[0])
    cosines = (encoder.encode_prepared(np.stack(fast)) * encoder.encode_prepared(np.stack(slow))).sum(axis=1)
    assert cosines.min() > 0.995


def test_nothing_is_decoded_for_a_known_picture_that_is_kept_as_it_came(photo) -> None:
    cut = as_file(photo)[:-3000]  # whoever decodes it, fails
    seen = decoded(cut)
    assert (seen.width, seen.height) == photo.size
    with pytest.raises(ImageError, match=r"picture \(files 0\)"):
        decoded(cut, preparation=Preparation.of(BuiltinEncoder()))


def test_a_picture_over_the_limits_is_refused_by_its_name(photo) -> None:
    with pytest.raises(ImageError, match=r"picture \(files 0\) claims 240 × 320 pixels"):
        decoded(as_file(photo), limits=Limits(max_side=300))
    with pytest.raises(ImageError, match=r"picture \(files 0\) is text"):
        decoded(b"hello, this is no picture")
