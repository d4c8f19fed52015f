import base64
import importlib.metadata
import io
import os
import sys
import tarfile
import threading
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from PIL import Image, ImageOps, PngImagePlugin

from handful.errors import ImageError
from handful.images import Limits, decode, decode_many, describe, digest, from_text

PHOTOS = sorted((Path(__file__).parents[1] / "examples/data/trashnet").glob("*/00*.jpg"))
PHOTO = PHOTOS[0]
# 64 × 32, left red, right blue, written with EXIF orientation 6 (a quarter clockwise), by libheif with x265.
HEIC = base64.b64decode(
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAchtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAADRp"
    "bG9jAAAAAERAAAIAAQAAAAAB7AABAAAAAAAAAHQAAgAAAAACYAABAAAAAAAAACQAAAA4aWluZgAAAAAAAgAAABVpbmZlAgAAAAABAABo"
    "dmMxAAAAABVpbmZlAgAAAQACAABFeGlmAAAAAA5waXRtAAAAAAABAAABB2lwcnAAAADmaXBjbwAAAHZodmNDAQNwAAAAkAAAAAAAHvAA"
    "/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQAqQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbq5Ka5uAhoMCAAAAMD"
    "IAAAAwAhYgABAAZEAcFzwIkAAAATY29scm5jbHgAAQANAAaAAAAAFGlzcGUAAAAAAAAAQAAAAEAAAAAoY2xhcAAAAEAAAAABAAAAIAAA"
    "AAEAAAAAAAAAAv///+AAAAACAAAAEHBpeGkAAAAAAwgICAAAAAlpcm90AwAAABlpcG1hAAAAAAAAAAEAAQaBAgMFhIYAAAAaaXJlZgAA"
    "AAAAAAAOY2RzYwACAAEAAQAAAKBtZGF0AAAAcCgBrwngOSMkv//40n//9/QeQ/YKWcF//fjmff4EF//+q+dRXZU53HWHUzNZ13oW/EqR"
    "3FnQSaCykWAEYciZQLPifz/mhiKEl5gzX6eauZ2M+0LXrx4xVOQPyjvt3iI7zMIPSA1/VovCjpmafvOxNcAAAAAGRXhpZgAATU0AKgAA"
    "AAgAAQESAAMAAAABAAYAAAAAAAA="
)


def photo():
    return Image.open(PHOTO).convert("RGB")


def small(mode="RGB", size=(5, 4), seed=0):
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 4), dtype=np.uint8)
    return Image.fromarray(values, "RGBA").convert(mode) if mode != "RGBA" else Image.fromarray(values)


def saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def error_of(source, **options):
    with pytest.raises(ImageError) as caught:
        decode(source, **options)
    return str(caught.value)


# ---- sources


def test_every_kind_of_source_gives_the_same_pixels():
    data = PHOTO.read_bytes()
    text = base64.b64encode(data).decode()
    expected = np.asarray(photo())
    sources = [
        str(PHOTO),
        PHOTO,
        data,
        bytearray(data),
        memoryview(data),
        io.BytesIO(data),
        Image.open(PHOTO),
        expected,
        text,
        text.rstrip("="),
        base64.urlsafe_b64encode(data).decode(),
        base64.encodebytes(data).decode(),
        f"data:image/jpeg;base64,{text}",
        f"DATA:;base64,{text}",
        "data:image/jpeg," + "".join(f"%{byte:02x}" for byte in data),
    ]
    for source in sources:
        assert_array_equal(decode(source), expected)


def test_pixels_are_a_new_array_that_may_be_written():
    array = np.zeros((3, 3, 3), dtype=np.uint8)
    decode(array)[:] = 7
    assert not array.any()
    assert decode(PHOTO).flags.writeable


def test_a_file_is_read_from_its_start_and_left_where_it_stood():
    buffer = io.BytesIO()
    small().save(buffer, "PNG")
    stood_at = buffer.tell()
    assert_array_equal(decode(buffer), small())
    assert buffer.tell() == stood_at


