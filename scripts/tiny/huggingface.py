"""Folders that transformers loads, with random weights."""

from pathlib import Path

import torch
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPTokenizer,
    PreTrainedTokenizerFast,
    SiglipConfig,
    SiglipImageProcessorPil,
    SiglipModel,
)

from tiny import vocabularies, weights

SIDE = 32
_TOWER = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


def clip(folder: Path, *, seed: int) -> Path:
    """CLIP with its preprocessing and tokenizer."""
    import open_clip

    folder.mkdir(parents=True, exist_ok=True)
    pairs = open_clip.tokenizer.SimpleTokenizer(str(vocabularies.byte_pairs(folder)))
    (folder / "merges.txt.gz").unlink()
    start, end = "<|startoftext|>", "<|endoftext|>"
    vocabulary = {
        {"<start_of_text>": start, "<end_of_text>": end}.get(token, token): place
        for token, place in pairs.encoder.items()
    }
    merges = sorted(pairs.bpe_ranks, key=pairs.bpe_ranks.__getitem__)
    CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=77).save_pretrained(folder)
    special = {
        "bos_token_id": vocabulary[start],
        "eos_token_id": vocabulary[end],
        "pad_token_id": vocabulary[end],
    }
    config = CLIPConfig(
        text_config={**_TOWER, "vocab_size": len(vocabulary), "projection_dim": 12, **special},
        vision_config={**_TOWER, "image_size": SIDE, "patch_size": 8, "projection_dim": 12},
        projection_dim=12,
    )
    CLIPImageProcessorPil(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}
    ).save_pretrained(folder)
    return _saved(CLIPModel(config), folder, seed)


def siglip(folder: Path, *, seed: int) -> Path:
    """SigLIP with its preprocessing and tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = vocabularies.pieces(vocabulary=300)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="</s>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=16,
        model_input_names=["input_ids"],
    ).save_pretrained(folder)
    text = {**_TOWER, "vocab_size": tokenizer.get_vocab_size(), "max_position_embeddings": 16}
    text |= {"bos_token_id": 1, "eos_token_id": 1, "pad_token_id": 1}
    config = SiglipConfig(
        text_config={**text, "projection_size": 16},
        vision_config={**_TOWER, "image_size": SIDE, "patch_size": 8},
    )
    SiglipImageProcessorPil(size={"height": SIDE, "width": SIDE}).save_pretrained(folder)
    return _saved(SiglipModel(config), folder, seed)


def _saved(model: torch.nn.Module, folder: Path, seed: int) -> Path:
    weights.fill(model, seed=seed)
    model.eval().save_pretrained(folder)  # type: ignore[operator] # of transformers' models
    return folder
