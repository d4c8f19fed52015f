"""README.md of an exported folder."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version

from handful.export.graph import OPSET
from handful.export.model import TorchModel
from handful.export.parity import LOWEST, Parity


def written(
    model: TorchModel,
    licence: str | None,
    sizes: Mapping[str, int],
    parities: Sequence[Parity],
    quantised: Mapping[str, str],
) -> str:
    """What it is, where it is from, and how near it is to the original.

    sizes : bytes of the graphs by path.    quantised : how the int8 file of each tower was made.
    """
    parameters = sum(value.numel() for value in model.parameters.values())
    with_tools = ", ".join(f"{name} {version(name)}" for name in ("torch", "onnx", "onnxruntime"))
    lines = [
        "---",
        "library_name: handful",
        "pipeline_tag: zero-shot-image-classification",
        *([f"license: {licence}"] if licence else []),
        "---",
        "",
        f"# {model.name}",
        "",
        f"An image tower and a text tower for Handful, exported from `{model.origin}` by "
        f"`handful encoders export` ({with_tools}; ONNX operators of version {OPSET}).",
        "",
        f"- Licence of the weights: {licence or 'unknown; ask whoever published them'}",
        f"- {model.dimension} columns, pictures of {model.side} × {model.side} pixels, "
        f"{model.context} tokens, {parameters:,} parameters",
        f"- Scores are cosines × {model.logit_scale:.4g}"
        + ("" if model.logit_bias is None else f" + {model.logit_bias:.4g}"),
        "",
        "## Files",
        "",
        "| file | MB |",
        "| --- | ---: |",
        *(f"| `{path}` | {size / 1e6:.1f} |" for path, size in sizes.items()),
        "",
        "## Agreement with torch",
        "",
        "Cosines of the rows, from picture files and texts, this folder's against the original's.",
        "",
        "| precision | pictures | lowest | mean | texts | lowest | mean | needed |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        *(_row(parity) for parity in parities),
        *(("", *(f"int8 of `{tower}`: {how}." for tower, how in quantised.items())) if quantised else ()),
    ]
    return "\n".join(lines) + "\n"


def _row(parity: Parity) -> str:
    cells: list[str] = [parity.precision]
    for cosines in (parity.pictures, parity.texts):
        cells += [str(len(cosines)), f"{min(cosines):.6f}", f"{sum(cosines) / len(cosines):.6f}"]
    return f"| {' | '.join(cells)} | {LOWEST[parity.precision]} |"
