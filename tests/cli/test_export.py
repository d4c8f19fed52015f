"""The command that exports encoders, where PyTorch is not installed; with it, see tests/encoders/export."""

import sys

import pytest

from handful.errors import EncoderError, MissingExtraError
from handful.export import export_encoder


@pytest.fixture
def no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether or not it is installed."""
    monkeypatch.setitem(sys.modules, "torch", None)


@pytest.mark.usefixtures("no_torch")
def test_without_the_extra_the_error_names_it_and_nothing_is_written(tmp_path):
    with pytest.raises(MissingExtraError, match=r"exporting an encoder .*pip install 'handful\[export\]'"):
        export_encoder("ViT-B-32", tmp_path / "out", pretrained="openai")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_torch")
def test_the_command_says_so_too(run, tmp_path):
    done = run("encoders", "export", "ViT-B-32", "-o", tmp_path / "out")
    assert done.exit_code == 1
    assert "pip install 'handful[export]'" in done.stderr


def test_a_folder_that_is_there_is_refused_before_anything_is_loaded(tmp_path):
    (tmp_path / "mine.txt").write_text("kept")
    with pytest.raises(EncoderError, match="is there already; name a folder that is not, or remove it"):
        export_encoder("ViT-B-32", tmp_path)


def test_int8_needs_pictures_to_calibrate_by(tmp_path):
    with pytest.raises(EncoderError, match="8 at least; got 0: name them with --calibrate"):
        export_encoder("ViT-B-32", tmp_path / "out", int8=True)