def test_a_stream_that_cannot_seek_is_read():
    class Stream:
        def __init__(self, data):
            self.rest = io.BytesIO(data)

        def read(self, count):
            return self.rest.read(min(count, 100))

    assert_array_equal(decode(Stream(saved(small(), "PNG"))), small())


def test_text_that_looks_like_a_path_but_is_a_jpeg_in_base64_opens_no_file(monkeypatch):
    text = base64.b64encode(PHOTO.read_bytes()).decode()
    assert text.startswith("/9j/")
    monkeypatch.setattr("builtins.open", None)
    assert decode(text).shape == (320, 240, 3)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"])
def test_every_format_is_known_by_its_first_bytes_in_base64(kind):
    text = base64.b64encode(saved(small(size=(8, 8)), kind)).decode()
    assert decode(text).shape == (8, 8, 3)


def test_a_path_of_64_letters_that_exists_is_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = "A" * 64
    Path(name).write_bytes(PHOTO.read_bytes())
    assert_array_equal(decode(name), np.asarray(photo()))
    assert "24 unknown bytes" not in error_of("A" * 32)
    assert "no such file" in error_of("A" * 32)
    assert "51 unknown bytes" in error_of("A" * 68)


def test_from_text_never_opens_a_file():
    assert from_text(base64.b64encode(b"GIF89a").decode()) == b"GIF89a"
    with pytest.raises(ImageError, match=r"picture \(text of .* is no base64 text"):
        from_text(str(PHOTO))
    with pytest.raises(ImageError, match="over 3 bytes"):
        from_text("data:,abcdefghijklm", limits=Limits(max_bytes=3))


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("no/such/rust.jpg", "picture (rust.jpg) is not there: no such file"),
        (Path("no/such/rust.jpg"), "picture (rust.jpg) is not there"),
        ("https://example.org/a.jpg", "is a web address; download it first"),
        (os.sep, "is a folder"),
        (os.devnull, "picture (null) is no regular file"),
        (io.StringIO("abc"), "opened as text; open it with mode 'rb'"),
        (7, "picture (a int) is no picture; give a path"),
        (None, "is no picture"),
        ([1, 2], "picture (a list) is no picture"),
        (b"", "picture (0 bytes) is empty"),
    ],
)
def test_what_is_no_picture_is_named(source, words):
    assert words in error_of(source)


def test_a_closed_file_and_a_broken_one_are_named():
    closed = io.BytesIO(b"GIF89a")
    closed.close()
    assert "cannot be read" in error_of(closed)


def test_a_file_without_permission_is_named(tmp_path):
    path = tmp_path / "locked.jpg"
    path.symlink_to(path)  # a loop of links cannot be opened by anyone
    assert "picture (locked.jpg) cannot be read" in error_of(path)


def test_names_of_strangers_stay_on_one_short_line():
    text = error_of(b"", name="a\nb\x1b[31m" + "x" * 500)
    assert "\n" not in text
    assert "\x1b" not in text
    assert len(text) < 250
    assert "(stain.heic)" in error_of(b"", name="stain.heic")


def test_a_huge_file_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "huge.png"
    with open(path, "wb") as file:
        file.truncate(8 * 2**30)  # sparse: 8 GB that take no disk
    assert "over 20,971,520 bytes, the limit" in error_of(path)
    with open(path, "rb") as file, pytest.raises(ImageError, match="the limit"):
        digest(file)


def test_a_stream_is_read_no_further_than_the_limit():
    class Endless:
        count = 0

        def read(self, count):
            self.count += count
            return bytes(count)

    endless = Endless()
    assert "over 1,000 bytes" in error_of(endless, limits=Limits(max_bytes=1000))
    assert endless.count == 1001


# ---- limits


def test_limits_are_inclusive_and_say_what_they_found():
    pixels = np.zeros((30, 40, 3), dtype=np.uint8)
    for source in (pixels, Image.fromarray(pixels), saved(Image.fromarray(pixels), "PNG")):
        assert decode(source, limits=Limits(max_pixels=1200, max_side=40, min_side=30)).shape == (30, 40, 3)
        assert "claims 40 × 30 pixels, over the limit of 1,199" in error_of(
            source, limits=Limits(max_pixels=1199)
        )
        assert "no side may be over 39" in error_of(source, limits=Limits(max_side=39))
        assert "each side needs at least 31" in error_of(source, limits=Limits(min_side=31))
    assert "the limit" in error_of(b"x" * 11, limits=Limits(max_bytes=10))


