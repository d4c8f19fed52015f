"""Where pictures come from: paths, files, bytes and text become bytes, within a limit on their number.

Errors are ImageErrors worded to follow the picture's name.
"""

import os
import re
import stat
from base64 import b64decode
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import numpy as np
from PIL import Image

from handful.containers import format_of
from handful.errors import ImageError

_BASE64 = re.compile(r"[A-Za-z0-9+/_\-\s]++={0,2}")
_FROM_URL_SAFE = str.maketrans("-_", "+/")
_SHORTEST_UNKNOWN_BASE64 = 64  # characters
_LONGEST_PATH = 4096  # characters


def is_inline(text: str) -> bool:
    """Whether text holds a picture, rather than the path of one; see `decode`."""
    if text[:5].lower() == "data:":
        return True
    text = text.strip()
    if not _BASE64.fullmatch(text):
        return False
    start = "".join(text[:128].split())[:24].translate(_FROM_URL_SAFE)
    if len(start) == 24 and format_of(b64decode(start)) is not None:
        return True
    if len(text) < _SHORTEST_UNKNOWN_BASE64 or len(text) % 4:
        return False
    return len(text) > _LONGEST_PATH or not os.path.lexists(text)


def read_text(text: str, max_bytes: int) -> bytes:
    """Bytes of a data URI or of base64 text; never opens a file."""
    header, comma, body = text.partition(",") if text[:5].lower() == "data:" else ("", "", text)
    if header and not comma:
        raise ImageError("is a data URI without a comma; give data:image/png;base64,…")
    if header and not header.lower().endswith(";base64"):
        _check(len(body) // 3, max_bytes)  # %00 is one byte
        data = unquote_to_bytes(body)
    else:
        compact = "".join(body.split()).rstrip("=").translate(_FROM_URL_SAFE)
        _check(len(compact) * 3 // 4, max_bytes)
        try:
            data = b64decode(compact + "=" * (-len(compact) % 4), validate=True)
        except ValueError as exc:
            raise ImageError(f"is no base64 text ({exc}); give the bytes in base64, or a data URI") from None
    _check(len(data), max_bytes)
    return data


def read(source: object, max_bytes: int) -> bytes:
    """The bytes of a path, file, bytes or text; at most one byte over the limit is ever read."""
    if isinstance(source, bytes | bytearray | memoryview):
        _check(len(source), max_bytes)
        return bytes(source)
    if isinstance(source, str) and is_inline(source):
        return read_text(source, max_bytes)
    if isinstance(source, str) and "://" in source[:16]:
        raise ImageError("is a web address; download it first, and give its bytes or a path")
    if isinstance(source, str | os.PathLike):
        return _read_path(source, max_bytes)
    if hasattr(source, "read"):
        return read_file(source, max_bytes)
    raise ImageError("is no picture; give a path, bytes, base64 text, a binary file, a PIL image or an array")


def _read_path(path: str | os.PathLike[str], max_bytes: int) -> bytes:
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise ImageError("is a folder; give the pictures in it")
        if not stat.S_ISREG(status.st_mode):  # a pipe or device may never end
            raise ImageError("is no regular file; give a file or its bytes")
        _check(status.st_size, max_bytes)
        with open(path, "rb") as file:
            return read_file(file, max_bytes)
    except FileNotFoundError:
        raise ImageError("is not there: no such file; check the path") from None
    except OSError as exc:
        raise ImageError(f"cannot be read: {exc.strerror}; check the path and its permissions") from None
    except ImageError:
        raise
    except ValueError as exc:
        raise ImageError(f"has no valid path: {exc}") from None  # a null character


def read_file(file: Any, max_bytes: int) -> bytes:  # Any: people bring files of many classes
    """A binary file from its start, left where it stood; one that cannot seek, from where it stands."""
    try:
        stood_at = file.tell() if hasattr(file, "seekable") and file.seekable() else None
        if stood_at is not None:
            file.seek(0)
        parts, missing = [], max_bytes + 1
        while missing > 0 and (part := file.read(min(missing, 2**20))):
            if not isinstance(part, bytes):
                raise ImageError("is a file opened as text; open it with mode 'rb'")
            parts.append(part)
            missing -= len(part)
        if stood_at is not None:
            file.seek(stood_at)
    except ImageError:
        raise
    except (OSError, ValueError, TypeError) as exc:  # ValueError: a closed file
        raise ImageError(f"is a file that cannot be read: {exc}") from None
    _check(max_bytes + 1 - missing, max_bytes)
    return b"".join(parts)


def describe(source: object) -> str:
    """A short name for error messages: the file's name, or what the picture is made of.

    >>> describe("shots/rust/7.jpg"), describe(b"GIF89a")
    ('7.jpg', '6 bytes')
    """
    if isinstance(source, np.ndarray):
        return f"an array {source.shape} of {source.dtype}"
    if isinstance(source, Image.Image):
        return f"a PIL image {source.width} × {source.height}"
    if isinstance(source, bytes | bytearray | memoryview):
        return f"{len(source):,} bytes"
    if isinstance(source, str) and is_inline(source):
        return f"text of {len(source):,} characters"
    path = source if isinstance(source, str | os.PathLike) else getattr(source, "name", None)
    if isinstance(path, str | os.PathLike):
        return printable(Path(os.fsdecode(path)).name or os.fsdecode(path))
    return f"a {type(source).__name__}"


def printable(text: str, longest: int = 100) -> str:
    """One short line: names and reasons come from strangers."""
    line = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return line if len(line) <= longest else line[: longest - 1] + "…"


def _check(count: int, max_bytes: int) -> None:
    if count > max_bytes:
        raise ImageError(f"has over {max_bytes:,} bytes, the limit; make it smaller")
