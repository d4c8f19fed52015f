"""Thumbnails: small JPEGs that show people which shots speak for an answer."""

import os
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path

from PIL import Image

from handful.errors import ImageError
from handful.images import ImageSource, Limits, decode, digest

Keepsake = Callable[[], bytes | None]  # gives a thumbnail, or None where the picture is gone

SIDE = 256  # pixels of the longer side, at most
_QUALITY = 80  # of JPEG


def thumbnail(source: ImageSource, *, limits: Limits) -> bytes:
    """A JPEG of at most 256 × 256 pixels, without metadata. Raises ImageError as `decode` does.

    >>> import numpy as np
    >>> thumbnail(np.zeros((600, 400), np.uint8), limits=Limits())[:2].hex()
    'ffd8'
    """
    image = Image.fromarray(decode(source, limits=limits, at_least=SIDE))
    image.thumbnail((SIDE, SIDE))
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    return buffer.getvalue()


def keepsake(source: ImageSource, sha256: str, *, limits: Limits) -> Keepsake:
    """What to keep of a shot: of a file its place, of anything else a thumbnail."""
    if isinstance(source, str | os.PathLike) and os.path.lexists(source):
        return partial(_of_file, Path(os.fsdecode(source)).absolute(), sha256, limits)
    return partial(bytes, thumbnail(source, limits=limits))


def read_thumbnail(path: Path) -> bytes | None:
    """A thumbnail that was kept as a file."""
    return path.read_bytes() if path.is_file() else None


def _of_file(path: Path, sha256: str, limits: Limits) -> bytes | None:
    try:
        return thumbnail(path, limits=limits) if digest(path, limits=limits) == sha256 else None
    except ImageError:  # moved or deleted since
        return None
