"""What containers claim, and how they are told from other bytes; tests/hostile has what is made to hurt."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from handful import tiff
from handful.containers import foreign, format_of, read
from handful.errors import ImageError


def saved(kind, size=(37, 21), **options):
    buffer = io.BytesIO()
    Image.effect_noise(size, 50).convert("RGB").save(buffer, kind, **options)
    return buffer.getvalue()


def directory(*entries, order="<"):
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    body = b"".join(struct.pack(order + "HHII", *entry) for entry in entries)
    return head + struct.pack(order + "H", len(entries)) + body + bytes(4)


def error_of(data):
    with pytest.raises(ImageError) as caught:
        read(data)
    return str(caught.value)


KINDS = {"JPEG": "JPEG", "PNG": "PNG", "WEBP": "WebP", "GIF": "GIF", "TIFF": "TIFF", "BMP": "BMP"}


@pytest.mark.parametrize(("kind", "name"), KINDS.items())
def test_a_picture_claims_its_format_and_size(kind, name):
    picture = read(saved(kind))
    assert (picture.format, picture.width, picture.height, picture.orientation) == (name, 37, 21, 1)


@pytest.mark.parametrize(("kind", "name"), KINDS.items())
def test_cut_anywhere_in_its_first_bytes_it_is_said_to_end(kind, name):
    data = saved(kind)
    for length in range(18, 24):
        assert f"is a {name} that ends after {length} bytes" in error_of(data[:length])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_metadata_is_gone_and_its_orientation_kept(kind):
    exif = Image.Exif()
    exif[274] = 8
    exif[0x010E] = "a secret place" * 50
    data = saved(kind, exif=exif)
    picture = read(data)
    assert b"a secret place" in data
    assert picture.orientation == 8
    with Image.open(io.BytesIO(picture.data)) as image:
        assert not image.getexif().get(274)
        assert not image.getexif().get(0x010E)
    if kind != "TIFF":  # whose directory is replaced, not its body
        assert b"a secret place" not in picture.data


def test_all_but_the_first_frame_of_a_gif_is_gone():
    frames = [Image.effect_noise((30, 30), 50 + i).convert("P") for i in range(9)]
    data = saved("GIF", save_all=True, append_images=frames)
    with Image.open(io.BytesIO(read(data).data)) as image:
        assert image.n_frames == 1


def test_fill_bytes_of_a_jpeg_are_no_damage():
    data = saved("JPEG")
    assert read(data[:2] + b"\xff\xff\xff" + data[2:]).data == read(data).data


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\xff\xd8\xff\xe0\0\x04ab" + b"no marker", "no marker at byte 8"),
        (b"\xff\xd8\xff\xd9", "no size, or no pixels"),
        (saved("JPEG")[:2] + b"\xff\xc0\0\x0b" + bytes(9) + saved("JPEG")[2:], "it claims two sizes"),
        (saved("JPEG")[:-2] + b"\xff\xda\0\x02" * 200, "is a JPEG of 201 scans, over the 100 allowed"),
        (saved("JPEG")[:2] + b"\xff" * 200_000, "more than 131,072 segments"),
        (saved("PNG")[:8] + b"\0\0\0\0IDAT" + bytes(20), "is a damaged PNG (no header)"),
        (saved("PNG")[:-12], "before its last chunk"),
        (saved("GIF")[:10] + b"\0\0\0;", "is a GIF without a frame"),
        (saved("WEBP")[:12] + b"VP9 " + bytes(20), "its first chunk is b'VP9 '"),
        (b"BM" + bytes(12) + struct.pack("<IiiHHI", 40, 9, 9, 1, 8, 1) + bytes(2**20), "is a run-length BMP"),
        (directory((258, 3, 1, 8)), "it claims no size"),
        (directory((256, 2, 4, 0), (257, 4, 1, 8)), "tag 256 is no whole number"),
        (directory((256, 4, 2**30, 0)), "tag 256 claims 4,294,967,296 bytes"),
        (directory((256, 4, 1, 9), (257, 4, 1, 9), (322, 4, 1, 5000)), "tiles are far larger than itself"),
        (directory((256, 4, 1, 9), (257, 4, 1, 9), (273, 4, 9, 5000)), "is a TIFF that ends"),
        (bytes(128) + b"DICM", "is a DICOM file, not a picture; give JPEG, PNG, WebP, GIF, TIFF or BMP"),
        (b"\0\0\0\x1cftypavif", "is AVIF"),
        (b"\0\0\0\x1cftypisom", "is a video"),
    ],
)
def test_damage_is_named(data, words):
    assert words in error_of(data)


def test_a_webp_without_its_exif_chunk_stands_upright():
    data = bytearray(saved("WEBP", exif=Image.Exif().tobytes() + bytes(4)))
    data[data.index(b"EXIF") : data.index(b"EXIF") + 4] = b"NONE"
    assert read(bytes(data)).orientation == 1


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("value", "orientation"), [(1, 1), (6, 6), (8, 8), (0, 1), (9, 1)])
def test_exif_orientations_of_both_byte_orders(order, value, orientation):
    inline = value if order == "<" else value << 16  # two bytes, left in their four
    exif = directory((274, 3, 1, inline), order=order)
    assert tiff.orientation(exif) == tiff.orientation(b"Exif\0\0" + exif) == orientation


@pytest.mark.parametrize(
    "exif", [b"", b"Exif\0\0", b"II*\0\xff\xff\xff\xff", directory((274, 2, 4, 0)), b"II+\0" + b"\xff" * 20]
)
def test_damaged_exif_stands_upright(exif):
    assert tiff.orientation(exif) == 1


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x80\x04\x95", "a Python pickle"),
        (b"8BPS", "a Photoshop document"),
        (b"\xff\x0a", "JPEG XL"),
        (b"\xef\xbb\xbf <HTML>", "an HTML page"),
        (b"Rar!\x1a", "a RAR archive"),
        (b"\x01\x02\x03", "3 unknown bytes (they start 01 02 03)"),
        (("ü" * 300).encode()[:511], "text ('üüüüüüüüüüüüüüüüüüüü'…)"),
        (np.random.default_rng(0).bytes(1000), "1,000 unknown bytes"),
    ],
)
def test_foreign_bytes_are_named(data, words):
    assert foreign(data).startswith(words)
    assert format_of(data) is None
