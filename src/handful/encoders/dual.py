"""CLIP and its relatives: two ONNX towers into one space."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from handful.background import Background
from handful.encoders.ahead import encoded_ahead
from handful.encoders.backgrounds import Installed
from handful.encoders.base import Progress
from handful.encoders.folder import ModelFolder
from handful.encoders.once import Once
from handful.encoders.sentences import checked_texts
from handful.encoders.session import SessionOptions, open_session
from handful.errors import EncoderError
from handful.images import ImageSource, Limits
from handful.pixels import Pixels
from handful.rows import Rows, unit

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

    from handful.encoders.tokens import TextTokens

_AS_THEY_ARE = 2**30  # pixels: no JPEG is decoded smaller, since the reference pipelines do not either
_TEXTS = 32  # of a batch
_TYPES: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
}
# In this order; what is left is told by its shape.
_PICTURE_ROWS = ("image_embeds", "embedding", "image_features", "pooler_output", "sentence_embedding")
_TEXT_ROWS = ("text_embeds", "embedding", "text_features", "pooler_output", "sentence_embedding")


class DualEncoder:
    """Every CLIP-like model that has an image tower, a text tower, a tokenizer and preprocessing in a folder.

    Pictures are resized and cropped as the model's own files say, equal to torchvision's and transformers'
    pipelines on PIL pictures. Names, types and shapes are read from the graphs, which are looked at first:
    operators of other people's libraries and data outside of the folder are refused. Texts are cut to what
    the model reads. Towers are loaded when first used, and can be unloaded.

    name : as it was asked for.    cache : folder that remembers digests of files.
    """

    def __init__(
        self,
        folder: ModelFolder,
        *,
        name: str,
        cache: Path,
        options: SessionOptions | None = None,
        limits: Limits | None = None,
        installed: Installed | None = None,
    ) -> None:
        self.name = name
        self._folder = folder
        self._options = options or SessionOptions()
        self._limits = limits or Limits()
        self._installed = installed
        self._preprocessing = folder.preprocessing
        self.fingerprint = folder.fingerprint(cache)
        self.logit_scale = folder.logit_scale
        self._image_tower = Once(
            lambda: _ImageTower(self._open(folder.vision, "the image tower"), folder),
            nbytes=folder.nbytes(folder.vision),
        )
        self._text_tower = Once(
            lambda: _TextTower(self._open(folder.text, "the text tower"), folder),
            nbytes=folder.nbytes(folder.text),
        )

    @cached_property
    def dimension(self) -> int:
        """As the config says; where it does not, the image tower is asked, which loads it."""
        return self._folder.dimension or self._image_tower().dimension

    @cached_property
    def background(self) -> Background | None:
        """One that was installed for it, else the one in its folder, else None."""
        installed = None if self._installed is None else self._installed(self.fingerprint, self.dimension)
        background = installed or self._folder.background
        if background is not None and background.dimension != self.dimension:
            raise EncoderError(
                f"the background in {self._folder.folder} has {background.dimension} columns, and the model "
                f"{self.dimension}; profile it again"
            )
        return background

    @property
    def at_least(self) -> int:
        """What `images.decode` is told: pictures are decoded as they are."""
        return _AS_THEY_ARE

    def prepare(self, pixels: Pixels) -> Pixels:
        """(S, S, 3) uint8 of pixels (H, W, 3): resized and cropped."""
        return self._preprocessing.prepare(pixels)

    def encode_prepared(self, prepared: NDArray[np.uint8]) -> Rows:
        """(N, D) unit rows of (N, S, S, 3), as one batch."""
        return self._checked(self._image_tower()(prepared))

    def encode_images(self, images: Iterable[ImageSource], *, progress: Progress | None = None) -> Rows:
        """(N, D) unit rows. The next pictures are decoded while these are encoded."""
        return encoded_ahead(
            self,
            images,
            limits=self._limits,
            dimension=self.dimension,
            threads=self._options.threads,
            progress=progress,
        )

    def encode_texts(self, texts: Sequence[str]) -> Rows:
        """(M, D) unit rows. Raises EncoderError for an empty text."""
        checked = checked_texts(texts)
        rows = [np.empty((0, self.dimension), np.float32)]
        for start in range(0, len(checked), _TEXTS):
            rows.append(self._checked(self._text_tower()(checked[start : start + _TEXTS])))
        return np.concatenate(rows)

    @property
    def loaded_bytes(self) -> int:
        """About what the towers take in memory now: the bytes of their files."""
        return self._image_tower.nbytes + self._text_tower.nbytes

    @property
    def needed_bytes(self) -> int:
        """About what both take."""
        return self._folder.nbytes(self._folder.vision) + self._folder.nbytes(self._folder.text)

    def unload(self) -> None:
        """Let go of the towers. Calls that run still end with theirs."""
        self._image_tower.drop()
        self._text_tower.drop()

    def _open(self, graph: Path, name: str) -> "InferenceSession":
        return open_session(self._folder.checked(graph), self._options, name=f"{name} {graph}")

    def _checked(self, rows: NDArray[Any]) -> Rows:
        if rows.ndim != 2 or rows.shape[1] != self.dimension:
            raise EncoderError(
                f"encoder {self.name} gave {rows.shape} where (N, {self.dimension}) is expected; "
                "its towers or its config.json are of different models"
            )
        if not np.isfinite(rows).all():
            raise EncoderError(
                f"encoder {self.name} gave numbers that are not finite; use its fp32 files "
                "(HANDFUL_ENCODER_PRECISION=fp32)"
            )
        return np.asarray(unit(rows.astype(np.float32, copy=False)), np.float32)


class _ImageTower:
    def __init__(self, session: "InferenceSession", folder: ModelFolder) -> None:
        self._session = session
        inputs = session.get_inputs()
        side = folder.preprocessing.side
        if len(inputs) != 1 or not _fits(inputs[0].shape, (None, 3, *side)) or inputs[0].type not in _TYPES:
            raise EncoderError(
                f"{folder.vision} takes {_described(inputs)}; an image tower takes one batch of pictures, "
                f"here (N, 3, {side[0]}, {side[1]})"
            )
        self._preprocessing = folder.preprocessing
        self._input = inputs[0]
        self._output = _output(session, _PICTURE_ROWS, folder.vision)

    @property
    def dimension(self) -> int:
        width = self._output.shape[1]
        if isinstance(width, int):
            return width
        blank = np.zeros((1, *self._preprocessing.side, 3), np.uint8)
        return int(self(blank).shape[-1])

    def __call__(self, prepared: NDArray[np.uint8]) -> NDArray[Any]:
        values = self._preprocessing.values(prepared, _TYPES[self._input.type])
        return _run(self._session, self._output.name, {self._input.name: values})


class _TextTower:
    """Inputs are told apart by name: a mask, types of tokens, and the tokens themselves."""

    def __init__(self, session: "InferenceSession", folder: ModelFolder) -> None:
        self._session = session
        self._inputs = session.get_inputs()
        tokens = [one for one in self._inputs if "mask" not in one.name and "type" not in one.name]
        if (
            len(tokens) != 1
            or len(self._inputs) > 3
            or any(one.type not in _TYPES or len(one.shape) != 2 for one in self._inputs)
        ):
            raise EncoderError(
                f"{folder.text} takes {_described(self._inputs)}; a text tower takes tokens (N, length) and, "
                "if it does, attention_mask and token_type_ids"
            )
        fixed = tokens[0].shape[1]
        self._tokens: TextTokens = folder.tokens(fixed if isinstance(fixed, int) else folder.context)
        self._output = _output(session, _TEXT_ROWS, folder.text)

    def __call__(self, texts: Sequence[str]) -> NDArray[Any]:
        ids, mask = self._tokens(texts)
        given: dict[str, NDArray[Any]] = {}
        for one in self._inputs:
            values = mask if "mask" in one.name else np.zeros_like(ids) if "type" in one.name else ids
            given[one.name] = values.astype(_TYPES[one.type])
        return _run(self._session, self._output.name, given)


def _run(session: "InferenceSession", output: str, given: dict[str, NDArray[Any]]) -> NDArray[Any]:
    try:
        (rows,) = session.run([output], given)
    except Exception as exc:  # ONNX Runtime's errors have no common base of their own
        raise EncoderError(f"the model cannot be run: {exc}") from exc
    return np.asarray(rows)


def _output(session: "InferenceSession", names: Sequence[str], graph: Path) -> Any:  # Any: ONNX Runtime's
    """The rows among a graph's outputs: by name, else the first of two axes."""
    outputs = session.get_outputs()
    named = [one for name in names for one in outputs if one.name == name]
    for one in (*named, *outputs):
        if len(one.shape) == 2 and one.type in ("tensor(float)", "tensor(float16)"):
            return one
    raise EncoderError(f"{graph} gives {_described(outputs)}; a tower gives rows (N, D) of floats")


def _fits(shape: Sequence[Any], wanted: Sequence[int | None]) -> bool:
    """Names stand for lengths that are free."""
    return len(shape) == len(wanted) and all(
        not isinstance(have, int) or want is None or have == want
        for have, want in zip(shape, wanted, strict=True)
    )


def _described(values: Sequence[Any]) -> str:
    return ", ".join(f"{one.name[:40]} {one.type} {one.shape}" for one in values) or "nothing"
