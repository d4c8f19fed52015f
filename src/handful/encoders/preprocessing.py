"""Decoded pictures → what a CLIP-like tower looks at, by the numbers in the model's own files."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from handful.errors import EncoderError
from handful.pixels import Pixels

Mode = Literal["shortest", "squash", "longest"]

_MODES: dict[str, Mode] = {"shortest": "shortest", "squash": "squash", "longest": "longest"}
_LARGEST_SIDE = 2048
_LONGEST = 16  # times as long as wide: of longer pictures the ends are cut off before the resize
_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "lanczos": Image.Resampling.LANCZOS,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "box": Image.Resampling.BOX,
    "hamming": Image.Resampling.HAMMING,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """Resize, crop, and scale of values.

    side : height and width, in pixels, of what the tower looks at.    resized : of the shorter side before
    the crop ("shortest"); "squash" changes the proportions, "longest" fits the whole picture in and fills up.
    half_up : whether an odd pixel of the crop goes by torchvision's rounding; else by transformers'.
    scale, mean, std : values are (v·scale − mean) / std.
    """

    side: tuple[int, int]
    resized: int
    mode: Mode
    resampling: Image.Resampling
    half_up: bool
    fill: int
    scale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @classmethod
    def of_open_clip(cls, told: Mapping[str, Any]) -> Self:
        """Of `preprocess_cfg.json`, as open_clip writes it and immich keeps it."""
        side = _sides(told.get("size"))
        mode = _MODES.get(str(told.get("resize_mode") or "shortest"))
        if mode is None:
            raise EncoderError(f"resize_mode is {told['resize_mode']!r}; known are {', '.join(_MODES)}")
        if mode == "shortest" and side[0] != side[1]:
            raise EncoderError(f"size is {side} with resize_mode shortest; only squares are read so")
        fill = told.get("fill_color", 0)
        return cls(
            side=side,
            resized=min(side),
            mode=mode,
            resampling=_named_filter(told.get("interpolation", "bicubic")),
            half_up=told.get("crop_rounding") != "down",  # as exports from transformers state it
            fill=fill if isinstance(fill, int) and 0 <= fill <= 255 else 0,
            scale=1 / 255,
            mean=_three(told.get("mean"), "mean"),
            std=_positive(_three(told.get("std"), "std")),
        )

    @classmethod
    def of_transformers(cls, told: Mapping[str, Any]) -> Self:
        """Of `preprocessor_config.json`, as transformers' image processors write it."""
        size = told.get("size")
        shortest = size.get("shortest_edge") if isinstance(size, Mapping) else None
        crop = _sides(told.get("crop_size", size)) if told.get("do_center_crop") else None
        if isinstance(size, int) and crop is not None:
            shortest = size  # as files of older releases have it
        if shortest is not None:
            if not isinstance(shortest, int) or not 0 < shortest <= _LARGEST_SIDE or crop is None:
                raise EncoderError(
                    f"size is {size!r} without a centre crop of known size; that gives no square"
                )
            side = crop
        else:
            side = _sides(size)
            if crop is not None and crop != side:
                raise EncoderError(
                    f"size {side} is cropped to {crop}; known are crops after shortest_edge only"
                )
        scaled = bool(told.get("do_rescale", True))
        normalised = bool(told.get("do_normalize", True))
        factor = told.get("rescale_factor", 1 / 255)
        if not isinstance(factor, int | float) or not 0 < factor <= 1:
            raise EncoderError(f"rescale_factor is {factor!r}; it is a number up to 1")
        return cls(
            side=side,
            resized=shortest or min(side),
            mode="squash" if shortest is None else "shortest",
            resampling=_numbered_filter(told.get("resample", 3)),
            half_up=False,
            fill=0,
            scale=float(factor) if scaled else 1.0,
            mean=_three(told.get("image_mean"), "image_mean") if normalised else (0.0, 0.0, 0.0),
            std=_positive(_three(told.get("image_std"), "image_std")) if normalised else (1.0, 1.0, 1.0),
        )

    def prepare(self, pixels: Pixels) -> Pixels:
        """(H', W', 3) uint8 of pixels (H, W, 3): all that is done before values are scaled."""
        picture = Image.fromarray(pixels)
        height, width = self.side
        if self.mode == "shortest":
            picture = _without_ends(picture)
        if self.mode == "squash":
            return np.asarray(picture.resize((width, height), self.resampling))
        if self.mode == "longest":
            ratio = max(picture.height / height, picture.width / width)
            fitted = max(round(picture.width / ratio), 1), max(round(picture.height / ratio), 1)
        else:
            shorter = min(picture.size)
            # The longer side is truncated, not rounded, by torchvision and transformers alike.
            fitted = self._long(picture.width, shorter), self._long(picture.height, shorter)
        return self._centred(np.asarray(picture.resize(fitted, self.resampling)))

    def values(self, prepared: NDArray[np.uint8], dtype: type[np.generic]) -> NDArray[Any]:
        """(N, 3, H', W') of what `prepare` gave, (N, H', W', 3)."""
        factors = np.array([self.scale / std for std in self.std], np.float32)
        offsets = np.array([-mean / std for mean, std in zip(self.mean, self.std, strict=True)], np.float32)
        made = np.ascontiguousarray(prepared.transpose(0, 3, 1, 2)).astype(np.float32)
        made *= factors[:, None, None]
        made += offsets[:, None, None]
        return made.astype(dtype, copy=False)

    def as_dict(self) -> dict[str, Any]:
        """What a fingerprint covers."""
        return {name: str(getattr(self, name)) for name in self.__slots__}

    def _centred(self, pixels: Pixels) -> Pixels:
        """The middle of the picture, filled up where it is smaller."""
        height, width = self.side
        down, right = max(height - pixels.shape[0], 0), max(width - pixels.shape[1], 0)
        if down or right:
            around = ((down // 2, down - down // 2), (right // 2, right - right // 2), (0, 0))
            pixels = np.pad(pixels, around, constant_values=self.fill)
        top, left = (self._start(pixels.shape[0] - height), self._start(pixels.shape[1] - width))
        return np.ascontiguousarray(pixels[top : top + height, left : left + width])

    def _long(self, side: int, shorter: int) -> int:
        return self.resized if side == shorter else int(self.resized * side / shorter)

    def _start(self, spare: int) -> int:
        return round(spare / 2) if self.half_up else spare // 2


def _without_ends(picture: Image.Image) -> Image.Image:
    """The middle of a picture that is hardly more than a line: at full length it would not fit in memory."""
    most = _LONGEST * min(picture.size)
    left, top = (max(side - most, 0) // 2 for side in picture.size)
    return picture.crop((left, top, picture.width - left, picture.height - top)) if left or top else picture


def _sides(size: object) -> tuple[int, int]:
    """Height and width."""
    found: object = size
    if isinstance(size, Mapping):
        found = (size.get("height"), size.get("width"))
    elif isinstance(size, int):
        found = (size, size)
    if (
        not isinstance(found, list | tuple)
        or len(found) != 2
        or not all(isinstance(side, int) and 0 < side <= _LARGEST_SIDE for side in found)
    ):
        raise EncoderError(
            f"the size of pictures is {size!r}; it is a height and a width up to {_LARGEST_SIDE}"
        )
    return found[0], found[1]


def _three(values: object, name: str) -> tuple[float, float, float]:
    if (
        not isinstance(values, list | tuple)
        or len(values) != 3
        or not all(isinstance(value, int | float) and abs(value) < 1e4 for value in values)
    ):
        raise EncoderError(f"{name} is {values!r}; it is three numbers, for red, green and blue")
    return float(values[0]), float(values[1]), float(values[2])


def _positive(values: tuple[float, float, float]) -> tuple[float, float, float]:
    if min(values) <= 1e-6:
        raise EncoderError(f"std is {values}; values are divided by it, and so it is above 0")
    return values


def _named_filter(name: object) -> Image.Resampling:
    if name not in _FILTERS:
        raise EncoderError(f"interpolation is {name!r}; known are {', '.join(_FILTERS)}")
    return _FILTERS[str(name)]


def _numbered_filter(number: object) -> Image.Resampling:
    if not isinstance(number, int) or number not in set(Image.Resampling):
        raise EncoderError(f"resample is {number!r}; it is a number of Pillow's, 0 to 5")
    return Image.Resampling(number)
