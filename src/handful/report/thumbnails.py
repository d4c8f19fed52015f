"""Pictures small enough to stand inside a page."""

from base64 import b64encode
from collections.abc import Sequence
from io import BytesIO

from PIL import Image

from handful.images import ImageSource, decode

_SIDE = 168  # pixels of the longer side; twice what the page shows the smaller ones at
_QUALITY = 78


class Thumbnails:
    """Data URIs of pictures, made when first asked for."""

    def __init__(self, pictures: Sequence[ImageSource | None] | None) -> None:
        self._pictures = pictures
        self._made: dict[int, str] = {}

    def __call__(self, picture: int) -> str | None:
        """A JPEG as data URI, or None where the picture is not at hand. Raises ImageError as `decode`."""
        source = None if self._pictures is None else self._pictures[picture]
        if source is None:
            return None
        if picture not in self._made:
            image = Image.fromarray(decode(source, at_least=_SIDE))
            image.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
            buffer = BytesIO()
            image.save(buffer, "JPEG", quality=_QUALITY, optimize=True)
            self._made[picture] = "data:image/jpeg;base64," + b64encode(buffer.getvalue()).decode()
        return self._made[picture]
