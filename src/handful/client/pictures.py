"""Pictures on their way to the service."""

from collections.abc import Iterable, Sequence
from io import BytesIO
from os import PathLike
from pathlib import Path

import numpy as np
from PIL import Image

from handful.client.steps import Upload
from handful.errors import ImageError
from handful.images import ImageSource, Limits, decode
from handful.sources import describe, printable, read

_MOST_PICTURES = 64  # of a request
_MOST_BYTES = 16 * 2**20  # of a request, unless one picture has more


def upload_of(source: ImageSource, place: int) -> Upload:
    """A picture as a file: its bytes as they are, or PNG of a PIL image or an array.

    Raises ImageError for what is no picture, or cannot be read.
    """
    if isinstance(source, Image.Image | np.ndarray):
        buffer = BytesIO()
        Image.fromarray(decode(source)).save(buffer, "PNG")
        return f"{place}.png", buffer.getvalue(), "image/png"
    try:
        data = read(source, Limits().max_bytes)
    except ImageError as exc:
        raise ImageError(f"picture ({describe(source)}) {exc}") from None
    name = Path(source).name if isinstance(source, PathLike | str) and len(str(source)) < 1000 else str(place)
    return printable(name, longest=200), data, "application/octet-stream"


def listed(images: Iterable[ImageSource] | ImageSource) -> list[ImageSource]:
    """Pictures as a list. Raises ImageError for a single one, of which nobody knows if it was meant so."""
    if isinstance(images, str | bytes | PathLike | Image.Image | np.ndarray) or hasattr(images, "read"):
        raise ImageError(f"this takes many pictures; got one ({describe(images)}): put it in a list")
    return list(images)


def next_uploads(
    images: Sequence[ImageSource], start: int, *, all_of_them: bool = False, encodings: int = 1
) -> list[Upload]:
    """As many pictures from `start` on as go into one request, or all of them.

    encodings : that each takes.
    """
    if all_of_them:
        return [upload_of(image, place) for place, image in enumerate(images)]
    uploads: list[Upload] = []
    size = 0
    for place in range(start, min(len(images), start + max(_MOST_PICTURES // encodings, 1))):
        upload = upload_of(images[place], place)
        if uploads and size + len(upload[1]) > _MOST_BYTES:
            break
        uploads.append(upload)
        size += len(upload[1])
    return uploads
