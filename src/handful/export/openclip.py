"""Models of open_clip: an architecture with a checkpoint, a hub id, or a folder."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, cast  # Any: open_clip has no types

from torch import Tensor, nn

from handful.errors import EncoderError
from handful.export import bpe
from handful.export.model import TorchModel
from handful.export.towers import linear_weights

if TYPE_CHECKING:
    pass

CONFIG = "open_clip_config.json"


class _ImageTower(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> Tensor:
        return cast(Tensor, self.model.encode_image(image))


class _MergedImageTower(nn.Module):
    """As networks such as FastViT run once trained: branches of convolutions are one convolution."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        from timm.utils.model import reparameterize_model

        self.visual = reparameterize_model(model.visual)

    def forward(self, image: Tensor) -> Tensor:
        return cast(Tensor, self.visual(image))


class _TextTower(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, text: Tensor) -> Tensor:
        return cast(Tensor, self.model.encode_text(text))


def load(model: str, *, pretrained: str | None = None) -> TorchModel:
    """An open_clip model.

    model : an architecture ("ViT-B-32"), "hf-hub:org/name", or a folder with open_clip_config.json.
    pretrained : tag or file of an architecture's checkpoint.
    Raises EncoderError where open_clip has no such model, or no weights for it.
    """
    import open_clip

    named = f"local-dir:{model}" if (Path(model) / CONFIG).is_file() else model
    if ":" not in named:
        _check_architecture(named, pretrained)
    try:
        config = _config_of(named)
        built = open_clip.create_model(
            named, pretrained=pretrained, require_pretrained=True, pretrained_text=False
        )
        tokenizer = open_clip.get_tokenizer(named)
    except Exception as exc:  # of open_clip, torch and the hub's client alike
        raise EncoderError(f"open_clip cannot load {model}: {exc}") from exc
    origin = f"{model}, {Path(pretrained).name}" if pretrained else model
    return _seen(built.eval(), config, tokenizer, name=_name(model, pretrained), origin=origin)


def _check_architecture(name: str, pretrained: str | None) -> None:
    import open_clip

    if open_clip.get_model_config(name) is None:
        raise EncoderError(
            f"open_clip has no architecture {name!r}; its list_models() lists those it has, "
            "hf-hub:org/name names a model of the hub, and a path a folder"
        )
    if pretrained is None:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(name)) or "it knows none: give a file"
        raise EncoderError(f"{name} is an architecture; say with --pretrained whose weights: {tags}")


def _config_of(named: str) -> dict[str, Any]:
    import open_clip

    schema, _, place = named.rpartition(":")
    if schema == "local-dir":
        return cast("dict[str, Any]", json.loads((Path(place) / CONFIG).read_text())["model_cfg"])
    if schema == "hf-hub":
        return cast("dict[str, Any]", open_clip.factory._get_hf_config(place)["model_cfg"])
    return cast("dict[str, Any]", open_clip.get_model_config(named))


def _name(model: str, pretrained: str | None) -> str:
    base = model.removeprefix("hf-hub:").rstrip("/").rsplit("/", 1)[-1]
    tag = Path(pretrained).stem if pretrained else ""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", f"{base}__{tag}" if tag else base)


def _seen(model: Any, config: dict[str, Any], tokenizer: Any, *, name: str, origin: str) -> TorchModel:
    import open_clip

    preprocess = dict(open_clip.get_model_preprocess_cfg(model))
    size = preprocess["size"]
    height, width = (size, size) if isinstance(size, int) else size
    if height != width:
        raise EncoderError(f"{origin} looks at {width} × {height} pixels; only square pictures are exported")
    pipeline = open_clip.transform.image_transform_v2(
        open_clip.transform.PreprocessCfg(**preprocess), is_train=False
    )
    tokenizer_json, tokenizer_config = _tokenizer_files(tokenizer)
    parameters = {key: value.detach() for key, value in model.named_parameters()}
    bias = getattr(model, "logit_bias", None)
    return TorchModel(
        name=name,
        origin=origin,
        licence=None,
        image_tower=_ImageTower(model),
        image_graph=_MergedImageTower(model),
        text_tower=_TextTower(model),
        text_inputs=("text",),
        dimension=int(config["embed_dim"]),
        side=int(height),
        context=int(tokenizer.context_length),
        preprocess=preprocess,
        config=_portable(config, int(tokenizer.context_length)),
        tokenizer=tokenizer_json,
        tokenizer_config=tokenizer_config,
        logit_scale=math.exp(model.logit_scale.item()),
        logit_bias=None if bias is None else bias.item(),
        parameters=parameters,
        adaptable=linear_weights(parameters),
        prepare=lambda picture: cast(Tensor, pipeline(picture)),
        tokenise=_tokenise(tokenizer),
    )


def _tokenise(tokenizer: Any) -> Any:
    def tokenise(texts: Sequence[str]) -> Mapping[str, Tensor]:
        return {"text": cast(Tensor, tokenizer(list(texts)))}

    return tokenise


def _portable(config: dict[str, Any], context: int) -> dict[str, Any]:
    """The config without paths of this machine, its context length spelt out."""
    text = dict(config["text_cfg"]) | {"context_length": context}
    text["tokenizer_kwargs"] = {
        key: value for key, value in text.get("tokenizer_kwargs", {}).items() if key != "bpe_path"
    }
    if not text["tokenizer_kwargs"]:
        del text["tokenizer_kwargs"]
    for key in ("hf_model_name", "hf_tokenizer_name"):
        if Path(str(text.get(key, ""))).is_absolute():
            del text[key]
    return {**config, "text_cfg": text}


def _tokenizer_files(tokenizer: Any) -> tuple[bytes, dict[str, Any]]:
    """tokenizer.json and tokenizer_config.json."""
    clean = tokenizer.clean_fn.__name__.removeprefix("_clean_")
    if hasattr(tokenizer, "bpe_ranks"):
        by_id = {place: token for token, place in tokenizer.encoder.items()}
        start, end = (by_id[place] for place in tokenizer.all_special_ids[:2])
        return bpe.converted(tokenizer, clean=clean), {
            "tokenizer_class": "CLIPTokenizer",
            "bos_token": start,
            "eos_token": end,
            "unk_token": end,
            "pad_token": by_id[0],  # open_clip fills up with zeros
            "model_max_length": int(tokenizer.context_length),
        }
    fast = getattr(tokenizer, "tokenizer", None)
    if fast is None or not getattr(fast, "is_fast", False):
        raise EncoderError(
            f"the tokenizer {type(fast or tokenizer).__name__} has no tokenizers file; "
            "only models whose tokenizer has one can be exported"
        )
    with TemporaryDirectory() as folder:
        fast.save_pretrained(folder)
        config = json.loads((Path(folder) / "tokenizer_config.json").read_text())
        written = (Path(folder) / "tokenizer.json").read_bytes()
    config["model_max_length"] = int(tokenizer.context_length)
    for key in ("name_or_path", "tokenizer_file", "vocab_file"):
        config.pop(key, None)
    return bpe.cleaning_first(written, clean=clean), config
