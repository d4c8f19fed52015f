"""EfficientNet-Lite: pixels → 1280 pooled features, as an ONNX graph with folded batch norms.

Architecture: Tan and Le, EfficientNet (ICML 2019), without squeeze-and-excitation and with ReLU6; Lite2 of
width 1.1, depth 1.2, 260 pixels; stem (32) and head (1280) keep their width, the first and last stage their
depth.
The weights come from TensorFlow, so convolutions pad as its SAME does: the odd pixel goes right and below.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from conversion.graph import Graph, Storage

FEATURES = 1280
_EPSILON = 1e-3  # of the batch norms
_MULTIPLE = 8

# repeats, kernel, stride, expansion, channels: the stages of EfficientNet-B0
_STAGES = [
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
]


@dataclass(frozen=True, slots=True)
class Size:
    """side : pixels.    width, depth : factors on channels and repeats of EfficientNet-B0."""

    name: str
    side: int
    width: float
    depth: float


LITE0, LITE2 = Size("lite0", 224, 1.0, 1.0), Size("lite2", 260, 1.1, 1.2)


@dataclass(frozen=True, slots=True)
class Block:
    """An inverted residual bottleneck."""

    kernel: int
    stride: int
    expanded: int  # channels in its middle
    expands: bool  # a 1x1 convolution widens first
    residual: bool


def _widened(channels: int, factor: float) -> int:
    """Scaled, and rounded to a multiple of 8, never down by more than a tenth."""
    exact = channels * factor
    rounded = max(_MULTIPLE, int(exact + _MULTIPLE / 2) // _MULTIPLE * _MULTIPLE)
    return rounded + _MULTIPLE if rounded < 0.9 * exact else rounded


def blocks(size: Size = LITE2) -> list[Block]:
    widths = [32, *(_widened(channels, size.width) for *_, channels in _STAGES)]
    found = []
    for stage, (before, width) in enumerate(pairwise(widths)):
        repeats, kernel, stride, expansion, _ = _STAGES[stage]
        if stage not in (0, len(_STAGES) - 1):
            repeats = int(np.ceil(repeats * size.depth))
        for repeat in range(repeats):
            entering = before if repeat == 0 else width
            step = stride if repeat == 0 else 1
            residual = step == 1 and entering == width
            found.append(Block(kernel, step, entering * expansion, expansion > 1, residual))
    return found


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Pixels before and after, so that the output has ⌈size/stride⌉ (TensorFlow's SAME)."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


class _Network:
    def __init__(self, weights: dict[str, NDArray[Any]], storage: Storage, size: Size) -> None:
        self.weights, self.storage = weights, storage
        self.graph = Graph(size.name)
        self.size = size.side

    def convolve(
        self, x: str, conv: str, norm: str, *, kernel: int = 1, stride: int = 1, groups: int = 1
    ) -> str:
        """A convolution with its batch norm folded in: w' = w·g/√(v+ε), b' = β − m·g/√(v+ε)."""
        scale, shift, mean, variance = (
            self.weights[f"{norm}.{part}"].astype(np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        gain = scale / np.sqrt(variance + _EPSILON)
        folded = self.weights[f"{conv}.weight"] * gain[:, None, None, None]
        before, after = same_padding(self.size, kernel, stride)
        self.size = -(-self.size // stride)
        return self.graph.node(
            "Conv",
            x,
            self.graph.weight(folded.astype(np.float32), self.storage),
            self.graph.constant((shift - mean * gain).astype(np.float32)),
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[before, before, after, after],
            group=groups,
        )

    def relu6(self, x: str) -> str:
        return self.graph.node("Clip", x, self.graph.constant(0.0), self.graph.constant(6.0))

    def block(self, x: str, index: int, block: Block) -> str:
        name, y = f"_blocks.{index}", x
        if block.expands:
            y = self.relu6(self.convolve(y, f"{name}._expand_conv", f"{name}._bn0"))
        y = self.convolve(
            y,
            f"{name}._depthwise_conv",
            f"{name}._bn1",
            kernel=block.kernel,
            stride=block.stride,
            groups=block.expanded,
        )
        y = self.convolve(self.relu6(y), f"{name}._project_conv", f"{name}._bn2")
        return self.graph.node("Add", y, x) if block.residual else y


def image_graph(
    weights: dict[str, NDArray[Any]],
    centre: NDArray[np.float32],
    projection: NDArray[np.float32],
    *,
    storage: Storage,
    version: str,
    size: Size = LITE2,
) -> onnx.ModelProto:
    """pixels (N, side, side, 3) uint8 → features (N, 1280) and embedding (N, D), unit rows.

    centre : (1280,), taken from the features.    projection : (1280, D).
    """
    net = _Network(weights, storage, size)
    g = net.graph
    x = g.node("Cast", g.node("Transpose", "pixels", perm=[0, 3, 1, 2]), to=TensorProto.FLOAT)
    x = g.node("Mul", g.node("Sub", x, g.constant(127.0)), g.constant(1 / 128))
    x = net.relu6(net.convolve(x, "_conv_stem", "_bn0", kernel=3, stride=2))
    for index, block in enumerate(blocks(size)):
        x = net.block(x, index, block)
    x = net.relu6(net.convolve(x, "_conv_head", "_bn1"))
    g.node("Flatten", g.node("GlobalAveragePool", x), out="features")
    z = g.node("MatMul", g.node("Sub", "features", g.constant(centre)), g.weight(projection, storage))
    g.node("LpNormalization", z, axis=1, p=2, out="embedding")
    return g.model(
        {"pixels": (TensorProto.UINT8, ["N", size.side, size.side, 3])},
        {"embedding": ["N", projection.shape[1]], "features": ["N", FEATURES]},
        version,
    )
