"""Which initializer of a graph holds which weights of torch."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from onnx import ModelProto
    from torch import Tensor

Part = dict[str, object]
_THIRDS = 3  # query, key and value, one below the other in torch's fused matrix


def held(
    graphs: Mapping[str, "ModelProto"], parameters: Mapping[str, "Tensor"], names: Sequence[str]
) -> dict[str, list[Part]]:
    """Where each of the named weights lies, found by its values; one that is nowhere as it is, is left out.

    graphs : by the path of their file. Of each weight a list of parts:
    {"file", "initializer", "transposed", "rows": [from, to]}, where `rows` are those of torch's matrix that
    the initializer holds, and `transposed` says that it holds them as columns. Parts cover the whole matrix.
    """
    found: dict[tuple[tuple[int, ...], bytes], list[tuple[str, str]]] = {}
    for file, graph in graphs.items():
        for name, values in _matrices(graph):
            found.setdefault(_key(values), []).append((file, name))
    places = {}
    for name in names:
        weight = parameters[name].detach().float().numpy()
        parts = _parts(weight, found)
        if parts:
            places[name] = parts
    return places


def _parts(
    weight: NDArray[np.float32], found: Mapping[tuple[tuple[int, ...], bytes], list[tuple[str, str]]]
) -> list[Part]:
    rows = len(weight)
    cuts = [[(0, rows)]]
    if rows % _THIRDS == 0:
        third = rows // _THIRDS
        cuts.append([(start, start + third) for start in range(0, rows, third)])
    for cut in cuts:
        parts: list[Part] = []
        for start, end in cut:
            here = [
                (file, name, transposed)
                for transposed in (False, True)
                for file, name in found.get(_key(_turned(weight[start:end], transposed)), ())
            ]
            if len(here) != 1:  # nowhere, or it cannot be told which of several is meant
                break
            file, name, transposed = here[0]
            parts.append({"file": file, "initializer": name, "transposed": transposed, "rows": [start, end]})
        else:
            return parts
    return []


def _turned(weight: NDArray[np.float32], transposed: bool) -> NDArray[np.float32]:
    return weight.T if transposed else weight


def _key(values: NDArray[np.float32]) -> tuple[tuple[int, ...], bytes]:
    from hashlib import sha256

    return values.shape, sha256(np.ascontiguousarray(values).tobytes()).digest()


def _matrices(graph: "ModelProto") -> Iterator[tuple[str, NDArray[np.float32]]]:
    from onnx import TensorProto, numpy_helper

    for tensor in graph.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and len(tensor.dims) == 2:
            yield tensor.name, numpy_helper.to_array(tensor)
