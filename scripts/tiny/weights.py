"""Random weights under which different inputs get different rows."""

import torch
from torch import nn


def fill(model: nn.Module, *, seed: int) -> None:
    """Replace all weights. As they are initialised for training, every picture gets nearly the same row."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if name.endswith(("logit_scale", "logit_bias")):
                continue
            if value.ndim >= 2:
                fan_in = value[0].numel() if "embed" not in name else value.shape[-1]
                value.copy_(torch.randn(value.shape, generator=generator) * 1.4 * fan_in**-0.5)
            elif name.endswith("weight"):  # of a normalisation
                value.copy_(1 + 0.1 * torch.randn(value.shape, generator=generator))
            else:
                value.copy_(0.1 * torch.randn(value.shape, generator=generator))
