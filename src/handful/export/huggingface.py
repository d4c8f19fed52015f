"""CLIP and SigLIP of transformers: a folder, or an id of the hub."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast  # Any: JSON, and transformers' classes, which are made at run time

from torch import Tensor, nn

from handful.errors import EncoderError
from handful.export.model import TorchModel
from handful.export.towers import linear_weights

_KINDS = ("clip", "siglip", "siglip2")  # siglip2: its models of fixed size, which are of the kind siglip
_INTERPOLATION = {2: "bilinear", 3: "bicubic"}  # PIL's numbers


class _ImageTower(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> Tensor:
        pooled = self.model.vision_model(pixel_values=image).pooler_output
        project = getattr(self.model, "visual_projection", None)
        return cast(Tensor, pooled if project is None else project(pooled))


class _TextTower(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, text: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        pooled = self.model.text_model(input_ids=text, attention_mask=attention_mask).pooler_output
        project = getattr(self.model, "text_projection", None)
        return cast(Tensor, pooled if project is None else project(pooled))


def load(model: str) -> TorchModel:
    """CLIP or SigLIP as transformers loads it.

    model : a folder with config.json and weights, or "org/name" on the hub.
    Raises EncoderError where it cannot be loaded, or is of another kind.
    """
    import transformers

    try:
        config = transformers.AutoConfig.from_pretrained(model)
    except Exception as exc:  # of transformers and the hub's client alike
        raise EncoderError(f"transformers cannot load {model}: {exc}") from exc
    if config.model_type not in _KINDS:
        raise EncoderError(
            f"{model} is a model of the kind {config.model_type!r}; those of {', '.join(_KINDS)} are exported"
        )
    try:
        built = transformers.AutoModel.from_pretrained(
            model, attn_implementation="eager", dtype="float32", use_safetensors=True
        )
        tokenizer = transformers.AutoTokenizer.from_pretrained(model)
        processor = transformers.AutoImageProcessor.from_pretrained(model, backend="pil")
    except Exception as exc:
        raise EncoderError(f"transformers cannot load {model}: {exc}") from exc
    return _seen(built.eval(), config, tokenizer, processor, model)


def _seen(model: Any, config: Any, tokenizer: Any, processor: Any, origin: str) -> TorchModel:
    side = int(config.vision_config.image_size)
    context = int(config.text_config.max_position_embeddings)
    if not hasattr(tokenizer, "backend_tokenizer"):
        raise EncoderError(
            f"the tokenizer of {origin}, {type(tokenizer).__name__}, has no tokenizers file; "
            "put its tokenizer.json into the folder"
        )
    parameters = {key: value.detach() for key, value in model.named_parameters()}
    dimension = int(getattr(config, "projection_dim", 0) or config.vision_config.hidden_size)
    if config.model_type != "clip":
        dimension = int(config.vision_config.hidden_size)
    bias = getattr(model, "logit_bias", None)
    return TorchModel(
        name=re.sub(r"[^A-Za-z0-9._-]+", "-", origin.rstrip("/").rsplit("/", 1)[-1]),
        origin=origin,
        licence=None,
        image_tower=_ImageTower(model),
        image_graph=_ImageTower(model),
        text_tower=_TextTower(model),
        text_inputs=("text",),
        dimension=dimension,
        side=side,
        context=context,
        preprocess=_preprocess(processor, side, origin),
        config={
            "embed_dim": dimension,
            "vision_cfg": {"image_size": side},
            "text_cfg": {
                "context_length": context,
                "vocab_size": int(config.text_config.vocab_size),
            },
        },
        tokenizer=_compact(tokenizer.backend_tokenizer.to_str()),
        tokenizer_config={
            "tokenizer_class": type(tokenizer).__name__,
            **{
                key: str(value)
                for key in ("bos_token", "eos_token", "unk_token", "pad_token")
                if (value := getattr(tokenizer, key, None)) is not None
            },
            "model_max_length": context,
        },
        logit_scale=float(model.logit_scale.exp().item()),
        logit_bias=None if bias is None else bias.item(),
        parameters=parameters,
        adaptable=linear_weights(parameters),
        prepare=lambda picture: cast(Tensor, processor(picture, return_tensors="pt")["pixel_values"][0]),
        tokenise=_tokenise(tokenizer, context),
    )


def _tokenise(tokenizer: Any, context: int) -> Any:
    def tokenise(texts: Sequence[str]) -> Mapping[str, Tensor]:
        ids = tokenizer(
            list(texts), padding="max_length", truncation=True, max_length=context, return_tensors="pt"
        )["input_ids"]
        return {"text": cast(Tensor, ids)}

    return tokenise


def _compact(tokenizer_json: str) -> bytes:
    """Without the padding and truncation that were set last, which belong to the reader."""
    whole = json.loads(tokenizer_json) | {"padding": None, "truncation": None}
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode()


def _preprocess(processor: Any, side: int, origin: str) -> dict[str, Any]:
    """The numbers of a processor as open_clip writes them."""
    size = dict(processor.size)
    resample = _INTERPOLATION.get(int(processor.resample))
    if resample is None:
        raise EncoderError(
            f"{origin} resizes by method {processor.resample}; bilinear and bicubic are exported"
        )
    if "shortest_edge" in size:
        crop = dict(processor.crop_size)
        if not (size["shortest_edge"] == crop["height"] == crop["width"] == side):
            raise EncoderError(
                f"{origin} resizes to {size} and crops to {crop}; only a crop as large as the resized "
                f"short side, {side}, is exported"
            )
        mode = "shortest"
    elif size == {"height": side, "width": side}:
        mode = "squash"
    else:
        raise EncoderError(f"{origin} resizes to {size}; its image tower looks at {side} × {side}")
    return {
        "size": [side, side],
        "mode": "RGB",
        "mean": list(processor.image_mean),
        "std": list(processor.image_std),
        "interpolation": resample,
        "resize_mode": mode,
        "fill_color": 0,
        "crop_rounding": "down",  # an odd margin is cut in half so; open_clip and torchvision round it
    }


def is_folder(model: str) -> bool:
    """Whether a path holds a model of transformers."""
    file = Path(model) / "config.json"
    return file.is_file() and "model_type" in json.loads(file.read_text())
