"""A folder with the files of a CLIP-like model, in the layout of immich's exports or of transformers.js."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

from handful.background import Background
from handful.encoders.digests import digests
from handful.encoders.graph import check_graph, check_inside
from handful.encoders.hub_files import chosen, weights
from handful.encoders.preprocessing import Preprocessing
from handful.encoders.tokens import TextTokens
from handful.errors import EncoderError, HeadError

BACKGROUND = "background.safetensors"
_STATED = "handful.json"
_FORMAT = 1  # of handful.json, the newest that is known
_MOST_JSON = 4 * 2**20  # bytes
_MOST_TOKENIZER = 128 * 2**20  # bytes; multilingual ones take 17 MB
_MOST_BACKGROUND = 2**30  # bytes
_LONGEST = 1024  # tokens of a text; models read 16 to 256
_LARGEST = 16384  # columns
_DEFAULT_SCALE = 100.0


@dataclass(frozen=True, kw_only=True)
class ModelFolder:
    """What of a folder is used at one precision.

    vision, text : the graphs.    immich : its layout; else that of transformers.js.
    """

    folder: Path
    precision: str
    vision: Path
    text: Path
    immich: bool

    @classmethod
    def open(cls, folder: Path, precision: str = "fp32") -> Self:
        """Raises EncoderError where no model is there, not in this precision, or a file leads out of it."""
        if not folder.is_dir():
            raise EncoderError(f"there is no folder {folder}; name one with the ONNX files of a model")
        paths = {
            f"{part}{file.name}"
            for part in ("", "visual/", "textual/", "onnx/")
            if (folder / part).is_dir()
            for file in (folder / part).iterdir()
            if file.is_file()
        }
        vision, text = (
            folder / path for path in chosen(paths, precision, str(folder)) if path.endswith(".onnx")
        )
        for path in paths:
            check_inside(folder / path, folder)
        return cls(
            folder=folder,
            precision=precision,
            vision=vision,
            text=text,
            immich=vision.parent.name == "visual",
        )

    @cached_property
    def config(self) -> dict[str, Any]:
        return self._json("config.json")

    @cached_property
    def stated(self) -> dict[str, Any]:
        """Of handful.json, which other people's folders lack."""
        told = self._json(_STATED) if (self.folder / _STATED).exists() else {}
        if told.get("format", _FORMAT) != _FORMAT:
            raise EncoderError(
                f"{self.folder / _STATED} is of format {told['format']!r}, and this Handful reads {_FORMAT}; "
                "install a newer one"
            )
        return told

    @cached_property
    def preprocessing(self) -> Preprocessing:
        if self.immich:
            return Preprocessing.of_open_clip(self._json("visual/preprocess_cfg.json"))
        return Preprocessing.of_transformers(self._json("preprocessor_config.json"))

    @cached_property
    def dimension(self) -> int | None:
        """Columns as the config says; None where it does not."""
        config = self.config
        names: list[object] = [config.get("embed_dim"), config.get("projection_dim")]
        if config.get("model_type") in ("siglip", "siglip2"):
            names.append(_object(config, "vision_config").get("hidden_size"))
        found = next((value for value in names if value is not None), None)
        if found is None:
            return None
        return _number(found, most=_LARGEST, name=f"the width of embeddings in {self.folder / 'config.json'}")

    @cached_property
    def context(self) -> int:
        """Tokens that a text is padded to."""
        of_tokenizer = self._tokenizer_config.get("model_max_length")
        of_model = [
            _object(self.config, "text_cfg").get("context_length"),
            _object(self.config, "text_config").get("max_position_embeddings"),
        ]
        told = [*of_model, of_tokenizer] if self.immich else [of_tokenizer, *of_model]
        fitting = [value for value in told if isinstance(value, int) and 0 < value <= _LONGEST]
        return fitting[0] if fitting else 77  # CLIP's, where nothing is said

    @property
    def logit_scale(self) -> float:
        """From cosine between picture and text to logits: as stated, else CLIP's 100."""
        scale = self.stated.get("logit_scale", _DEFAULT_SCALE)
        if not isinstance(scale, int | float) or not 0 < scale < 1e4:
            raise EncoderError(
                f"logit_scale in {self.folder / _STATED} is {scale!r}; it is a positive number"
            )
        return float(scale)

    @property
    def background(self) -> Background | None:
        """The one that lies in the folder. Raises EncoderError for a file that is none."""
        if not (self.folder / BACKGROUND).exists():
            return None
        try:
            return Background.from_bytes(self._bytes(BACKGROUND, _MOST_BACKGROUND))
        except HeadError as exc:
            raise EncoderError(f"{self.folder / BACKGROUND} cannot be used: {exc}") from exc

    def tokens(self, length: int) -> TextTokens:
        """The tokenizer, cutting and padding to so many tokens."""
        return TextTokens(
            self._bytes(self._beside_text("tokenizer.json"), _MOST_TOKENIZER),
            self._tokenizer_config,
            length=length,
            canonical=self._cleaning == "canonicalize",
        )

    def checked(self, graph: Path) -> Path:
        """The graph, which may be run. Raises EncoderError."""
        check_graph(graph, inside=self.folder)
        return graph

    def nbytes(self, graph: Path) -> int:
        """Of a graph and its weights, on the disk."""
        return sum(file.stat().st_size for file in self._weights[graph])

    def fingerprint(self, cache: Path) -> str:
        """Digest of everything that changes an embedding: weights, tokenizer, preprocessing.

        cache : folder that remembers digests of large files.
        """
        files = sorted({*self._weights[self.vision], *self._weights[self.text]})
        tokenizer = self.folder / self._beside_text("tokenizer.json")
        if not tokenizer.is_file():
            raise EncoderError(f"{tokenizer} is missing; fetch or export the model again")
        said = {
            "weights": [
                [file.relative_to(self.folder).as_posix(), digest]
                for file, digest in zip(files, digests(files, cache), strict=True)
            ],
            "tokenizer": digests([tokenizer], cache),
            "preprocessing": self.preprocessing.as_dict(),
            "context": self.context,
            "tokenizer_config": self._tokenizer_config.get("pad_token"),
            "canonical": self._cleaning,
        }
        return sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]

    @cached_property
    def _weights(self) -> dict[Path, set[Path]]:
        """Each graph, and the files that it says its weights are in; looked for once, as graphs are large."""
        return {graph: self._weights_of(graph) for graph in (self.vision, self.text)}

    def _weights_of(self, graph: Path) -> set[Path]:
        named = weights(graph, graph.relative_to(self.folder).as_posix())
        beside = {self.folder / name for name in named if ".." not in name and not name.startswith("/")}
        return {graph, *(file for file in beside if file.is_file())}

    @property
    def _cleaning(self) -> object:
        """How open_clip cleans texts before its tokenizer reads them, where it says so."""
        return _object(_object(self.config, "text_cfg"), "tokenizer_kwargs").get("clean")

    @cached_property
    def _tokenizer_config(self) -> dict[str, Any]:
        name = self._beside_text("tokenizer_config.json")
        return self._json(name) if (self.folder / name).exists() else {}

    def _beside_text(self, name: str) -> str:
        return f"textual/{name}" if self.immich else name

    def _json(self, name: str) -> dict[str, Any]:
        path = self.folder / name
        try:
            value = json.loads(self._bytes(name, _MOST_JSON))
        except (ValueError, RecursionError) as exc:
            raise EncoderError(f"{path} is no JSON: {exc}; fetch or export it again") from exc
        if not isinstance(value, dict):
            raise EncoderError(f"{path} holds {type(value).__name__} where an object is expected")
        return value

    def _bytes(self, name: str, most: int) -> bytes:
        path = self.folder / name
        try:
            if path.stat().st_size > most:
                raise EncoderError(f"{path} has {path.stat().st_size} bytes, over {most}; it is no such file")
            return path.read_bytes()
        except OSError as exc:
            raise EncoderError(f"{path} cannot be read ({exc}); fetch or export the model again") from exc


def _object(told: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = told.get(name)
    return value if isinstance(value, Mapping) else {}


def _number(value: object, *, most: int, name: str) -> int:
    if not isinstance(value, int) or not 0 < value <= most:
        raise EncoderError(f"{name} is {value!r}; it is a number up to {most}")
    return value
