"""PyTorch and what the export needs beside it, checked once by name."""

from importlib import import_module

from handful.errors import MissingExtraError

_NEEDED = ("torch", "torchvision", "open_clip", "transformers", "timm", "onnx", "onnxscript")
_HELD: list[object] = []  # torch forgets a declaration that nobody holds


def require() -> None:
    """Import all that the extra `export` brings. Raises MissingExtraError where a part is missing."""
    for name in _NEEDED:
        try:
            if name == "torchvision":
                _import_torchvision()
            else:
                import_module(name)
        except ModuleNotFoundError as exc:
            if exc.name != name:
                raise
            raise MissingExtraError("exporting an encoder", "export") from None


def _import_torchvision() -> None:
    """Import torchvision, also one that was built for another torch.

    PyTorch for the CPU alone and torchvision from the package index are a common pair, whose compiled
    operators do not load. Its own import only names two of them; resizing and networks need none.
    """
    try:
        import_module("torchvision")
    except RuntimeError as exc:
        if "torchvision::nms" not in str(exc):
            raise
        import torch

        declared = torch.library.Library("torchvision", "FRAGMENT")
        _HELD.append(declared)
        for name in ("nms", "qnms"):
            declared.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import_module("torchvision")
