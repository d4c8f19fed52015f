import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from handful.encoders.builtin import BuiltinEncoder
from handful.encoders.shipped import FOLDER, Shipped
from handful.errors import EncoderError

SMALL = ["manifest.json", "classes.safetensors", "background.safetensors", "tokenizer.json", "classes.txt"]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The shipped folder without its graphs."""
    for name in SMALL:
        shutil.copy(FOLDER / name, tmp_path)
    return tmp_path


def test_every_file_is_the_one_the_manifest_names() -> None:
    shipped = Shipped.open()
    for name in shipped.manifest["files"]:
        assert shipped.read(name)
    written = {path.name for path in FOLDER.iterdir() if path.is_file()}
    assert written == {*shipped.manifest["files"], "manifest.json", "SOURCE.md"}


def test_all_files_together_stay_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 45e6


def test_upstream_licences_are_shipped() -> None:
    for name in ("efficientnet-lite2.txt", "all-MiniLM-L6-v2.txt"):
        assert "Apache License" in (FOLDER / "LICENSES" / name).read_text()


def test_a_damaged_file_is_an_error_that_names_it(copy: Path) -> None:
    data = bytearray((FOLDER / "image.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (copy / "image.onnx").write_bytes(data)
    encoder = BuiltinEncoder(shipped=Shipped.open(copy))
    with pytest.raises(EncoderError, match=r"image\.onnx of the builtin encoder is damaged"):
        encoder.encode_images([np.zeros((9, 9, 3), np.uint8)])


def test_a_missing_file_is_an_error_that_names_it(copy: Path) -> None:
    with pytest.raises(EncoderError, match=r"text\.onnx of the builtin encoder cannot be read"):
        BuiltinEncoder(shipped=Shipped.open(copy)).encode_texts(["a dog"])


@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_a_folder_without_a_manifest_is_an_error(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(EncoderError, match=r"manifest\.json"):
        Shipped.open(tmp_path)


def test_the_fingerprint_changes_with_weights_and_numbers_but_not_with_the_background(copy: Path) -> None:
    def changed(change: str, value: object) -> str:
        manifest = json.loads((FOLDER / "manifest.json").read_text())
        part, _, key = change.partition("/")
        manifest[part][key] = value
        (copy / "manifest.json").write_text(json.dumps(manifest))
        return Shipped.open(copy).fingerprint

    same = Shipped.open().fingerprint
    assert changed("files/background.safetensors", "0" * 64) == same
    assert changed("files/image.onnx", "0" * 64) != same
    assert changed("image/short_side", 260) != same