@pytest.mark.parametrize("wrong", [{"max_bytes": 0}, {"min_side": 0}, {"min_side": 9, "max_side": 8}])
def test_limits_that_allow_nothing_are_refused(wrong):
    with pytest.raises(ImageError, match="limits are positive"):
        Limits(**wrong)


def test_a_picture_larger_than_pil_warns_of_is_read_where_the_limits_allow_it():
    data = saved(Image.new("1", (9500, 9500)), "PNG")
    assert decode(data, limits=Limits(max_pixels=10**8), at_least=100).shape == (
        203,
        203,
        3,
    )  # 9500 // 200 = 47 pixels become one


# ---- formats and modes


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"big_tiff": True}),
        ("TIFF", {"compression": "tiff_deflate"}),
        ("WEBP", {"lossless": True}),
    ],
)
def test_lossless_formats_give_back_their_pixels(kind, options):
    assert_array_equal(decode(saved(photo(), kind, **options)), np.asarray(photo()))


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP", "PNG"])
def test_of_several_frames_the_first_is_taken(kind):
    first, second = Image.new("RGB", (9, 7), "red"), Image.new("RGB", (9, 7), "blue")
    options = {"lossless": True} if kind == "WEBP" else {}
    data = saved(first, kind, save_all=True, append_images=[second], **options)
    assert_array_equal(decode(data), np.asarray(first))


def test_photos_equal_a_plain_pil_decode():
    for path in PHOTOS[::7]:
        with Image.open(path) as image:
            assert_array_equal(decode(path), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", [0, 2])
def test_jpegs_of_all_kinds_equal_a_plain_pil_decode(progressive, subsampling):
    data = saved(photo(), "JPEG", progressive=progressive, subsampling=subsampling, restart_marker_rows=1)
    assert_array_equal(decode(data), np.asarray(Image.open(io.BytesIO(data))))
    assert_array_equal(decode(data + b"trailing film"), np.asarray(Image.open(io.BytesIO(data))))


def test_adobe_cmyk_jpegs_are_not_negatives():
    red = Image.new("RGB", (16, 16), (200, 30, 40)).convert("CMYK")
    data = saved(red, "JPEG", quality=100)
    assert b"Adobe" in data
    assert np.abs(decode(data).astype(int) - (200, 30, 40)).max() <= 3


def test_cmyk_tiffs_and_pil_images_are_right():
    image = Image.new("CMYK", (4, 4), (255, 0, 0, 0))
    for source in (image, saved(image, "TIFF")):
        assert_array_equal(decode(source)[0, 0], (0, 255, 255))


def composite(rgba):
    values = np.asarray(rgba).astype(int)
    alpha = values[:, :, 3:]
    return np.rint((values[:, :, :3] * alpha + 255 * (255 - alpha)) / 255)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_laid_on_white(mode):
    image = small(mode)
    expected = composite(image.convert("RGBA"))
    for source in (image, saved(image, "PNG"), saved(image, "TIFF"), np.asarray(image.convert("RGBA"))):
        assert np.abs(decode(source) - expected).max() <= 1
    clear = Image.new("RGBA", (3, 3), (9, 9, 9, 0))
    assert (decode(clear) == 255).all()
    assert (decode(saved(clear, "WEBP", lossless=True)) == 255).all()


@pytest.mark.parametrize("mode", ["RGBa", "La"])
def test_premultiplied_alpha_is_laid_on_white(mode):
    straight = Image.new("RGBA", (2, 2), (100, 100, 100, 128)).convert(mode.upper())
    assert np.abs(decode(straight.convert(mode)).astype(int) - 177).max() <= 2  # 100·0.5 + 255·0.5


def test_palettes_with_transparency_are_laid_on_white():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 0])
    image.putdata([0, 1])
    whole = decode(saved(image, "PNG", transparency=1))
    assert_array_equal(whole[0], [(10, 20, 30), (255, 255, 255)])
    assert_array_equal(decode(saved(image, "GIF", transparency=1))[0], [(10, 20, 30), (255, 255, 255)])
    parts = decode(saved(image, "PNG", transparency=bytes([255, 0])))
    assert_array_equal(parts[0], [(10, 20, 30), (255, 255, 255)])
    assert_array_equal(decode(saved(image, "PNG"))[0], [(10, 20, 30), (200, 100, 0)])


