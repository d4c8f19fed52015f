"""The builtin encoder: works offline, from files inside the package."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load

from handful.background import Background
from handful.encoders.ahead import encoded_ahead
from handful.encoders.backgrounds import Installed
from handful.encoders.base import Progress
from handful.encoders.crop import centre_crop
from handful.encoders.once import Once
from handful.encoders.sentences import SentenceTower, checked_texts
from handful.encoders.session import SessionOptions, open_session
from handful.encoders.shipped import Shipped
from handful.encoders.synthesis import Synthesiser
from handful.images import ImageSource, Limits
from handful.pixels import Pixels
from handful.rows import Rows, unit

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

_SPARE = 2  # a JPEG may be decoded smaller, as long as it stays this many times larger than looked at
_TEXTS = 1024  # tokenised together
# What towers take once they have run, as measured: weights as float32, and the room for their batches.
_IMAGE_BYTES, _LANE_BYTES, _TEXT_BYTES, _CLASSES_BYTES = (
    megabytes * 2**20 for megabytes in (120, 45, 175, 4)
)


class BuiltinEncoder:
    """EfficientNet-Lite2's pooled features, and words brought among them by synthesised classifiers.

    Pictures: 260 × 260 pixels → 1280 features, centred, projected on the 512 leading right singular
    vectors of ImageNet's centred classifier matrix, unit length. Words: see `Synthesiser`; a text is read
    up to 256 tokens, what comes after is left out. Towers are loaded when first used.

    It knows ImageNet's 1,000 things and their neighbours: a modest vision-language model.
    """

    name = "builtin"

    def __init__(
        self,
        *,
        options: SessionOptions | None = None,
        limits: Limits | None = None,
        shipped: Shipped | None = None,
        installed: Installed | None = None,
    ) -> None:
        self._options = options or SessionOptions()
        self._limits = limits or Limits()
        self._shipped = shipped or Shipped.open()
        self._installed = installed
        self._image = self._shipped.manifest["image"]
        self._text = self._shipped.manifest["text"]
        self._image_tower = Once(self._open_image_tower, nbytes=_IMAGE_BYTES)
        self._tower_of_a_lane = Once(self._open_tower_of_a_lane, nbytes=_LANE_BYTES)
        self._sentence_tower = Once(self._open_sentence_tower, nbytes=_TEXT_BYTES)
        self._synthesiser = Once(self._open_synthesiser, nbytes=_CLASSES_BYTES)

    @property
    def dimension(self) -> int:
        return int(self._shipped.manifest["dimension"])

    @property
    def fingerprint(self) -> str:
        return self._shipped.fingerprint

    @cached_property
    def background(self) -> Background:
        """Of 1,000 ImageNet pictures, one per class, not shipped; its classifiers are the anchors. Where
        another was installed, that one.
        """
        installed = None if self._installed is None else self._installed(self.fingerprint, self.dimension)
        if installed is not None:
            return installed
        seen = Background.from_bytes(self._shipped.read("background.safetensors"))
        return replace(seen, anchors=self._synthesiser().classifiers)

    @property
    def at_least(self) -> int:
        """What `images.decode` is told: the shorter side, in pixels, that is looked at."""
        return int(_SPARE * self._image["short_side"])

    def prepare(self, pixels: Pixels) -> Pixels:
        """(260, 260, 3) of pixels (H, W, 3)."""
        return centre_crop(pixels, short_side=self._image["short_side"], side=self._image["side"])

    def encode_prepared(self, prepared: NDArray[np.uint8]) -> Rows:
        """(N, 512) unit rows of (N, 260, 260, 3), as one batch."""
        rows: Rows = self._image_tower().run(["embedding"], {"pixels": prepared})[0]
        return rows

    @property
    def lanes(self) -> int:
        """One for each thread; one in all where another device than the processor encodes."""
        return self._threads if self._options.providers == SessionOptions().providers else 1

    def encode_beside(self, prepared: NDArray[np.uint8]) -> Rows:
        """As `encode_prepared`, on one thread: several of these at once take less time than one by one."""
        rows: Rows = self._tower_of_a_lane().run(["embedding"], {"pixels": prepared})[0]
        return rows

    def encode_images(self, images: Iterable[ImageSource], *, progress: Progress | None = None) -> Rows:
        """(N, 512) unit rows. The next pictures are decoded while these are encoded."""
        return encoded_ahead(
            self,
            images,
            limits=self._limits,
            dimension=self.dimension,
            threads=self._options.threads,
            progress=progress,
        )

    def encode_texts(self, texts: Sequence[str]) -> Rows:
        """(M, 512) unit rows. Raises EncoderError for an empty text."""
        checked = checked_texts(texts)
        rows = [np.empty((0, self.dimension), dtype=np.float32)]
        for start in range(0, len(checked), _TEXTS):
            rows.append(self._synthesiser()(self._sentence_tower()(checked[start : start + _TEXTS])))
        return np.concatenate(rows)

    @property
    def loaded_bytes(self) -> int:
        """About the memory that its towers take now."""
        return sum(tower.nbytes for tower in self._towers)

    @property
    def needed_bytes(self) -> int:
        """About the memory that they take together."""
        return _IMAGE_BYTES + _LANE_BYTES + _TEXT_BYTES + _CLASSES_BYTES

    def unload(self) -> None:
        """Let go of the towers; the next call loads them again."""
        for tower in self._towers:
            tower.drop()

    @property
    def _towers(self) -> "tuple[Once[Any], ...]":  # Any: each is of its own kind
        return self._image_tower, self._tower_of_a_lane, self._sentence_tower, self._synthesiser

    @property
    def _threads(self) -> int:
        return self._options.threads or os.cpu_count() or 1

    def _open_image_tower(self) -> "InferenceSession":
        return open_session(self._shipped.read("image.onnx"), self._options, name="the image tower")

    def _open_tower_of_a_lane(self) -> "InferenceSession":
        alone = replace(self._options, threads=1)
        return open_session(self._shipped.read("image.onnx"), alone, name="the image tower")

    def _open_sentence_tower(self) -> SentenceTower:
        return SentenceTower(
            self._shipped.read("text.onnx"),
            self._shipped.read("tokenizer.json"),
            max_tokens=self._text["max_tokens"],
            options=self._options,
        )

    def _open_synthesiser(self) -> Synthesiser:
        arrays = load(self._shipped.read("classes.safetensors"))
        return Synthesiser(
            sentences=unit(arrays["sentences"].astype(np.float32)),
            classifiers=arrays["classifiers"].astype(np.float32),
            sharpness=self._text["sharpness"],
        )
