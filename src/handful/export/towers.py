"""What the weights of a tower are called."""

import re
from collections.abc import Mapping

from torch import Tensor

# Attention and the projections into the common space, as open_clip, timm and transformers name them.
_LINEAR = re.compile(
    r"(attn\.(in_proj_weight|out_proj\.weight|qkv\.weight|proj\.weight)"
    r"|self_attn\.[qkv]_proj\.weight|self_attn\.out_proj\.weight"
    r"|attention\.self\.(query|key|value)\.weight|attention\.output\.dense\.weight"
    r"|attention\.in_proj_weight|attention\.out_proj\.weight"
    r"|visual\.proj|visual\.head\.proj\.weight|text_projection(\.weight)?|visual_projection\.weight"
    r"|text\.proj\.weight)$"
)


def linear_weights(parameters: Mapping[str, Tensor]) -> list[str]:
    """Names of the matrices of attention (q, k, v, out) and of the projections, in the model's order."""
    return [name for name, value in parameters.items() if value.ndim == 2 and _LINEAR.search(name)]
