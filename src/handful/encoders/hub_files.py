"""Which files of a model's repository one precision needs."""

import mmap
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath

from handful.errors import EncoderError

SUFFIXES = {"fp32": ("",), "fp16": ("_fp16",), "int8": ("_int8", "_quantized")}  # of a graph's name
_TOWERS = (("visual/model", "textual/model"), ("onnx/vision_model", "onnx/text_model"))
_BESIDE = (
    (
        "config.json",
        "visual/preprocess_cfg.json",
        "textual/tokenizer.json",
        "textual/tokenizer_config.json",
        "textual/special_tokens_map.json",
    ),
    (
        "config.json",
        "preprocessor_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
    ),
)
_OURS = ("handful.json", "background.safetensors", "LICENSE", "LICENSE.txt", "LICENSE.md")
_LOCATION = b"\x0a\x08location\x12"  # key of a StringStringEntryProto, and the tag of its value
_DATA = ("_data", ".data")  # what a graph's name goes on with where its weights lie beside it


def chosen(paths: Collection[str], precision: str, name: str) -> list[str]:
    """Those of a repository's paths that the precision needs: small ones first, towers and their data last.

    Knows the layouts of immich and of transformers.js. Raises EncoderError where neither is there, or not
    in this precision.

    >>> chosen({"onnx/vision_model.onnx", "onnx/text_model.onnx", "config.json", "x"}, "fp32", "org/name")
    ['config.json', 'onnx/vision_model.onnx', 'onnx/text_model.onnx']
    """
    for towers, beside in zip(_TOWERS, _BESIDE, strict=True):
        there = [one for one in SUFFIXES if _graphs(paths, towers, one) is not None]
        if not there:
            continue
        graphs = _graphs(paths, towers, precision)
        if graphs is None:
            raise EncoderError(
                f"{name} has no files in {precision}; it has {', '.join(there)}: "
                f"set HANDFUL_ENCODER_PRECISION to {' or '.join(there)}"
            )
        data = sorted(
            path for path in paths if any(path.startswith(g + end) for g in graphs for end in _DATA)
        )
        return [path for path in (*beside, *_OURS) if path in paths] + [*graphs, *data]
    raise EncoderError(
        f"{name} holds no ONNX files of a picture and a text tower: there must be visual/model.onnx and "
        "textual/model.onnx, or onnx/vision_model.onnx and onnx/text_model.onnx; "
        "`handful encoders export` makes them of a checkpoint"
    )


def weights(graph: Path, name: str) -> set[str]:
    """Paths, in the repository, of files that an ONNX graph says its weights are in.

    name : of the graph in the repository. Looks for the entries of external data and nothing else: what is
    found is to be compared with what the repository has.
    """
    if graph.stat().st_size == 0:
        return set()
    with graph.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        places = set(_locations(data))
    return {str(PurePosixPath(name).parent / place) for place in places}


def _locations(data: mmap.mmap) -> Iterator[str]:
    """Values of `location` among the string pairs of a protobuf."""
    at = data.find(_LOCATION)
    while at >= 0:
        at += len(_LOCATION)
        length = data[at] if at < len(data) else 0  # longer ones take two bytes, and no file has such a name
        value = data[at + 1 : at + 1 + length]
        if 0 < length < 128 and len(value) == length and value.isascii():
            yield value.decode("ascii")
        at = data.find(_LOCATION, at)


def _graphs(paths: Collection[str], towers: tuple[str, str], precision: str) -> tuple[str, ...] | None:
    for suffix in SUFFIXES[precision]:
        graphs = tuple(f"{tower}{suffix}.onnx" for tower in towers)
        if all(graph in paths for graph in graphs):
            return graphs
    return None
