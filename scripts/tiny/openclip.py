"""Folders that open_clip loads as local-dir:, with random weights."""

import json
from pathlib import Path

import open_clip
import safetensors.torch
from transformers import BertConfig, PreTrainedTokenizerFast

from tiny import networks, vocabularies, weights

assert networks  # importing it makes its networks known to timm

SIDE = 32
CONTEXT = 77
_VISION = {"image_size": SIDE, "layers": 1, "width": 16, "patch_size": 8, "head_width": 8}
_TEXT = {
    "context_length": CONTEXT,
    "vocab_size": 512 + vocabularies.MERGES + 2,
    "width": 16,
    "heads": 2,
    "layers": 1,
}


def clip(folder: Path, *, seed: int, vision: dict[str, object] | None = None) -> Path:
    """OpenAI's shape: a transformer of patches, byte pairs, attention to what came before."""
    folder.mkdir(parents=True, exist_ok=True)
    merges = vocabularies.byte_pairs(folder)
    text = {**_TEXT, "tokenizer_kwargs": {"bpe_path": str(merges)}}
    config = {"embed_dim": 12, "vision_cfg": vision or _VISION, "text_cfg": text}
    return _written(folder, config, {}, seed=seed)


def mobileclip(folder: Path, *, seed: int, network: str = "tiny_fastvit") -> Path:
    """MobileCLIP's shape: a network of timm that pools by mean, colours as they are, all-to-all text."""
    folder.mkdir(parents=True, exist_ok=True)
    merges = vocabularies.byte_pairs(folder)
    config = {
        "embed_dim": 12,
        "vision_cfg": {
            "timm_model_name": network,
            "timm_model_pretrained": False,
            "timm_pool": "avg",
            "timm_proj": None,
            "timm_drop": 0.0,
            "timm_drop_path": 0.0,
            "image_size": SIDE,
        },
        "text_cfg": {**_TEXT, "no_causal_mask": True, "tokenizer_kwargs": {"bpe_path": str(merges)}},
        "custom_text": True,
    }
    preprocess = {
        "mean": [0.0, 0.0, 0.0],
        "std": [1.0, 1.0, 1.0],
        "interpolation": "bilinear",
        "resize_mode": "shortest",
    }
    return _written(folder, config, preprocess, seed=seed)


def siglip(folder: Path, *, seed: int) -> Path:
    """SigLIP's shape within open_clip: attention pooling, pictures squashed, sentence pieces, a bias."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = vocabularies.pieces(vocabulary=300)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=16,
    ).save_pretrained(folder)
    config = {
        "embed_dim": 16,
        "init_logit_bias": -10,
        "custom_text": True,
        "vision_cfg": {
            "timm_model_name": "tiny_vit_map",
            "timm_model_pretrained": False,
            "timm_pool": "map",
            "timm_proj": "none",
            "image_size": SIDE,
        },
        "text_cfg": {
            "context_length": 16,
            "vocab_size": tokenizer.get_vocab_size(),
            "hf_tokenizer_name": "siglip",
            "tokenizer_kwargs": {"clean": "canonicalize"},
            "width": 16,
            "heads": 2,
            "layers": 2,
            "no_causal_mask": True,
            "proj_bias": True,
            "pool_type": "last",
            "norm_kwargs": {"eps": 1e-6},
        },
    }
    preprocess = {
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
        "interpolation": "bicubic",
        "resize_mode": "squash",
    }
    return _written(folder, config, preprocess, seed=seed)


def biomed(folder: Path, *, seed: int) -> Path:
    """BiomedCLIP's shape: BERT reads the words, timm's transformer sees the picture."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = vocabularies.word_pieces(vocabulary=300)
    text = folder / "bert"
    BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    ).save_pretrained(text)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=64,
    ).save_pretrained(folder)
    config = {
        "embed_dim": 12,
        "vision_cfg": {
            "timm_model_name": "tiny_vit",
            "timm_model_pretrained": False,
            "timm_pool": "",
            "timm_proj": "linear",
            "image_size": SIDE,
        },
        "text_cfg": {
            "hf_model_name": str(text),
            "hf_tokenizer_name": "bert",
            "hf_proj_type": "mlp",
            "hf_pooler_type": "cls_last_hidden_state_pooler",
            "context_length": 64,
        },
    }
    return _written(folder, config, {}, seed=seed)


def _written(folder: Path, config: dict[str, object], preprocess: dict[str, object], *, seed: int) -> Path:
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": config, "preprocess_cfg": preprocess})
    )
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False, pretrained_text=False)
    weights.fill(model, seed=seed)
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    safetensors.torch.save_file(state, folder / "open_clip_model.safetensors")
    return folder
