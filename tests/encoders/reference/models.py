"""EfficientNet-Lite2 and MiniLM in plain PyTorch, from their papers, to check the graphs from outside."""

import math

import torch
from torch import Tensor
from torch.nn.functional import conv2d, gelu, layer_norm, linear, normalize, pad

Weights = dict[str, Tensor]

# (kernel, stride, repeats) of the stages: EfficientNet-B0 at depth 1.2, first and last stage as they were
STAGES = [(3, 1, 1), (3, 2, 3), (5, 2, 3), (3, 2, 4), (5, 1, 4), (5, 2, 5), (3, 1, 1)]


def same_conv(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """Padded as TensorFlow's SAME; depthwise where the weight has one input channel."""
    size, kernel = x.shape[-1], weight.shape[-1]
    total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
    low, high = total // 2, total - total // 2
    groups = x.shape[1] if weight.shape[1] == 1 else 1
    return conv2d(pad(x, (low, high, low, high)), weight, stride=stride, groups=groups)


def norm(x: Tensor, w: Weights, name: str) -> Tensor:
    return torch.nn.functional.batch_norm(
        x,
        w[f"{name}.running_mean"],
        w[f"{name}.running_var"],
        w[f"{name}.weight"],
        w[f"{name}.bias"],
        eps=1e-3,
    )


def lite2_features(w: Weights, pixels: Tensor) -> Tensor:
    """(N, 260, 260, 3) uint8 → (N, 1280)."""
    x = (pixels.permute(0, 3, 1, 2).float() - 127) / 128
    x = norm(same_conv(x, w["_conv_stem.weight"], 2), w, "_bn0").clamp(0, 6)
    index = 0
    for _, first_stride, repeats in STAGES:
        for repeat in range(repeats):
            name, y = f"_blocks.{index}", x
            if f"{name}._expand_conv.weight" in w:
                y = norm(same_conv(y, w[f"{name}._expand_conv.weight"], 1), w, f"{name}._bn0").clamp(0, 6)
            stride = first_stride if repeat == 0 else 1
            y = norm(same_conv(y, w[f"{name}._depthwise_conv.weight"], stride), w, f"{name}._bn1").clamp(0, 6)
            y = norm(same_conv(y, w[f"{name}._project_conv.weight"], 1), w, f"{name}._bn2")
            x = x + y if y.shape == x.shape else y
            index += 1
    x = norm(same_conv(x, w["_conv_head.weight"], 1), w, "_bn1").clamp(0, 6)
    return x.mean(dim=(2, 3))


def lite2_logits(w: Weights, features: Tensor) -> Tensor:
    return linear(features, w["_fc.weight"], w["_fc.bias"])


def minilm_sentence(w: Weights, tokens: list[int]) -> Tensor:
    """(384,) of one text: no padding, hence no mask."""
    ids = torch.tensor(tokens)
    x = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.token_type_embeddings.weight"][0]
    x = layered(x + w["embeddings.position_embeddings.weight"][: len(ids)], w, "embeddings.LayerNorm")
    for index in range(6):
        name = f"encoder.layer.{index}"
        q, k, v = (
            dense(x, w, f"{name}.attention.self.{part}").view(len(ids), 12, 32).transpose(0, 1)
            for part in ("query", "key", "value")
        )
        mixed = torch.softmax(q @ k.transpose(1, 2) / math.sqrt(32), dim=-1) @ v
        mixed = dense(mixed.transpose(0, 1).reshape(len(ids), 384), w, f"{name}.attention.output.dense")
        x = layered(x + mixed, w, f"{name}.attention.output.LayerNorm")
        inner = gelu(dense(x, w, f"{name}.intermediate.dense"))
        x = layered(x + dense(inner, w, f"{name}.output.dense"), w, f"{name}.output.LayerNorm")
    return normalize(x.mean(dim=0), dim=0)


def dense(x: Tensor, w: Weights, name: str) -> Tensor:
    return linear(x, w[f"{name}.weight"], w[f"{name}.bias"])


def layered(x: Tensor, w: Weights, name: str) -> Tensor:
    return layer_norm(x, (384,), w[f"{name}.weight"], w[f"{name}.bias"], eps=1e-12)
