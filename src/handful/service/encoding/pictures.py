"""One picture: decoded once, for all that is wanted of it. Runs in threads."""

from dataclasses import dataclass
from io import BytesIO

from PIL import Image

from handful import containers
from handful.images import Limits, decode, measure
from handful.pixels import Pixels
from handful.service.encoding.preparation import Preparation
from handful.service.encoding.room import Room


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """How pictures are kept.    side : the longer one, in pixels.    quality : of JPEG."""

    side: int
    quality: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is wanted of a picture besides its size.

    preparation : of the encoder, or None where the rows are known.    policy : of views.
    keeping : None keeps nothing.
    """

    preparation: Preparation | None
    policy: str
    keeping: Keeping | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """width, height : of the original, the right way up.    kept : the JPEG to keep, if one is.
    prepared : what the encoder looks at, of each view.
    """

    width: int
    height: int
    kept: bytes | None
    prepared: list[Pixels]


def decode_picture(data: bytes, wanted: Wanted, *, limits: Limits, room: Room, name: str) -> Decoded:
    """Raises ImageError, which calls the picture by `name`."""
    width, height = measure(data, limits=limits, name=name)
    keeping, preparation = wanted.keeping, wanted.preparation
    kept = None if keeping is None else _as_it_came(data, keeping)
    prepared: list[Pixels] = []
    if preparation is not None or (keeping is not None and kept is None):
        with room.taken(width * height):
            pixels = decode(data, limits=limits, name=name, at_least=_at_least(preparation, keeping))
            if preparation is not None:
                prepared = preparation.of_views(pixels, wanted.policy)
            if keeping is not None and kept is None:
                kept = _shrunk(pixels, keeping)
    return Decoded(width=width, height=height, kept=kept, prepared=prepared)


def _at_least(preparation: Preparation | None, keeping: Keeping | None) -> int | None:
    """What `decode` is told, so that the smaller picture serves all that is wanted of it."""
    needs = [] if keeping is None else [keeping.side // 2]  # of which it leaves twice as much
    if preparation is not None:
        if preparation.at_least is None:
            return None
        needs.append(preparation.at_least)
    return max(needs)


def _as_it_came(data: bytes, keeping: Keeping) -> bytes | None:
    """A JPEG that is upright and small enough, without its metadata; None for any other picture."""
    picture = containers.read(data)
    upright = picture.format == "JPEG" and picture.orientation == 1
    return picture.data if upright and max(picture.width, picture.height) <= keeping.side else None


def _shrunk(pixels: Pixels, keeping: Keeping) -> bytes:
    image = Image.fromarray(pixels)
    # Averaged by a whole factor first: a third of the time, and at this size no difference to be seen.
    image.thumbnail((keeping.side, keeping.side), Image.Resampling.BICUBIC, reducing_gap=1.0)
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=keeping.quality)
    return buffer.getvalue()
