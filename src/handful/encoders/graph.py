"""What an ONNX file is made of, looked at before ONNX Runtime is given it."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from handful.errors import EncoderError

MOST_BYTES = 2**31 - 1  # of a graph without its external data: protobuf's own bound
_MOST_NODES = 200_000
_DEEPEST = 8  # graphs within graphs
_KNOWN_DOMAINS = frozenset({"", "ai.onnx", "com.microsoft", "ai.onnx.ml", "com.ms.internal.nhwc"})
# Fields of onnx.proto that are looked at: message → (name, number, message or scalar, repeated).
_FIELDS: dict[str, list[tuple[str, int, str, bool]]] = {
    "Pair": [("key", 1, "string", False), ("value", 2, "string", False)],
    "Tensor": [("external_data", 13, "Pair", True)],
    "Attribute": [
        ("t", 5, "Tensor", False),
        ("g", 6, "Graph", False),
        ("tensors", 10, "Tensor", True),
        ("graphs", 11, "Graph", True),
    ],
    "Node": [
        ("op_type", 4, "string", False),
        ("attribute", 5, "Attribute", True),
        ("domain", 7, "string", False),
    ],
    "Graph": [("node", 1, "Node", True), ("initializer", 5, "Tensor", True)],
    "Function": [("node", 7, "Node", True), ("domain", 10, "string", False)],
    "Model": [("graph", 7, "Graph", False), ("functions", 25, "Function", True)],
}


def check_graph(path: Path, *, inside: Path) -> list[Path]:
    """Files of external data that the graph names, each inside the folder `inside`.

    Raises EncoderError for what is no ONNX, too large, uses operators that ONNX Runtime does not come with,
    or names data outside of the folder.
    """
    size = path.stat().st_size
    if not 0 < size <= MOST_BYTES:
        raise EncoderError(f"{path} has {size} bytes; a graph has up to {MOST_BYTES}, its data beside it")
    try:
        model = _message()()
        model.ParseFromString(path.read_bytes())
    except Exception as exc:  # protobuf's DecodeError, by implementation; also RecursionError
        raise EncoderError(f"{path} is no ONNX graph: {exc}; fetch or export it again") from exc
    if not model.graph.node:
        raise EncoderError(f"{path} is no ONNX graph: it has no operators; fetch or export it again")
    tensors = []
    for count, (node, held) in enumerate(_walk(model, path)):
        tensors.extend(held)
        if node is not None and node.domain not in _KNOWN_DOMAINS:
            raise EncoderError(
                f"{path} uses operator {node.op_type[:80]!r} of domain {node.domain[:80]!r}, which ONNX "
                "Runtime does not come with; export the model with standard operators"
            )
        if count > _MOST_NODES:
            raise EncoderError(f"{path} has more than {_MOST_NODES} operators; no encoder does")
    named = {pair.value for tensor in tensors for pair in tensor.external_data if pair.key == "location"}
    return sorted(_data_file(path, name, inside) for name in named)


def _walk(model: Any, path: Path) -> Iterator[tuple[Any, list[Any]]]:
    """Each operator with the tensors that it holds; each graph's own tensors with None."""
    graphs = [(model.graph, 0)]
    lists = [(function.node, 0) for function in model.functions]
    while graphs or lists:
        if graphs:
            graph, depth = graphs.pop()
            if depth > _DEEPEST:
                raise EncoderError(f"{path} has graphs {depth} deep in graphs; no encoder does")
            yield None, list(graph.initializer)
            lists.append((graph.node, depth))
            continue
        nodes, depth = lists.pop()
        for node in nodes:
            held = []
            for attribute in node.attribute:
                held += [*attribute.tensors, *([attribute.t] if attribute.HasField("t") else [])]
                inner = [*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])]
                graphs += [(graph, depth + 1) for graph in inner]
            yield node, held


def _data_file(graph: Path, name: str, inside: Path) -> Path:
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or "\\" in name or "\0" in name or not pure.parts:
        raise EncoderError(f"{graph} names weights at {name[:200]!r}; they must lie in its own folder")
    path = graph.parent / pure
    if not path.is_file():
        raise EncoderError(f"{graph} names weights in {path}, which is not there; fetch or export it again")
    check_inside(path, inside)
    return path


def check_inside(path: Path, folder: Path) -> None:
    """Raises EncoderError where links lead out of the folder.

    In a hub's cache a snapshot's files are links to blobs beside the snapshots, which is as it should be.
    """
    roots = [folder.resolve()]
    if folder.parent.name == "snapshots":
        roots.append((folder.parent.parent / "blobs").resolve())
    if not any(path.resolve().is_relative_to(root) for root in roots):
        raise EncoderError(
            f"{path} leads out of {folder}, to {path.resolve()}; copy the file into the folder"
        )


@cache
def _message() -> Any:  # Any: a class that protobuf makes
    """onnx.ModelProto with the fields above alone; protobuf skips the others."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(
        name="handful/onnx.proto", package="handful.onnx", syntax="proto2"
    )
    kinds = descriptor_pb2.FieldDescriptorProto
    for name, members in _FIELDS.items():
        message = file.message_type.add(name=name)
        for field, number, kind, repeated in members:
            scalar = kind == "string"
            message.field.add(
                name=field,
                number=number,
                label=kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL,
                type=kinds.TYPE_STRING if scalar else kinds.TYPE_MESSAGE,
                type_name=None if scalar else f".handful.onnx.{kind}",
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("handful.onnx.Model"))
