"""What the catalogue says of the builtin encoder is what is shipped."""

import json

from handful.encoders.builtin import BuiltinEncoder
from handful.encoders.catalogue import CATALOGUE
from handful.encoders.shipped import FOLDER


def test_the_builtin_entry_agrees_with_the_files(builtin: BuiltinEncoder) -> None:
    entry = CATALOGUE["builtin"]
    manifest = json.loads((FOLDER / "manifest.json").read_text())
    assert entry.name == builtin.name
    assert entry.dimension == builtin.dimension
    assert entry.image_side == manifest["image"]["side"]
    towers = sum((FOLDER / name).stat().st_size for name in ("image.onnx", "text.onnx"))
    assert abs(entry.file_bytes / towers - 1) < 0.02
