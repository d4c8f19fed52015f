"""Graphs in 16-bit floats, and in 8-bit integers."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from onnx import ModelProto

Feed = Mapping[str, NDArray[np.float32]]
_LARGE = 2_000_000_000  # bytes of a graph with its weights, beyond what one protobuf message holds


def halved(graph: "ModelProto") -> "ModelProto":
    """Weights and arithmetic in float16; inputs, outputs and layers' normalisations stay as they are.

    Normalisations, whose sums float16 holds badly, are no part of a model's size; and releases of ONNX
    Runtime crash over some graphs that have them in float16.
    """
    import onnx
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

    copy = onnx.ModelProto()
    copy.CopyFrom(graph)
    if copy.ByteSize() < _LARGE:
        copy = onnx.shape_inference.infer_shapes(copy)
    converted: ModelProto = convert_float_to_float16(
        copy,
        keep_io_types=True,
        disable_shape_infer=True,
        op_block_list=[*DEFAULT_OP_BLOCK_LIST, "LayerNormalization"],
    )
    return converted


def quantised_as_it_comes(file: Path, output: Path) -> None:
    """Weights of matrices in int8, one scale per column; what flows between is measured with each input."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _quiet():
        quantize_dynamic(
            file,
            output,
            per_channel=True,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["MatMul", "Gemm", "Gather"],
            use_external_data_format=_is_large(file),
            extra_options={"DefaultTensorType": 1},
        )


def quantised_by_examples(file: Path, output: Path, examples: Sequence[Feed]) -> None:
    """Weights of matrices and convolutions in int8, activations in ranges that `examples` show."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._left = iter(examples)

        def get_next(self) -> Feed | None:
            return next(self._left, None)

    with _quiet():
        quantize_static(
            file,
            output,
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["Conv", "MatMul", "Gemm"],
            use_external_data_format=_is_large(file),
        )


def _is_large(file: Path) -> bool:
    return sum(part.stat().st_size for part in file.parent.glob(f"{file.name}*")) > _LARGE


@contextmanager
def _quiet() -> Iterator[None]:
    """Without advice to run a step of preparation that torch's graphs need not."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
