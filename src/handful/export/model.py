"""A dual encoder in torch, as every source of one is seen by the export."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor, nn

Json = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchModel:
    """Both towers with what stands before them, and the reference pipeline to compare with."""

    name: str  # of the folder's encoder, such as ViT-B-32
    origin: str  # what was exported, as it was named
    licence: str | None  # as its own files say it
    image_tower: nn.Module  # (B, 3, S, S) float32 → (B, D), not normalised
    image_graph: nn.Module  # the same function, as it is exported: branches of convolutions may be merged
    text_tower: nn.Module  # of `text_inputs`, (B, L) int32 each → (B, D), not normalised
    text_inputs: tuple[str, ...]  # ("text",), or ("input_ids", "attention_mask")
    dimension: int
    side: int  # S, pixels
    context: int  # L, tokens
    preprocess: Json  # of preprocess_cfg.json
    config: Json  # of config.json
    tokenizer: bytes  # of tokenizer.json
    tokenizer_config: Json
    logit_scale: float  # by which cosines are multiplied
    logit_bias: float | None  # SigLIP's, added to them
    parameters: Mapping[str, Tensor]  # by their names in torch
    adaptable: Sequence[str]  # names of weights of linear layers that other tools may override
    prepare: Callable[[Image.Image], Tensor]  # the reference's preprocessing: an RGB picture → (3, S, S)
    tokenise: Callable[[Sequence[str]], Mapping[str, Tensor]]  # the reference's token ids, by input

    def rows_of_pictures(self, pictures: Sequence[Image.Image]) -> Tensor:
        """(N, D) unit rows of RGB pictures by the reference pipeline, one picture at a time."""
        with torch.no_grad():
            rows = [self.image_tower(self.prepare(picture)[None])[0] for picture in pictures]
        return nn.functional.normalize(torch.stack(rows).float(), dim=-1)

    def rows_of_texts(self, texts: Sequence[str]) -> Tensor:
        """(N, D) unit rows of texts by the reference pipeline, one text at a time."""
        rows = []
        with torch.no_grad():
            for text in texts:
                ids = self.tokenise([text])
                rows.append(self.text_tower(*(ids[name].to(torch.int32) for name in self.text_inputs))[0])
        return nn.functional.normalize(torch.stack(rows).float(), dim=-1)
