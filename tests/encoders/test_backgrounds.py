"""Backgrounds that are installed for encoders, and those that heads may name later."""

from pathlib import Path

import numpy as np
import pytest

from handful.background import Background
from handful.encoders import load_encoder, profile
from handful.encoders.backgrounds import Backgrounds
from handful.encoders.builtin import BuiltinEncoder
from handful.errors import EncoderError
from handful.settings import Settings


def background(seed: int = 0, dimension: int = 28) -> Background:
    return Background.fit(np.random.default_rng(seed).standard_normal((64, dimension)))


def test_what_was_installed_is_used_and_what_was_there_before_is_kept(tmp_path, tiny_encoder_class) -> None:
    before, after = background(1), background(2)
    folder = Backgrounds(tmp_path)
    assert not folder
    assert folder.installed("tiny-1", 28) is None
    folder.install(tiny_encoder_class(background=before), after)
    assert folder
    assert folder.installed("tiny-1", 28).fingerprint == after.fingerprint
    for one in (before, after):
        assert folder.named(one.fingerprint).fingerprint == one.fingerprint
    assert folder.named("0" * 16) is None


def test_one_of_another_width_is_neither_installed_nor_used(tmp_path, tiny_encoder) -> None:
    folder = Backgrounds(tmp_path)
    with pytest.raises(EncoderError, match="has 8 columns, and encoder 'tiny' 28"):
        folder.install(tiny_encoder, background(dimension=8))
    folder.install(tiny_encoder, background())
    with pytest.raises(EncoderError, match="has 28 columns, and its encoder 9"):
        folder.installed(tiny_encoder.fingerprint, 9)


def test_a_damaged_file_is_named_where_it_is_used_and_missing_where_it_was_kept(
    tmp_path, tiny_encoder
) -> None:
    folder, one = Backgrounds(tmp_path), background()
    path = folder.install(tiny_encoder, one)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(EncoderError, match=r"tiny-1.safetensors cannot be used: .*install one again"):
        folder.installed(tiny_encoder.fingerprint, 28)
    (path.parent / "kept" / f"{one.fingerprint}.safetensors").write_bytes(background(5).to_bytes())
    assert Backgrounds(tmp_path).named(one.fingerprint) is None


@pytest.mark.parametrize("name", ["../secret", "a/b", "", ".hidden", "x" * 200, "a\n"])
def test_a_fingerprint_out_of_an_uploaded_head_never_leaves_the_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.safetensors").write_bytes(background().to_bytes())
    folder = Backgrounds(tmp_path)
    assert folder.named(name) is None
    with pytest.raises(EncoderError, match="no fingerprint that can name a file"):
        folder.installed(name, 28)


def test_the_builtin_encoder_takes_the_one_installed_in_the_data_folder(
    tmp_path, builtin: BuiltinEncoder, pictures: list[Path]
) -> None:
    Backgrounds(tmp_path).install(builtin, profile(builtin, pictures[:20]))
    ours = load_encoder("builtin", settings=Settings(data_dir=tmp_path), cached=False)
    assert ours.background.count == 20
    assert ours.background.anchors is not None
    assert ours.fingerprint == builtin.fingerprint
    assert builtin.background.count == 1000
