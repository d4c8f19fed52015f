"""Deterministic views of a shot: the plain picture, and copies of it flipped, cropped, turned and recoloured.

Nothing is drawn at random, so the same pixels and policy give the same views with the same Pillow and NumPy.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import ceil, cos, radians, sin, sqrt
from types import MappingProxyType

import numpy as np
from PIL import Image

from handful.errors import ImageError, SupportError
from handful.pixels import Pixels

_MID_GREY = 127.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Recolouring:
    """A change of colours: brightness × (hue-turned pixel, its contrast scaled around mid grey)."""

    brightness: float = 1.0  # factor
    contrast: float = 1.0  # factor
    hue: float = 0.0  # degrees around the grey axis of RGB; 120 turns red into green

    def matrix(self) -> tuple[float, ...]:
        """Rows of the 3 × 4 matrix from (R, G, B, 1) to the new R, G and B.

        The turn is Rodrigues' rotation about (1, 1, 1): greys stay, and so does the mean of R, G and B.
        """
        c, s = cos(radians(self.hue)), sin(radians(self.hue)) / sqrt(3)
        same, before, after = (1 + 2 * c) / 3, (1 - c) / 3 - s, (1 - c) / 3 + s
        scale = self.brightness * self.contrast
        shift = self.brightness * (1 - self.contrast) * _MID_GREY
        rows = (same, before, after), (after, same, before), (before, after, same)
        return tuple(entry for row in rows for entry in (*(scale * weight for weight in row), shift))


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Which views a shot gets besides itself."""

    flip: bool = False  # left to right
    centre: tuple[float, ...] = ()  # sides of crops from the middle, as parts of the picture's
    corners: tuple[float, ...] = ()  # the same from each of the four corners
    angles: tuple[float, ...] = ()  # degrees, counter-clockwise; what turns in is the picture, mirrored
    recolourings: tuple[Recolouring, ...] = ()

    @property
    def count(self) -> int:
        """Views per shot, the plain picture included."""
        crops = len(self.centre) + 4 * len(self.corners)
        return 1 + self.flip + crops + len(self.angles) + len(self.recolourings)


_STANDARD = Policy(
    flip=True,
    centre=(0.85,),
    corners=(0.8,),
    angles=(-8, 8),
    recolourings=(
        Recolouring(brightness=1.25, contrast=0.9),
        Recolouring(brightness=0.8, contrast=1.15),
        Recolouring(hue=15),
    ),
)
_STRONG = Policy(
    flip=True,
    centre=(0.85, 0.7),
    corners=(0.9, 0.7),
    angles=(-15, -7, 7, 15),
    recolourings=(
        Recolouring(brightness=1.4),
        Recolouring(brightness=0.65),
        Recolouring(contrast=1.35),
        Recolouring(contrast=0.65),
        Recolouring(hue=25),
        Recolouring(hue=-25),
    ),
)

POLICIES: Mapping[str, Policy] = MappingProxyType(
    {
        "none": Policy(),
        "flip": Policy(flip=True),
        "five": Policy(corners=(0.8,)),
        "standard": _STANDARD,
        "strong": _STRONG,
        "orientation-matters": replace(_STANDARD, flip=False, angles=()),
        "colour-matters": replace(_STANDARD, recolourings=()),
    }
)


TRAINED = frozenset({"tip-f", "clip-adapter"})  # methods that learn by gradients
AUTO = "auto"  # stands for the policy of a method
ASKED = ("none", "flip", "five")  # policies by which a picture may also be asked


def policy_of(views: str, method: str) -> str:
    """The policy that shots of a method are seen by; "auto" is "standard" for trained ones, else "none"."""
    if views != AUTO:
        return views
    return "standard" if method in TRAINED else "none"


def stored_policy(views: str) -> str:
    """The policy of the rows that a service keeps of shots; "auto" keeps the plain picture's.

    Trained methods that are to have views get theirs from kept pictures, when they are trained.
    """
    return "none" if views == AUTO else views


def policy_named(name: str) -> Policy:
    """The policy of a name. Raises SupportError, with the names there are, for any other."""
    if name not in POLICIES:
        raise SupportError(f"no policy of views is called {name!r}; choose one of: {', '.join(POLICIES)}")
    return POLICIES[name]


def views(pixels: Pixels, policy: str) -> list[Pixels]:
    """The views of a shot (H, W, 3) uint8 under a named policy; the first is the plain picture itself.

    Crops are smaller than the picture; all other views have its size.
    Raises SupportError for an unknown policy, ImageError for pixels of another kind.

    >>> len(views(np.zeros((4, 6, 3), dtype=np.uint8), "standard"))
    12
    """
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
        raise ImageError(f"views are made of pixels (H, W, 3) uint8; got {pixels.shape} {pixels.dtype}")
    return [pixels, *_changed(pixels, policy_named(policy))]


def _changed(pixels: Pixels, policy: Policy) -> Iterator[Pixels]:
    if policy.flip:
        yield np.ascontiguousarray(pixels[:, ::-1])
    for part in policy.centre:
        yield _crop(pixels, part, 0.5, 0.5)
    for part in policy.corners:
        for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
            yield _crop(pixels, part, down, right)
    for angle in policy.angles:
        yield _turn(pixels, angle)
    for recolouring in policy.recolourings:
        yield np.array(Image.fromarray(pixels).convert("RGB", recolouring.matrix()))


def _crop(pixels: Pixels, part: float, down: float, right: float) -> Pixels:
    """Keep `part` of each side; of the rest, down and right are cut from the top and the left, 0 to 1."""
    full_height, full_width = pixels.shape[:2]
    height, width = max(1, round(part * full_height)), max(1, round(part * full_width))
    top, left = round(down * (full_height - height)), round(right * (full_width - width))
    return pixels[top : top + height, left : left + width].copy()


def _turn(pixels: Pixels, angle: float) -> Pixels:
    height, width = pixels.shape[:2]
    s = abs(sin(radians(angle)))
    # A corner turns in from at most this far outside; 2 more for the interpolation.
    down, right = ceil(width / 2 * s) + 2, ceil(height / 2 * s) + 2
    padded = np.pad(pixels, ((down, down), (right, right), (0, 0)), mode="symmetric")
    turned = Image.fromarray(padded).rotate(angle, Image.Resampling.BICUBIC)
    return np.array(turned)[down : down + height, right : right + width].copy()
