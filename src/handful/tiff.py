"""TIFF directories, which EXIF has too: what decoders need of the first picture, and its orientation.

Source: TIFF 6.0 (Adobe, 1992), BigTIFF, CIPA DC-008 (EXIF). Functions raise IndexError, OverflowError or
struct.error where the data ends too early, and ImageError, worded to follow the picture's name, else.
"""

import struct

from handful.errors import ImageError

_LARGEST_TAG = 2**20  # bytes
_ROOM_OF_TILES = 4096  # pixels by which a tile may be larger than the picture

_WIDTH, _HEIGHT, _ORIENTATION, _TILE_WIDTH, _TILE_HEIGHT = 256, 257, 274, 322, 323
# Sizes, samples, strips, tiles, compression and colour; nothing else reaches a decoder.
_PIXEL_TAGS = {
    256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323, 324, 325, 332,
    338, 339, 347, 512, 513, 514, 515, 519, 520, 521, 529, 530, 531, 532,
}  # fmt: skip
# Bytes of a value, by the directory's type code.
_SIZES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}

_Tags = dict[int, tuple[bytes, bytes]]  # tag → its directory entry, its value


def first_picture(data: bytes) -> tuple[int, int, int, bytes]:
    """Width, height, orientation, and the file with one new directory: the first picture's, without metadata.

    So no loop of directories, thumbnail or private tag is ever followed.
    """
    layout = _Layout(data)
    tags = layout.tags(layout.first(data), data)
    width, height = layout.number(tags, _WIDTH), layout.number(tags, _HEIGHT)
    if (
        layout.number(tags, _TILE_WIDTH, 0) > width + _ROOM_OF_TILES
        or layout.number(tags, _TILE_HEIGHT, 0) > height + _ROOM_OF_TILES
    ):
        raise ImageError("is a TIFF whose tiles are far larger than itself; save it anew")
    padding = bytes(-len(data) % 8)
    directory = layout.directory({tag: entry for tag, (entry, _) in tags.items() if tag in _PIXEL_TAGS})
    header = layout.header(len(data) + len(padding))
    body = b"".join([header, data[len(header) :], padding, directory])
    return width, height, _valid(layout.number(tags, _ORIENTATION, 1)), body


def orientation(exif: bytes) -> int:
    """Orientation 1 to 8 of EXIF bytes; 1 where they are damaged: the picture itself may still be whole."""
    data = exif.removeprefix(b"Exif\0\0")
    try:
        layout = _Layout(data)
        return _valid(layout.number(layout.tags(layout.first(data), data), _ORIENTATION, 1))
    except (IndexError, OverflowError, struct.error, ImageError):
        return 1


class _Layout:
    """Byte order and widths of a TIFF or BigTIFF file."""

    def __init__(self, data: bytes) -> None:
        self.order = "<" if data[:2] == b"II" else ">"
        self.start = data[:8] if (big := 43 in data[2:4]) else data[:4]
        self.offset, self.count = self.order + ("Q" if big else "I"), self.order + ("Q" if big else "H")
        self.entry = self.order + ("HHQ8s" if big else "HHI4s")

    def first(self, data: bytes) -> int:
        return int(struct.unpack_from(self.offset, data, len(self.start))[0])

    def header(self, first: int) -> bytes:
        return self.start + struct.pack(self.offset, first)

    def directory(self, entries: dict[int, bytes]) -> bytes:
        last = struct.pack(self.offset, 0)  # no second picture
        return (
            struct.pack(self.count, len(entries)) + b"".join(entries[tag] for tag in sorted(entries)) + last
        )

    def tags(self, at: int, data: bytes) -> _Tags:
        (count,) = struct.unpack_from(self.count, data, at)
        at += struct.calcsize(self.count)
        size = struct.calcsize(self.entry)
        found: _Tags = {}
        if at + count * size > len(data):
            raise IndexError
        for i in range(count):
            tag, kind, length, inline = struct.unpack_from(self.entry, data, at + i * size)
            if tag in found or (tag not in _PIXEL_TAGS and tag != _ORIENTATION) or kind not in _SIZES:
                continue
            nbytes = length * _SIZES[kind]
            if nbytes > _LARGEST_TAG:
                raise ImageError(f"is a TIFF whose tag {tag} claims {nbytes:,} bytes; save it anew")
            value = inline[:nbytes]
            if nbytes > len(inline):
                (offset,) = struct.unpack(self.offset, inline)
                value = data[offset : offset + nbytes]
            if len(value) < nbytes:
                raise IndexError
            found[tag] = data[at + i * size : at + (i + 1) * size], value
        return found

    def number(self, tags: _Tags, tag: int, default: int | None = None) -> int:
        """The first whole number of a tag."""
        if tag not in tags:
            if default is None:
                raise ImageError("is a damaged TIFF (it claims no size); save it anew")
            return default
        entry, value = tags[tag]
        (kind,) = struct.unpack_from(self.order + "H", entry, 2)
        letter = {1: "B", 3: "H", 4: "I", 16: "Q"}.get(kind)
        if letter is None:
            raise ImageError(f"is a damaged TIFF (tag {tag} is no whole number); save it anew")
        return int(struct.unpack_from(self.order + letter, value)[0])


def _valid(value: int) -> int:
    return value if 1 <= value <= 8 else 1
