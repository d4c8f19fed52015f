"""One picture: decoded once, for all that is wanted of it. Runs in threads."""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO

from PIL import Image

from handful import containers
from handful.augment import views
from handful.encoders.base import Encoder, PreparingEncoder
from handful.images import Limits, decode, measure
from handful.pixels import Pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """How pictures are kept.    side : the longer one, in pixels.    quality : of JPEG."""

    side: int
    quality: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """width, height : of the original, after its EXIF rotation.    sha256 : of the bytes as they came.
    kept : the JPEG to keep, if one is.    prepared : what the encoder looks at, of each view.
    """

    width: int
    height: int
    sha256: str
    kept: bytes | None
    prepared: list[Pixels]


def decode_picture(
    data: bytes, encoder: Encoder, *, policy: str, keeping: Keeping | None, limits: Limits, name: str
) -> Decoded:
    """Raises ImageError, which calls the picture by `name`."""
    at_least, prepare = _preparation(encoder)
    if keeping is not None and at_least is not None:
        at_least = max(at_least, keeping.side // 2)
    pixels = decode(data, limits=limits, name=name, at_least=at_least)
    width, height = measure(data, limits=limits)
    return Decoded(
        width=width,
        height=height,
        sha256=sha256(data).hexdigest(),
        kept=None if keeping is None else kept_jpeg(data, pixels, keeping),
        prepared=[prepare(view) for view in views(pixels, policy)],
    )


def kept_jpeg(data: bytes, pixels: Pixels, keeping: Keeping) -> bytes:
    """An upright JPEG without metadata, no larger than asked; a small one is kept as it came otherwise."""
    picture = containers.read(data)
    upright = picture.format == "JPEG" and picture.orientation == 1
    if upright and max(picture.width, picture.height) <= keeping.side:
        return picture.data
    image = Image.fromarray(pixels)
    image.thumbnail((keeping.side, keeping.side), Image.Resampling.BICUBIC)
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=keeping.quality)
    return buffer.getvalue()


def _preparation(encoder: Encoder) -> tuple[int | None, Callable[[Pixels], Pixels]]:
    if isinstance(encoder, PreparingEncoder):
        return encoder.at_least, encoder.prepare
    return None, lambda pixels: pixels
