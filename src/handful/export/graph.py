"""torch modules become ONNX graphs."""

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 18  # of ONNX's operators; every onnxruntime that Handful allows runs it
_ONE_FILE = 2_000_000_000  # bytes; a protobuf message ends at 2 GiB, weights beyond lie in a file beside


def traced(
    module: nn.Module, inputs: Sequence[Tensor], *, names: Sequence[str], outputs: Sequence[str]
) -> "ModelProto":
    """The graph of `module`, whose first axis of every input and output takes any number of rows.

    inputs : examples, of two rows or more each.    names, outputs : of the graph's inputs and outputs.
    """
    batch = torch.export.Dim("batch", min=1, max=4096)
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # a fused operator that ONNX has not
    quiet = logging.getLogger("torch.onnx")
    level = quiet.level
    quiet.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # of torch about its own future
            program = torch.onnx.export(
                module.eval(),
                tuple(given.clone() for given in inputs),  # one tensor given twice would be one input
                input_names=list(names),
                opset_version=OPSET,
                dynamic_shapes=tuple({0: batch} for _ in inputs),
                dynamo=True,
                verbose=False,
            )
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        quiet.setLevel(level)
    assert program is not None  # it is None only for a file
    graph: ModelProto = program.model_proto
    _forget_origins(graph)
    _name_outputs(graph, outputs)
    return graph


def save(graph: "ModelProto", file: Path) -> None:
    """Write a graph; weights that one file cannot hold go into `<file>_data` beside it."""
    import onnx

    beside = graph.ByteSize() > _ONE_FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    onnx.save_model(
        graph,
        str(file),
        save_as_external_data=beside,
        all_tensors_to_one_file=True,
        location=f"{file.name}_data",
        size_threshold=1024,
    )


def _name_outputs(graph: "ModelProto", outputs: Sequence[str]) -> None:
    """torch names outputs as it is told, also where a value inside has that name already."""
    names = {wanted: f"{wanted}_inside" for wanted in outputs}
    names |= {out.name: wanted for out, wanted in zip(graph.graph.output, outputs, strict=True)}
    for node in graph.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for value in (*graph.graph.output, *graph.graph.value_info, *graph.graph.initializer):
        value.name = names.get(value.name, value.name)


def _forget_origins(graph: "ModelProto") -> None:
    """Stack traces name folders of the machine that exported, and are a large part of a small graph."""
    del graph.metadata_props[:]
    del graph.graph.metadata_props[:]
    for message in (*graph.graph.node, *graph.graph.input, *graph.graph.output, *graph.graph.initializer):
        del message.metadata_props[:]
        message.doc_string = ""
    for value in graph.graph.value_info:
        del value.metadata_props[:]
