"""open_clip and transformers as their own documentation uses them: nothing of Handful's export is asked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor


@dataclass(frozen=True)
class Original:
    """A model with its own preprocessing and tokenizer."""

    pixels: Callable[[bytes], Tensor]  # (3, S, S) of a picture file
    picture_rows: Callable[[Tensor], Tensor]
    ids: Callable[[Sequence[str]], Tensor]
    text_rows: Callable[[Tensor], Tensor]
    mean: np.ndarray
    std: np.ndarray
    scale: float

    def pictures(self, sources: Sequence[bytes]) -> np.ndarray:
        """(N, D) unit rows."""
        with torch.no_grad():
            rows = torch.cat([self.picture_rows(self.pixels(source)[None]) for source in sources])
        return torch.nn.functional.normalize(rows, dim=-1).numpy()

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """(N, D) unit rows."""
        with torch.no_grad():
            rows = torch.cat([self.text_rows(self.ids([text])) for text in texts])
        return torch.nn.functional.normalize(rows, dim=-1).numpy()


def original(kind: str, folder: Path) -> Original:
    """The model in a folder of open_clip or transformers."""
    return _of_open_clip(folder) if kind.endswith("open_clip") else _of_transformers(kind, folder)


def _opened(source: bytes) -> Image.Image:
    return ImageOps.exif_transpose(Image.open(BytesIO(source))).convert("RGB")


def _of_open_clip(folder: Path) -> Original:
    import open_clip

    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}", pretrained_text=False)
    model.eval()
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    return Original(
        pixels=lambda source: preprocess(_opened(source)),
        picture_rows=model.encode_image,
        ids=tokenizer,
        text_rows=model.encode_text,
        mean=np.array(model.visual.preprocess_cfg["mean"]),
        std=np.array(model.visual.preprocess_cfg["std"]),
        scale=model.logit_scale.exp().item(),
    )


def _of_transformers(kind: str, folder: Path) -> Original:
    from transformers import (
        AutoTokenizer,
        CLIPImageProcessorPil,
        CLIPModel,
        SiglipImageProcessorPil,
        SiglipModel,
    )

    clip = kind.startswith("clip")
    model = (CLIPModel if clip else SiglipModel).from_pretrained(folder).eval()
    processor = (CLIPImageProcessorPil if clip else SiglipImageProcessorPil).from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)

    def ids(texts: Sequence[str]) -> Tensor:
        padded = tokenizer(list(texts), padding="max_length", truncation=True, return_tensors="pt")
        return padded["input_ids"]

    return Original(
        pixels=lambda source: processor(_opened(source), return_tensors="pt")["pixel_values"][0],
        picture_rows=lambda pixels: _rows(model.get_image_features(pixel_values=pixels)),
        ids=ids,
        text_rows=lambda ids: _rows(model.get_text_features(input_ids=ids)),
        mean=np.array(processor.image_mean),
        std=np.array(processor.image_std),
        scale=model.logit_scale.exp().item(),
    )


def _rows(answer: object) -> Tensor:
    return answer if isinstance(answer, Tensor) else answer.pooler_output
