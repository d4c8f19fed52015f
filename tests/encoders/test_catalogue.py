"""What the catalogue says: of the builtin encoder what is shipped, of all others where it is from."""

import json

from handful.encoders.builtin import BuiltinEncoder
from handful.encoders.catalogue import CATALOGUE
from handful.encoders.hub import Reference
from handful.encoders.shipped import FOLDER


def test_the_builtin_entry_agrees_with_the_files(builtin: BuiltinEncoder) -> None:
    entry = CATALOGUE["builtin"]
    manifest = json.loads((FOLDER / "manifest.json").read_text())
    assert entry.name == builtin.name
    assert entry.dimension == builtin.dimension
    assert entry.image_side == manifest["image"]["side"]
    towers = sum((FOLDER / name).stat().st_size for name in ("image.onnx", "text.onnx"))
    assert entry.file_bytes is not None
    assert abs(entry.file_bytes / towers - 1) < 0.02


def test_each_accuracy_has_a_source_and_each_entry_says_what_was_checked() -> None:
    for entry in CATALOGUE.values():
        assert (entry.imagenet_top1 is None) == (entry.imagenet_source is None), entry.name
        assert entry.checked, entry.name
        assert entry.imagenet_top1 is None or 50 < entry.imagenet_top1 < 90, entry.name


def test_each_model_can_be_had_as_files_of_a_hub_or_by_an_export() -> None:
    for entry in CATALOGUE.values():
        if entry.name == "builtin":
            continue
        assert entry.repository or entry.export, entry.name
        assert (entry.repository is None) == (entry.layout is None), entry.name
        if entry.repository is not None:
            assert Reference.parse(entry.repository).repository == entry.repository


def test_licences_against_commercial_use_come_with_a_warning() -> None:
    warned = {name for name, entry in CATALOGUE.items() if entry.warning is not None}
    assert {"mobileclip-s0", "mobileclip2-s2", "dfn-vit-l-14", "biomedclip"} <= warned
    assert not any(CATALOGUE[name].licence in ("Apache-2.0",) for name in warned)


def test_sizes_are_reckoned_from_parameters_where_nobody_has_weighed_the_files() -> None:
    entry = CATALOGUE["clip-vit-b-32"]
    assert entry.parameters == 151_277_313  # as torch counts CLIP ViT-B/32
    assert (entry.about_bytes(), entry.about_bytes("int8")) == (605_109_252, 151_277_313)
    assert CATALOGUE["builtin"].about_bytes() == CATALOGUE["builtin"].file_bytes
    assert CATALOGUE["biomedclip"].about_bytes() is None
