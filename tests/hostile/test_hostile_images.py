"""Pictures made to hurt: each ends in one named error, quickly and in bounded memory."""

import base64
import io
import pickle
import struct
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile


def photo(width=64, height=48):
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    return Image.fromarray(np.stack([x * 3 % 256, y * 5 % 256, (x + y) % 256], axis=2).astype(np.uint8))


def saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind, body, crc=None):
    return (
        struct.pack(">I", len(body))
        + kind
        + body
        + struct.pack(">I", zlib.crc32(kind + body) if crc is None else crc)
    )


def png(width, height, *chunks, rows=None):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    pixels = zlib.compress(bytes(height * (3 * width + 1)) if rows is None else rows)
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def segment(marker, body):
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def with_jpeg_size(data, width, height):
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


def tiff(*entries, next_directory=0, tail=b"", order="<"):
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    directory = struct.pack(order + "H", len(entries)) + b"".join(
        struct.pack(order + "HHII", *entry) for entry in sorted(entries)
    )
    return head + directory + struct.pack(order + "I", next_directory) + tail


def tiff_of(width, height, *more, **options):
    return tiff(
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 1, 8),
        (259, 3, 1, 1),
        (262, 3, 1, 1),
        (277, 3, 1, 1),
        *more,
        **options,
    )


def bmp(width, height, compression=0, body=b""):
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, compression, len(body), 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(body), 0, 0, 54) + info + body


def gif_of_frames(count, *, between=b""):
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00" + between
    return b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff" + frame * count + b";"


