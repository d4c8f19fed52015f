"""A small hand for writing ONNX graphs whose weights are stored narrow and computed in float32."""

from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 20
IR_VERSION = 9  # what ONNX Runtime 1.20, the oldest we allow, reads

GROUP = 16  # int8 weights of a column that share a scale; with 32, odd words fall under 0.999 cosine

Storage = Literal["float32", "float16", "int8"]


class Graph:
    """Nodes in the order they are added; every method returns the name of its output."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []

    def _fresh(self, kind: str) -> str:
        return f"{kind}_{len(self._nodes) + len(self._weights)}"

    def node(self, kind: str, *inputs: str, out: str | None = None, **attributes: Any) -> str:
        out = out or self._fresh(kind)
        self._nodes.append(helper.make_node(kind, list(inputs), [out], **attributes))
        return out

    def constant(self, array: NDArray[Any] | list[int] | float) -> str:
        """Stored as it is; lists are int64 (shapes and axes), floats float32."""
        if isinstance(array, list):
            array = np.array(array, np.int64)
        elif isinstance(array, float):
            array = np.array(array, np.float32)
        name = self._fresh("c")
        self._weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def weight(self, array: NDArray[np.float32], storage: Storage) -> str:
        """A matrix or kernel that ONNX Runtime widens to float32 once, when it loads the graph."""
        if storage == "float32":
            return self.constant(array.astype(np.float32))
        if storage == "float16":
            return self.widened(array.astype(np.float16))
        rows, columns = array.shape
        codes, scale = to_int8(array.reshape(rows // GROUP, GROUP, columns), axis=1)
        scaled = self.node("Mul", self.widened(codes), self.widened(scale))
        return self.node("Reshape", scaled, self.constant([rows, columns]))

    def widened(self, narrow: NDArray[Any]) -> str:
        return self.node("Cast", self.constant(narrow), to=TensorProto.FLOAT)

    def model(
        self,
        inputs: dict[str, tuple[int, list[str | int]]],
        outputs: dict[str, list[str | int]],
        producer_version: str,
    ) -> onnx.ModelProto:
        graph = helper.make_graph(
            self._nodes,
            self.name,
            [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()],
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
                for name, shape in outputs.items()
            ],
            self._weights,
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="handful",
            producer_version=producer_version,
        )
        onnx.checker.check_model(model, full_check=True)
        return model


def to_int8(array: NDArray[np.float32], axis: int) -> tuple[NDArray[np.int8], NDArray[np.float16]]:
    """Codes and scales, array ≈ codes · scales; the scale spans the largest entry along `axis`."""
    scale = (np.abs(array).max(axis=axis, keepdims=True) / 127).astype(np.float16)
    scale = np.where(scale > 0, scale, np.float16(1))
    codes = np.clip(np.rint(array / scale.astype(np.float32)), -127, 127)
    return codes.astype(np.int8), scale
