"""all-MiniLM-L6-v2: tokens → unit sentence rows (384), as an ONNX graph.

Architecture: BERT (Devlin et al., NAACL 2019), 6 layers of 12 heads, post-norm; mean pooling over the tokens
of the text (Reimers and Gurevych, Sentence-BERT, EMNLP 2019).
"""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from conversion.graph import Graph, Storage, to_int8

WIDTH = 384
_LAYERS, _HEADS = 6, 12
_EPSILON = 1e-12  # of the layer norms
_WORD_GROUPS = 4  # int8 scales of a word's row
_FAR = -10000.0  # added to the attention of padding


class _Network:
    def __init__(self, weights: dict[str, NDArray[Any]], storage: Storage) -> None:
        self.weights, self.storage = weights, storage
        self.graph = Graph("minilm")

    def linear(self, x: str, name: str) -> str:
        last = name.startswith(f"encoder.layer.{_LAYERS - 1}.")
        storage = "float16" if last and self.storage == "int8" else self.storage
        kernel = self.graph.weight(self.weights[f"{name}.weight"].T, storage)
        bias = self.graph.constant(self.weights[f"{name}.bias"].astype(np.float32))
        return self.graph.node("Add", self.graph.node("MatMul", x, kernel), bias)

    def norm(self, x: str, name: str) -> str:
        scale, shift = (
            self.graph.constant(self.weights[f"{name}.{part}"].astype(np.float32))
            for part in ("weight", "bias")
        )
        return self.graph.node("LayerNormalization", x, scale, shift, axis=-1, epsilon=_EPSILON)

    def words(self) -> str:
        """Rows of the word table; int8 rows are widened once gathered, so that the table stays small."""
        g, table = self.graph, self.weights["embeddings.word_embeddings.weight"]
        if self.storage != "int8":
            return g.node("Gather", g.weight(table, self.storage), "tokens")
        codes, scale = to_int8(table.reshape(len(table), _WORD_GROUPS, -1), axis=2)
        rows, scales = (
            g.node("Cast", g.node("Gather", g.constant(narrow), "tokens"), to=TensorProto.FLOAT)
            for narrow in (codes, scale)
        )
        return g.node("Reshape", g.node("Mul", rows, scales), g.constant([0, 0, WIDTH]))

    def positions(self) -> str:
        """(L, 384): the position rows of the first L tokens, and the row of the only segment we use."""
        g = self.graph
        table = (
            self.weights["embeddings.position_embeddings.weight"]
            + self.weights["embeddings.token_type_embeddings.weight"][0]
        )
        length = g.node("Shape", "tokens", start=1, end=2)
        return g.node("Slice", g.constant(table.astype(np.float32)), g.constant([0]), length, g.constant([0]))

    def heads(self, x: str, name: str, perm: list[int]) -> str:
        split = self.graph.constant([0, 0, _HEADS, WIDTH // _HEADS])
        return self.graph.node(
            "Transpose", self.graph.node("Reshape", self.linear(x, name), split), perm=perm
        )

    def layer(self, x: str, index: int, mask: str) -> str:
        g, name = self.graph, f"encoder.layer.{index}"
        query = self.heads(x, f"{name}.attention.self.query", [0, 2, 1, 3])
        key = self.heads(x, f"{name}.attention.self.key", [0, 2, 3, 1])
        value = self.heads(x, f"{name}.attention.self.value", [0, 2, 1, 3])
        scores = g.node("Mul", g.node("MatMul", query, key), g.constant((WIDTH / _HEADS) ** -0.5))
        share = g.node("Softmax", g.node("Add", scores, mask), axis=-1)
        mixed = g.node("Transpose", g.node("MatMul", share, value), perm=[0, 2, 1, 3])
        mixed = g.node("Reshape", mixed, g.constant([0, 0, WIDTH]))
        y = self.linear(mixed, f"{name}.attention.output.dense")
        x = self.norm(g.node("Add", x, y), f"{name}.attention.output.LayerNorm")
        y = g.node("Gelu", self.linear(x, f"{name}.intermediate.dense"))
        return self.norm(g.node("Add", x, self.linear(y, f"{name}.output.dense")), f"{name}.output.LayerNorm")


def text_graph(weights: dict[str, NDArray[Any]], *, storage: Storage, version: str) -> onnx.ModelProto:
    """tokens, mask (N, L) int64 → sentence (N, 384), unit rows; mask is 1 on the text and 0 on padding.

    storage : of the matrices; with int8 the last layer's are float16, whose errors nothing smooths.
    """
    net = _Network(weights, storage)
    g = net.graph
    x = net.norm(g.node("Add", net.words(), net.positions()), "embeddings.LayerNorm")
    present = g.node("Cast", "mask", to=TensorProto.FLOAT)
    absent = g.node("Mul", g.node("Sub", g.constant(1.0), present), g.constant(_FAR))
    absent = g.node("Unsqueeze", absent, g.constant([1, 2]))
    for index in range(_LAYERS):
        x = net.layer(x, index, absent)
    row = g.node("Unsqueeze", present, g.constant([1]))
    total = g.node("Squeeze", g.node("MatMul", row, x), g.constant([1]))
    g.node("LpNormalization", total, axis=1, p=2, out="sentence")  # the mean has the same direction
    return g.model(
        {"tokens": (TensorProto.INT64, ["N", "L"]), "mask": (TensorProto.INT64, ["N", "L"])},
        {"sentence": ["N", WIDTH]},
        version,
    )
