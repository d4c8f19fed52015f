"""Picture containers: what a picture's bytes are, what they claim, and the same picture without metadata.

Reads untrusted bytes before any decoder does. Sizes are known before memory is taken for them, and metadata
(EXIF, colour profiles, texts, thumbnails, further frames) reaches no decoder but that of WebP: it cannot be
large, slow or wrong there.

Layouts: ITU T.81 (JPEG), W3C PNG, GIF89a, RFC 9649 (WebP), Windows bitmaps; `tiff` has TIFF and EXIF.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from handful import tiff
from handful.errors import ImageError

ACCEPTED = "JPEG, PNG, WebP, GIF, TIFF or BMP"

_MOST_PARTS = 2**17  # segments, chunks, blocks or strips that are walked in one picture
_MOST_SCANS = (
    100  # of a progressive JPEG, whose every scan goes over the whole picture; encoders write about 10
)
_LARGEST_RLE_BITMAP = 2**20  # bytes; run-length bitmaps are decoded slowly


@dataclass(frozen=True, slots=True)
class Picture:
    """A container as it was read.

    format : JPEG, PNG, WebP, GIF, TIFF, BMP or HEIC.
    width, height : pixels, before `orientation` is applied; 0 × 0 for HEIC, whose own reader knows.
    data : the picture without metadata.    orientation : 1 to 8, as in EXIF.
    """

    format: str
    width: int
    height: int
    data: bytes = field(repr=False)
    orientation: int = 1


def format_of(data: bytes) -> str | None:
    """The accepted format that the first 18 bytes name, or None.

    >>> format_of(b"GIF89a")
    'GIF'
    """
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WebP"
    if data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "TIFF"
    if data.startswith(b"BM") and data[15:18] == b"\0\0\0" and data[14] in _BITMAP_HEADERS:
        return "BMP"
    if data[4:8] == b"ftyp" and data[8:12] in _HEIC_BRANDS:
        return "HEIC"
    return None


def read(data: bytes) -> Picture:
    """What a picture's bytes claim; an ImageError for any other, worded to follow the picture's name."""
    name = format_of(data)
    if name is None:
        raise ImageError(f"is {foreign(data)}, not a picture; give {ACCEPTED}")
    if name == "HEIC":
        return Picture(name, 0, 0, data)
    try:
        return _READERS[name](data)
    except (IndexError, OverflowError, struct.error):
        raise ImageError(
            f"is a {name} that ends after {len(data):,} bytes, before its pixels; send it whole"
        ) from None


def foreign(data: bytes) -> str:
    """What bytes that are no accepted picture are, in words.

    >>> foreign(b"%PDF-1.7")
    'a PDF document'
    """
    if not data:
        return "empty (0 bytes)"
    if data[128:132] == b"DICM":
        return "a DICOM file"
    if data[4:8] == b"ftyp":
        return {b"avif": "AVIF", b"avis": "AVIF"}.get(data[8:12], "a video (MP4 or QuickTime)")
    start = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n")
    for magic, words in _FOREIGN:
        if start[: len(magic)].lower() == magic.lower():
            return words
    try:
        text = start.decode()
    except UnicodeDecodeError as exc:
        text = start[: exc.start].decode() if exc.start > len(start) - 4 else ""  # cut inside a letter
    if text and all(c.isprintable() or c.isspace() for c in text):
        return f"text ({text[:20]!r}…)"
    return f"{len(data):,} unknown bytes (they start {data[:8].hex(' ')})"


_BITMAP_HEADERS = {12, 16, 40, 52, 56, 64, 108, 124}
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
_FOREIGN = (
    (b"<!doctype html", "an HTML page"),
    (b"<html", "an HTML page"),
    (b"<svg", "an SVG drawing"),
    (b"<?xml", "XML (an SVG drawing?)"),
    (b"version https://git-lfs", "a Git LFS pointer (run: git lfs pull)"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a zip archive"),
    (b"PK\x05\x06", "a zip archive"),
    (b"\x1f\x8b", "gzip data"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x80\x02", "a Python pickle"),
    (b"\x80\x03", "a Python pickle"),
    (b"\x80\x04", "a Python pickle"),
    (b"\x80\x05", "a Python pickle"),
    (b"\x93NUMPY", "a NumPy array file (load it and give the array)"),
    (b"8BPS", "a Photoshop document"),
    (b"\0\0\1\0", "an icon (ICO)"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
)


# After a scan's header: the next marker that is neither a stuffed 0xFF, a restart nor a fill byte.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def _jpeg(data: bytes) -> Picture:
    kept = [data[:2]]
    size: tuple[int, int] | None = None
    orientation, scans, at = 1, 0, 2
    for _ in _steps("JPEG", "segments"):
        if data[at] == 0xFF == data[at + 1]:  # a fill byte
            at += 1
            continue
        marker = data[at + 1]
        if marker == 0xD9:
            break
        (length,) = struct.unpack_from(">H", data, at + 2)
        if data[at] != 0xFF or length < 2:
            raise ImageError(f"is a damaged JPEG (no marker at byte {at:,}); save it anew")
        segment = data[at : at + 2 + length]
        at += 2 + length
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            if size is not None:
                raise ImageError("is a damaged JPEG (it claims two sizes); save it anew")
            height, width = struct.unpack_from(">HH", segment, 5)
            size = width, height
        elif marker == 0xE1 and segment[4:10] == b"Exif\0\0":
            orientation = tiff.orientation(segment[4:])
        if marker in (0xE0, 0xEE) or not (0xE0 <= marker <= 0xEF or marker == 0xFE):
            kept.append(segment)  # of APPn and comments only APP0 and APP14, which tell the colour space
        if marker == 0xDA:
            scans += 1
            found = _MARKER.search(data, at)
            end = found.start() if found else len(data)
            kept.append(data[at:end])
            at = end
            if found is None:  # cut off: the decoder says how many rows are missing
                break
    if size is None or scans == 0:
        raise ImageError("is a damaged JPEG (no size, or no pixels); save it anew")
    if scans > _MOST_SCANS:
        raise ImageError(f"is a JPEG of {scans:,} scans, over the {_MOST_SCANS} allowed; save it anew")
    end_marker = b"\xff\xd9" if data[at : at + 2] == b"\xff\xd9" else b""
    return Picture("JPEG", *size, b"".join([*kept, end_marker]), orientation)


def _png(data: bytes) -> Picture:
    length, kind, width, height = struct.unpack_from(">I4sII", data, 8)
    if kind != b"IHDR" or length != 13:
        raise ImageError("is a damaged PNG (no header); save it anew")
    kept = [data[:33]]
    orientation = 1
    at = 33
    for _ in _steps("PNG", "chunks"):
        if at >= len(data):
            raise ImageError(
                f"is a PNG that ends after {len(data):,} bytes, before its last chunk; send it whole"
            )
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if kind in (b"PLTE", b"tRNS", b"IDAT", b"IEND"):
            kept.append(data[at:end])
        elif kind == b"eXIf":
            orientation = tiff.orientation(data[at + 8 : end - 4])
        if kind == b"IEND":
            break
        at = end
    return Picture("PNG", width, height, b"".join(kept), orientation)


def _gif(data: bytes) -> Picture:
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    at = start = 13 + _gif_palette(flags)
    control = b""  # the last one before the first frame holds its transparent colour
    for _ in _steps("GIF", "extensions"):
        if data[at] == 0x21:
            end = _gif_blocks(data, at + 2)
            if data[at + 1] == 0xF9:
                control = data[at:end]
            at = end
        elif data[at] == 0x2C:
            left, top, frame_width, frame_height, flags = struct.unpack_from("<HHHHB", data, at + 1)
            end = _gif_blocks(data, at + 10 + _gif_palette(flags) + 1)
            width, height = max(width, left + frame_width), max(height, top + frame_height)
            break
        else:
            raise ImageError("is a GIF without a frame; save it anew")
    return Picture("GIF", width, height, data[:start] + control + data[at:end] + b";")


def _gif_palette(flags: int) -> int:
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _gif_blocks(data: bytes, at: int) -> int:
    for _ in _steps("GIF", "blocks"):
        size = data[at]
        at += 1 + size
        if size == 0:
            break
    return at


def _webp(data: bytes) -> Picture:
    kind = data[12:16]
    if kind == b"VP8X":
        flags, width, height = data[20], *(int.from_bytes(data[i : i + 3], "little") + 1 for i in (24, 27))
        orientation = _webp_orientation(data) if flags & 0x08 else 1
        if len(data) < 30:
            raise IndexError
        return Picture("WebP", width, height, data, orientation)
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return Picture("WebP", (bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1, data)
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return Picture("WebP", width & 0x3FFF, height & 0x3FFF, data)
    raise ImageError(f"is a damaged WebP (its first chunk is {kind!r}); save it anew")


def _webp_orientation(data: bytes) -> int:
    at = 12
    for _ in _steps("WebP", "chunks"):
        if at + 8 > len(data):
            break
        kind, size = struct.unpack_from("<4sI", data, at)
        if kind == b"EXIF":
            return tiff.orientation(data[at + 8 : at + 8 + size])
        at += 8 + size + size % 2
    return 1


def _bmp(data: bytes) -> Picture:
    if data[14] == 12:
        width, height = struct.unpack_from("<HH", data, 18)
        return Picture("BMP", width, height, data)
    width, height = struct.unpack_from("<ii", data, 18)
    (compression,) = struct.unpack_from("<I", data, 30) if data[14] >= 40 else (0,)
    if compression in (1, 2) and len(data) > _LARGEST_RLE_BITMAP:
        raise ImageError(
            f"is a run-length BMP of {len(data):,} bytes, over {_LARGEST_RLE_BITMAP:,}; save it as PNG"
        )
    return Picture("BMP", width, abs(height), data)  # a negative height: rows from the top


def _tiff(data: bytes) -> Picture:
    width, height, orientation, body = tiff.first_picture(data)
    return Picture("TIFF", width, height, body, orientation)


def _steps(format_name: str, what: str) -> Iterator[int]:
    yield from range(_MOST_PARTS)
    raise ImageError(f"is a {format_name} of more than {_MOST_PARTS:,} {what}; save it anew")


_READERS = {"JPEG": _jpeg, "PNG": _png, "GIF": _gif, "WebP": _webp, "BMP": _bmp, "TIFF": _tiff}
