"""Pictures and texts that an exported folder is compared on."""

from collections.abc import Sequence
from io import BytesIO

import numpy as np
from PIL import Image, ImageOps

from handful.containers import format_of
from handful.images import decode

_SIZES = ((640, 480), (1200, 150), (120, 900), (224, 224), (17, 23), (1, 1), (333, 250), (512, 512))
_TURNED = 6  # of EXIF orientations: a quarter turn

TEXTS = (
    "a photo of a cat",
    "a photo of a dog",
    "A PHOTO of a Dog!",
    "an aerial view of a harbour",
    "ein schönes Café am Fluß",
    "une radiographie du thorax",
    "猫の写真",
    "фото кошки",
    "x",
    "  two   spaces\tand a tab ",
    "it's 3 o'clock, isn't it? (yes & no)",
    "a very long description of a photo " * 40,
)


def pictures() -> list[bytes]:
    """JPEGs of clouds of colour, the same ones always: wide, high, tiny, one grey, one that EXIF turns."""
    random = np.random.default_rng(0)
    made = []
    for place, (width, height) in enumerate(_SIZES):
        coarse = random.integers(0, 256, (5, 7, 3), dtype=np.uint8)
        fine = random.integers(0, 40, (height, width, 3))
        cloud = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        values = np.clip(np.asarray(cloud).astype(int) + fine - 20, 0, 255).astype(np.uint8)
        picture = Image.fromarray(values)
        exif = Image.Exif()
        if place == len(_SIZES) - 2:
            picture = picture.convert("L")
        if place == 0:
            exif[0x0112] = _TURNED
        out = BytesIO()
        picture.save(out, "JPEG", quality=90, exif=exif)
        made.append(out.getvalue())
    return made


def opened(sources: Sequence[bytes]) -> list[Image.Image]:
    """RGB, the right way up: a JPEG as PIL alone decodes it, any other picture as Handful does."""
    return [_opened(source) for source in sources]


def _opened(source: bytes) -> Image.Image:
    if format_of(source[:32]) != "JPEG":
        return Image.fromarray(decode(source))
    return ImageOps.exif_transpose(Image.open(BytesIO(source))).convert("RGB")