def test_a_colour_that_stands_for_transparency_is_white():
    grey, rgb = Image.new("L", (2, 1)), Image.new("RGB", (2, 1))
    grey.putdata([7, 8])
    rgb.putdata([(7, 7, 7), (8, 8, 8)])
    for data in (saved(grey, "PNG", transparency=7), saved(rgb, "PNG", transparency=(7, 7, 7))):
        assert_array_equal(decode(data)[0], [(255, 255, 255), (8, 8, 8)])


@pytest.mark.parametrize("mode", ["1", "L", "P", "YCbCr", "HSV", "RGBX"])
def test_other_modes_equal_pils_conversion(mode):
    image = small("RGB").convert(mode)
    assert_array_equal(decode(image), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_grey_keeps_its_range(kind):
    values = np.array([[0, 128, 129, 257, 32768, 65535]], dtype=np.uint16)
    data = saved(Image.fromarray(values), kind)
    assert_array_equal(decode(data)[0, :, 0], [0, 0, 1, 1, 128, 255])
    assert_array_equal(decode(values)[0, :, 0], [0, 0, 1, 1, 128, 255])


def test_big_endian_16_bit_tiffs_keep_their_range():
    values = np.array([[0, 257, 65535]], dtype=">u2")
    image = Image.frombytes("I;16B", (3, 1), values.tobytes())
    assert_array_equal(decode(saved(image, "TIFF"))[0, :, 1], [0, 1, 255])


def test_32_bit_and_float_pictures_follow_the_stated_rule():
    whole = Image.fromarray(np.array([[-1000, 0, 1000]], dtype=np.int32))
    unit = Image.fromarray(np.array([[0.0, 0.2, 0.5]], dtype=np.float32))
    wide = Image.fromarray(np.array([[0.0, 5.0, 10.0]], dtype=np.float32))
    flat = Image.fromarray(np.array([[5.0, 5.0, 5.0]], dtype=np.float32))
    assert_array_equal(decode(saved(whole, "TIFF"))[0, :, 0], [0, 128, 255])
    assert_array_equal(decode(saved(unit, "TIFF"))[0, :, 0], [0, 51, 128])
    assert_array_equal(decode(saved(wide, "TIFF"))[0, :, 0], [0, 128, 255])
    assert_array_equal(decode(flat)[0, :, 0], [0, 0, 0])
    broken = Image.fromarray(np.array([[np.nan, 1]], dtype=np.float32))
    assert "not finite" in error_of(broken)


@pytest.mark.parametrize("height", [4, -4])
def test_bitmaps_from_the_top_and_from_the_bottom(height):
    image = small(size=(4, 4))
    data = bytearray(saved(image, "BMP"))
    data[22:26] = height.to_bytes(4, "little", signed=True)
    expected = np.asarray(image) if height > 0 else np.asarray(image)[::-1]
    assert_array_equal(decode(bytes(data)), expected)


def test_an_os2_bitmap_is_read():
    header = b"BM" + (26 + 8).to_bytes(4, "little") + bytes(4) + (26).to_bytes(4, "little")
    info = (12).to_bytes(4, "little") + b"\x02\0\x01\0\x01\0\x18\0"
    assert_array_equal(decode(header + info + bytes([1, 2, 3, 4, 5, 6, 0, 0]))[0], [(3, 2, 1), (6, 5, 4)])


def test_webp_of_all_kinds_has_its_size():
    for options in ({}, {"lossless": True}, {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"}):
        assert decode(saved(small(size=(31, 17)), "WEBP", **options)).shape == (17, 31, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_in_every_format(orientation):
    image = photo().resize((24, 16))
    exif = Image.Exif()
    exif[274] = orientation
    sides = {}
    for kind, options in (("JPEG", {}), ("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {})):
        data = saved(image, kind, exif=exif, **options)
        expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
        assert_array_equal(decode(data), expected, err_msg=kind)
        assert_array_equal(decode(Image.open(io.BytesIO(data))), expected, err_msg=f"PIL {kind}")
        sides[kind] = expected.shape[:2]
    assert set(sides.values()) == {(16, 24) if orientation < 5 else (24, 16)}


def test_damaged_metadata_does_not_spoil_a_picture():
    exif = Image.Exif()
    exif[274] = 6
    good = exif.tobytes()
    as_text = good.replace(b"\x01\x12\x00\x03", b"\x01\x12\x00\x02").replace(b"\x12\x01\x03", b"\x12\x01\x02")
    assert as_text != good
    for broken in (good[:9], good[:20], as_text, b"Exif\0\0", b"Exif\0\0MM\0*\xff\xff\xff\xff"):
        assert decode(saved(photo(), "JPEG", exif=broken)).shape == (320, 240, 3)
        assert decode(saved(photo(), "PNG", exif=broken)).shape == (320, 240, 3)


def test_comments_profiles_and_texts_change_nothing():
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Comment", "x" * 5000, zip=True)
    plain = decode(saved(photo(), "PNG"))
    assert_array_equal(
        decode(saved(photo(), "PNG", pnginfo=texts, icc_profile=b"p" * 3000, dpi=(72, 72))), plain
    )
    jpeg = decode(saved(photo(), "JPEG"))
    assert_array_equal(
        decode(saved(photo(), "JPEG", comment=b"\xff\xda" * 99, icc_profile=bytes(200_000))), jpeg
    )


def test_a_picture_cut_in_its_pixels_is_named():
    for kind, words in (
        ("JPEG", "is a JPEG that is damaged or cut off"),
        ("WEBP", "is a WebP that is damaged"),
    ):
        data = saved(photo(), kind)
        assert words in error_of(data[: len(data) // 2])


def test_a_lack_of_memory_is_an_error_of_the_picture(monkeypatch):
    def too_much(*_args, **_options):
        raise MemoryError

    monkeypatch.setattr("handful.pixels.from_image", too_much)
    assert "is a JPEG too large for the free memory" in error_of(PHOTO)


def test_a_broken_extra_is_not_called_missing(monkeypatch):
    def broken(name, *rest, **options):
        if name == "pi_heif":
            raise ModuleNotFoundError("No module named 'piexif'", name="piexif")
        return real(name, *rest, **options)

    real = __import__
    monkeypatch.setattr("builtins.__import__", broken)
    with pytest.raises(ModuleNotFoundError, match="piexif"):
        decode(HEIC)


# ---- HEIC


def test_heic_is_read_and_turned_once():
    pytest.importorskip("pi_heif")
    pixels = decode(HEIC).astype(int)
    assert pixels.shape == (64, 32, 3)  # 64 × 32 turned clockwise: red on top
    assert np.abs(pixels[4:28, 4:28] - (200, 40, 40)).max() < 30
    assert np.abs(pixels[36:60, 4:28] - (40, 40, 200)).max() < 30
    assert "claims 32 × 64 pixels, over" in error_of(HEIC, limits=Limits(max_pixels=2000))


def test_without_the_extra_heic_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    text = error_of(HEIC, name="stain.heic")
    assert text.startswith("picture (stain.heic) is HEIC; install it with: pip install 'handful[heic]'")
    assert "JPEG" in text
    assert "heic" in importlib.metadata.metadata("handful").get_all("Provides-Extra")


# ---- arrays


def test_arrays_of_every_allowed_kind_give_the_same_picture():
    grey = np.array([[0, 51, 255]], dtype=np.uint8)
    expected = np.repeat(grey[:, :, None], 3, axis=2)
    for array in (
        grey,
        grey[:, :, None],
        expected,
        np.dstack([expected, np.full_like(grey, 255)]),
        grey.astype(np.uint16) * 257,
        grey / 255,
        (grey / 255).astype(np.float32),
        np.asfortranarray(expected),
        expected[:, ::-1][:, ::-1],
    ):
        assert_array_equal(decode(array), expected)
    assert_array_equal(decode(np.array([[True, False]]))[0, :, 0], [255, 0])
    assert_array_equal(decode((grey / 255).astype(np.float16)), expected)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((3, 8, 9)), "channels come last: numpy.moveaxis(x, 0, -1)"),
        (np.zeros((2, 8, 9, 3)), "many pictures: give them one by one"),
        (np.zeros((8, 9, 2)), "has shape (8, 9, 2); give (H, W)"),
        (np.zeros(8), "has shape (8,)"),
        (np.zeros((0, 4, 3)), "each side needs at least 1"),
        (np.zeros((4, 4), dtype=np.int64), "holds int64; give uint8"),
        (np.zeros((4, 4), dtype=object), "holds object"),
        (np.array([[0.0, 17.5]]), "holds floats from 0 to 17.5"),
        (np.array([[-0.5, 0.5]]), "holds floats from -0.5 to 0.5"),
        (np.array([[np.nan, 0.5]]), "holds floats from nan"),
    ],
)
def test_other_arrays_are_refused_with_the_rule(array, words):
    text = error_of(array)
    assert words in text
    assert text.startswith(f"picture (an array {array.shape}")


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 6))
@settings(max_examples=30, deadline=None)
def test_png_and_array_agree_for_any_pixels(seed, height, width):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    assert_array_equal(decode(saved(Image.fromarray(pixels), "PNG")), pixels)


# ---- smaller decodes


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_smaller_decode_keeps_twice_what_is_needed_and_looks_the_same(kind):
    large = photo().resize((960, 1280), Image.Resampling.LANCZOS)
    data = saved(large, kind, quality=95)
    reference = np.asarray(Image.fromarray(decode(data)).resize((120, 160), Image.Resampling.BICUBIC)).astype(
        float
    )
    pixels = decode(data, at_least=120)
    assert pixels.shape == (320, 240, 3)
    reduced = np.asarray(Image.fromarray(pixels).resize((120, 160), Image.Resampling.BICUBIC))
    assert 10 * np.log10(255**2 / np.mean((reference - reduced) ** 2)) > 40  # dB


@given(st.integers(1, 700), st.sampled_from(["JPEG", "PNG"]))
@settings(max_examples=40, deadline=None)
def test_a_smaller_decode_never_falls_under_the_need(at_least, kind):
    data = saved(Image.new("RGB", (333, 517)), kind)
    height, width, _ = decode(data, at_least=at_least).shape
    assert min(height, width) >= min(333, 2 * at_least)
    assert abs(height / width - 517 / 333) < 0.6 / width * 3


def test_a_cmyk_jpeg_decodes_smaller_too():
    data = saved(photo().resize((960, 1280)).convert("CMYK"), "JPEG")
    assert decode(data, at_least=120).shape == (320, 240, 3)


# ---- many


def test_many_come_in_order_and_equal_one_by_one():
    expected = [decode(path) for path in PHOTOS[:12]]
    for threads in (1, 3, None):
        for found, pixels in zip(decode_many(PHOTOS[:12], threads=threads), expected, strict=True):
            assert_array_equal(found, pixels)
    assert list(decode_many([])) == []


def test_an_array_of_many_pictures_is_many_pictures():
    batch = np.zeros((5, 8, 9, 3), dtype=np.uint8)
    assert [pixels.shape for pixels in decode_many(batch)] == [(8, 9, 3)] * 5


@pytest.mark.parametrize(
    "one", ["a.jpg", b"GIF89a", PHOTO, np.zeros((8, 9, 3)), np.zeros((8, 9)), Image.new("L", (2, 2))]
)
def test_one_picture_in_place_of_many_is_refused_at_once(one):
    with pytest.raises(ImageError, match="put it in a list"):
        decode_many(one)


def test_no_threads_are_refused_at_once():
    with pytest.raises(ImageError, match="threads is 1 or more; got 0"):
        decode_many([], threads=0)


def test_the_error_says_which_picture_of_how_many():
    photos = [PHOTO, b"%PDF-1.7", PHOTO]
    with pytest.raises(ImageError, match=r"^picture 2 of 3 \(8 bytes\) is a PDF document"):
        list(decode_many(photos))
    with pytest.raises(ImageError, match=r"^picture 2 \(8 bytes\) is a PDF"):
        list(decode_many(iter(photos)))
    with pytest.raises(ImageError, match=r"^picture 1 of 1 \(a StringIO\) is a file opened as text"):
        list(decode_many([io.StringIO("x")]))


def test_pictures_before_a_bad_one_come_out():
    stream = decode_many([PHOTO, PHOTO, b""], threads=2)
    assert next(stream).shape == next(stream).shape == (320, 240, 3)
    with pytest.raises(ImageError, match="picture 3 of 3"):
        next(stream)


def test_reading_ahead_is_bounded_and_stops_with_the_reader():
    taken = []

    def endless():
        while True:
            taken.append(None)
            yield np.zeros((2, 2), dtype=np.uint8)

    stream = decode_many(endless(), threads=3)
    for _ in range(10):
        next(stream)
    stream.close()
    assert len(taken) <= 10 + 2 * 3
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("handful-decode")]


def test_members_of_one_archive_and_one_lazy_picture_many_times_decode_in_parallel():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path in PHOTOS[:8]:
            archive.add(path, path.parent.name + path.name)
    buffer.seek(0)
    with tarfile.open(fileobj=buffer) as archive:
        members = [archive.extractfile(member) for member in archive.getmembers()]
        for found, path in zip(decode_many(members, threads=4), PHOTOS, strict=False):
            assert_array_equal(found, decode(path))
    lazy = Image.open(PHOTO)
    for found in decode_many([lazy] * 8, threads=4):
        assert_array_equal(found, decode(PHOTO))


# ---- digest, describe


def test_a_digest_is_that_of_the_files_bytes_whatever_the_source():
    data = PHOTO.read_bytes()
    expected = sha256(data).hexdigest()
    for source in (PHOTO, str(PHOTO), data, io.BytesIO(data), base64.b64encode(data).decode()):
        assert digest(source) == expected


def test_a_digest_of_pixels_depends_on_values_shape_and_type():
    array = np.arange(12, dtype=np.uint8).reshape(3, 4)
    others = [array.T, array.astype(np.uint16), array.reshape(4, 3), array[::-1], Image.fromarray(array)]
    assert digest(array) == digest(array.copy()) == digest(np.asfortranarray(array))
    assert len({digest(source) for source in [array, *others]}) == 6


def test_a_digest_of_a_pil_image_depends_on_palette_and_orientation():
    image = Image.new("P", (2, 1))
    image.putpalette([1, 2, 3])
    other, turned = image.copy(), image.copy()
    other.putpalette([3, 2, 1])
    exif = Image.Exif()
    exif[274] = 6
    turned.info["exif"] = exif.tobytes()
    assert digest(image) == digest(image.copy())
    assert len({digest(image), digest(other), digest(turned)}) == 3


def test_a_digest_of_what_cannot_be_read_is_named():
    with pytest.raises(ImageError, match=r"picture \(gone.jpg\) is not there"):
        digest("gone.jpg")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (Path("a/b.jpg"), "b.jpg"),
        ("a/b.jpg", "b.jpg"),
        (b"abc", "3 bytes"),
        (Image.new("L", (2, 3)), "a PIL image 2 × 3"),
        (np.zeros((2, 3)), "an array (2, 3) of float64"),
        ("data:,x", "text of 7 characters"),
        (io.BytesIO(), "a BytesIO"),
    ],
)
def test_a_source_has_a_short_name(source, words):
    assert describe(source) == words


def test_an_open_file_is_called_by_its_name():
    with open(PHOTO, "rb") as file:
        assert describe(file) == PHOTO.name
