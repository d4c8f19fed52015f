"""Graphs in 16-bit floats, and in 8-bit integers."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import ModelProto

_MATRICES = ["MatMul", "Gemm", "Attention", "Gather"]


def halved(graph: "ModelProto") -> "ModelProto":
    """Weights and arithmetic in float16; inputs, outputs and layers' normalisations stay as they are.

    Normalisations, whose sums float16 holds badly, are no part of a model's size; and releases of ONNX
    Runtime crash over some graphs that have them in float16.
    """
    import onnx
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

    copy: ModelProto = onnx.ModelProto.FromString(graph.SerializeToString())
    converted: ModelProto = convert_float_to_float16(
        onnx.shape_inference.infer_shapes(copy),
        keep_io_types=True,
        op_block_list=[*DEFAULT_OP_BLOCK_LIST, "LayerNormalization"],
    )
    return converted


def quantised_matrices(file: Path, output: Path) -> None:
    """Weights of matrices in int8, one scale per column; what flows between is quantised as it comes."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(
        file,
        output,
        per_channel=True,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=_MATRICES,
        extra_options={"DefaultTensorType": 1},
    )