def webp_canvas(width, height):
    flat = saved(photo(), "WEBP")
    body = b"VP8X" + struct.pack("<I", 10) + b"\0" * 4
    body += (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little") + flat[12:]
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


class Bomb:
    def __reduce__(self):
        return eval, ("1/0",)


JPEG, PNG, WEBP = saved(photo(), "JPEG"), saved(photo(), "PNG"), saved(photo(), "WEBP")
GIF, TIFF, BMP = saved(photo(), "GIF"), saved(photo(), "TIFF"), saved(photo(), "BMP")
PROGRESSIVE = saved(photo(2000, 2000), "JPEG", progressive=True)
EMPTY_SCAN = segment(0xDA, b"\x03\x01\x00\x02\x11\x03\x11\x00\x00\x01")


def zipped():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.jpg", JPEG)
    return buffer.getvalue()


# name → the bytes, and words that the error has to hold
REFUSED = {
    "empty": (b"", "empty (0 bytes)"),
    "html": (b"\n <!DOCTYPE html><html><body>404</body></html>", "an HTML page"),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
    "billion laughs": (b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha">]>', "XML"),
    "pdf": (b"%PDF-1.7\n%\xe2\xe3", "a PDF document"),
    "pickle": (pickle.dumps(Bomb()), "a Python pickle"),
    "zip": (zipped(), "a zip archive"),
    "gzip": (b"\x1f\x8b" + bytes(30), "gzip data"),
    "dicom": (bytes(128) + b"DICM" + bytes(100), "a DICOM file"),
    "numpy file": (b"\x93NUMPY\x01\x00" + bytes(50), "a NumPy array file"),
    "git lfs pointer": (b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
    "avif": (b"\0\0\0\x1cftypavif" + bytes(30), "AVIF"),
    "video": (b"\0\0\0\x1cftypisom" + bytes(30), "a video"),
    "text": ("Grüße, no picture".encode(), "text ('Grüße"),
    "noise": (np.random.default_rng(0).bytes(5000), "5,000 unknown bytes"),
    "eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n", "text ("),
    "icon": (b"\0\0\1\0\1\0" + bytes(40), "an icon"),
    "too many bytes": (JPEG + bytes(21 * 2**20), "over 20,971,520 bytes, the limit"),
    "png of 50,000 × 50,000": (png(50_000, 50_000, rows=b""), "claims 50,000 × 50,000 pixels"),
    "png over the pixels": (png(9_000, 9_000, rows=b""), "over the limit of 50,000,000"),
    "png of 2^31": (png(2**31 - 1, 2**31 - 1, rows=b""), "no side may be over 30,000"),
    "png of no width": (png(0, 9, rows=b""), "each side needs at least 1"),
    "png without rows": (png(300, 300, rows=b""), "PNG that is damaged"),
    "png with a broken crc": (PNG[:60] + b"\xff" + PNG[61:], "PNG that is damaged"),
    "png cut in the header": (PNG[:20], "PNG that ends after 20 bytes"),
    "png cut in its pixels": (PNG[: len(PNG) // 2], "before its last chunk"),
    "png without a header": (PNG[:8] + chunk(b"tEXt", b"a" * 13) + PNG[8:], "no header"),
    "png without its last chunk": (PNG[:-12], "before its last chunk"),
    "png of endless chunks": (
        PNG[:33] + chunk(b"tEXt", b"") * 140_000 + PNG[33:],
        "more than 131,072 chunks",
    ),
    "png whose chunk claims 4 GB": (
        PNG[:33] + struct.pack(">I", 2**32 - 1) + b"IDAT" + PNG[33:],
        "last chunk",
    ),
    "jpeg of 65,500": (with_jpeg_size(JPEG, 65_500, 65_500), "claims 65,500 × 65,500"),
    "jpeg with a side of 65,500": (with_jpeg_size(JPEG, 65_500, 8), "no side may be over 30,000"),
    "jpeg of no height": (with_jpeg_size(JPEG, 64, 0), "each side needs at least 1"),
    "jpeg cut in the header": (JPEG[:100], "JPEG that ends after 100 bytes"),
    "jpeg cut in its pixels": (PROGRESSIVE[: len(PROGRESSIVE) // 2], "JPEG that is damaged or cut off"),
    "jpeg with two sizes": (
        JPEG[:2] + segment(0xC0, b"\x08\xff\xdc\xff\xdc\x01\x01\x11\0") + JPEG[2:],
        "two sizes",
    ),
    "jpeg without pixels": (b"\xff\xd8\xff\xd9", "no size, or no pixels"),
    "jpeg without markers": (b"\xff\xd8\xff\xe0\0\x04ab" + b"no marker", "no marker at byte 8"),
    "jpeg of endless segments": (
        JPEG[:2] + segment(0xFE, b"") * 140_000 + JPEG[2:],
        "more than 131,072 segments",
    ),
    "jpeg of endless padding": (JPEG[:2] + b"\xff" * 10**7, "more than 131,072 segments"),
    "jpeg of 2,000 scans": (
        PROGRESSIVE[:-2] + EMPTY_SCAN * 2_000 + b"\xff\xd9",
        "scans, over the 100 allowed",
    ),
    "jpeg of noise": (b"\xff\xd8\xff\xe0" + np.random.default_rng(1).bytes(9_000), "JPEG"),
    "gif without a frame": (GIF[:10] + b"\0\0\0;", "GIF without a frame"),
    "gif of 65,535": (GIF[:6] + b"\xff\xff\xff\xff" + GIF[10:], "claims 65,535 × 65,535"),
    "gif whose frame is larger": (
        gif_of_frames(1).replace(
            struct.pack("<HHHHB", 0, 0, 1, 1, 0), struct.pack("<HHHHB", 0, 0, 60_000, 60_000, 0)
        ),
        "claims 60,000 × 60,000",
    ),
    "gif cut": (GIF[: len(GIF) // 2], "GIF that ends"),
    "gif of endless blocks": (GIF[:13] + b"\x21\xfe" + b"\x01a" * 200_000, "GIF"),
    "webp cut": (WEBP[: len(WEBP) // 2], "WebP that is damaged"),
    "webp cut in the header": (WEBP[:22], "WebP that ends after 22 bytes"),
    "webp of 16,384 squared": (webp_canvas(16_384, 16_384), "claims 16,384 × 16,384"),
    "webp with a false canvas": (webp_canvas(5_000, 5_000), "WebP that is damaged"),
    "webp of an unknown kind": (WEBP[:12] + b"VP9 " + WEBP[16:], "first chunk is b'VP9 '"),
    "bmp of huge height": (bmp(100, 2**31 - 1), "claims 100 × 2,147,483,647"),
    "bmp of the most negative height": (bmp(100, -(2**31)), "claims 100 × 2,147,483,648"),
    "bmp of negative width": (bmp(-100, 100), "each side needs at least 1"),
    "bmp cut": (BMP[: len(BMP) // 2], "BMP that is damaged"),
    "bmp of slow runs": (bmp(7_000, 7_000, 1, b"\x01\x00" * 10**6), "a run-length BMP"),
    "tiff whose directory is itself": (tiff_of(20, 20, next_directory=8), "TIFF that is damaged"),
    "tiff cut": (TIFF[: len(TIFF) // 2], "TIFF that is damaged or cut off"),
    "tiff without a size": (tiff((258, 3, 1, 8)), "it claims no size"),
    "tiff of 2^32": (tiff_of(2**32 - 1, 2**32 - 1), "no side may be over 30,000"),
    "tiff with a size of text": (tiff((256, 2, 4, 0), (257, 4, 1, 8)), "no whole number"),
    "tiff whose tag claims 4 GB": (tiff_of(20, 20, (273, 4, 2**30, 8)), "tag 273 claims 4,294,967,296 bytes"),
    "tiff whose strips are elsewhere": (
        tiff_of(20, 20, (273, 4, 1, 2**31), (278, 4, 1, 20), (279, 4, 1, 400)),
        "TIFF that is damaged",
    ),
    "tiff of giant tiles": (
        tiff_of(20, 20, (322, 4, 1, 2**30), (323, 4, 1, 2**30), (324, 4, 1, 8), (325, 4, 1, 8)),
        "tiles are far larger",
    ),
    "tiff of 65,535 samples": (
        tiff((256, 4, 1, 9), (257, 4, 1, 9), (277, 3, 1, 65_535), (273, 4, 1, 8), (262, 3, 1, 2)),
        "TIFF that is damaged",
    ),
    "tiff with an unknown compression": (
        tiff((256, 4, 1, 9), (257, 4, 1, 9), (259, 3, 1, 9_999), (273, 4, 1, 8)),
        "TIFF that is damaged",
    ),
    "tiff cut at its first byte": (b"II*\0", "TIFF that ends"),
    "bigtiff far away": (b"II+\0\x08\0\0\0" + b"\xff" * 8, "TIFF that ends"),
    "heic of nothing": (b"\0\0\0\x1cftypheic" + bytes(60), "HEIC that is damaged"),
    "heic of noise": (b"\0\0\0\x1cftypheic" + np.random.default_rng(2).bytes(3_000), "HEIC that is damaged"),
    "uri of nothing": ("data:image/png;base64,", "empty"),
    "uri without a comma": ("data:image/png;base64", "without a comma"),
    "uri of no base64": ("data:image/png;base64,§§§§", "no base64 text"),
    "text of endless blanks": ("A" + " " * 10**6 + "!", "cannot be read"),
    "base64 of a pdf": (base64.b64encode(b"%PDF-1.7" + bytes(90)).decode(), "a PDF document"),
    "base64 of too many bytes": (base64.b64encode(JPEG + bytes(21 * 2**20)).decode(), "20,971,520 bytes"),
    "name with a null": ("a\0b.jpg", "no valid path"),
}

# Hostile around an honest picture: what is hostile never reaches a decoder, and the picture comes back.
HARMLESS = {
    "jpeg with an exif bomb": JPEG[:2]
    + segment(0xE1, b"Exif\0\0" + tiff((0x8769, 4, 1, 8), (274, 3, 2**31, 8), next_directory=8)) * 500
    + JPEG[2:],
    "jpeg with 16 MB of icc": JPEG[:2]
    + segment(0xE2, b"ICC_PROFILE\0\x01\xff" + bytes(65_000)) * 250
    + JPEG[2:],
    "jpeg that claims to be an mpo": JPEG[:2] + segment(0xE2, b"MPF\0" + bytes(40)) + JPEG[2:],
    "jpeg with a film behind it": JPEG + b"\xff\xda\0\x08" * 100_000,
    "png with a text bomb": png(64, 48, *[chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**22)))] * 200),
    "png with an icc bomb": png(64, 48, chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(2**27)))),
    "png with a false animation": png(64, 48, chunk(b"acTL", bytes(8)), chunk(b"acTL", bytes(8))),
    "png with an exif bomb": png(64, 48, chunk(b"eXIf", tiff((274, 3, 2**31, 8), next_directory=8) * 10_000)),
    "gif of 100,000 frames": gif_of_frames(100_000),
    "gif with endless comments": gif_of_frames(1_000, between=b"\x21\xfe\x01a\0" * 50),
    "tiff of a directory loop": tiff_of(
        2,
        2,
        (273, 4, 1, 4),
        (278, 4, 1, 2),
        (279, 4, 1, 4),
        (0x8769, 4, 1, 8),
        (34675, 7, 2**31, 8),
        next_directory=8,
    ),
}


@pytest.fixture(scope="module")
def outcomes(run_limited):
    cases = {name: data for name, (data, _) in REFUSED.items()} | HARMLESS
    return run_limited("handful.images:decode", cases)


@pytest.mark.parametrize("name", REFUSED)
def test_a_hostile_picture_ends_in_one_error_that_says_what_it_is(name, outcomes):
    error, text, resident = outcomes[name]
    assert error == "ImageError", text
    assert text.startswith("picture (")
    assert REFUSED[name][1] in text
    assert "\n" not in text
    assert len(text) < 400
    assert resident < 300 * 2**20


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_hostile_around_an_honest_picture_is_left_out(name, outcomes):
    error, text, resident = outcomes[name]
    assert error is None, text
    assert text.startswith("array([[[")
    assert resident < 100 * 2**20


def test_every_way_to_cut_or_break_a_picture_ends_in_pixels_or_in_one_error(run_limited):
    random = np.random.default_rng(3)
    cases = {}
    for data in (
        JPEG,
        PNG,
        WEBP,
        GIF,
        TIFF,
        BMP,
        saved(photo(), "TIFF", compression="tiff_lzw"),
        PROGRESSIVE[:4000],
    ):
        for _ in range(25):
            broken = bytearray(data[: int(random.integers(1, len(data) + 1))])
            for at in random.integers(0, min(len(broken), 400), 3):
                broken[at] = random.integers(256)
            cases[str(len(cases))] = bytes(broken)
    ends = run_limited("handful.images:decode", cases)
    assert {end.error for end in ends.values()} <= {None, "ImageError"}
    assert sum(end.error == "ImageError" for end in ends.values()) > 100


def test_pil_keeps_its_own_settings():
    from handful import images  # noqa: F401

    assert Image.MAX_IMAGE_PIXELS == 1024**3 // 4 // 3
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False
