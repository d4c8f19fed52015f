"""The folder that an export writes, and what it refuses."""

import json
from hashlib import sha256
from pathlib import Path

import open_clip
import pytest
import torch
from kinds import KINDS
from transformers import BertConfig, BertModel
from typer.testing import CliRunner

from handful.cli import app
from handful.errors import EncoderError
from handful.export import export_encoder, parity
from tiny import openclip as tiny


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """A small CLIP in a folder of open_clip."""
    return tiny.clip(tmp_path_factory.mktemp("source") / "tiny-clip", seed=1)


@pytest.mark.parametrize("kind", KINDS)
def test_the_folder_says_what_it_holds(export, kind) -> None:
    folder = export(kind).folder
    stated = json.loads((folder / "handful.json").read_text())
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert set(stated["files"]) == there - {"handful.json", "README.md"}
    for path, digest in stated["files"].items():
        assert sha256((folder / path).read_bytes()).hexdigest() == digest
    assert stated["format"] == 1
    card = (folder / "README.md").read_text()
    for said in ("| fp32 |", "| fp16 |", "| int8 |", "int8 of `visual`", "unknown; ask whoever published"):
        assert said in card


def test_neither_config_nor_card_tells_paths_of_this_machine(export) -> None:
    for kind in KINDS:
        made = export(kind)
        for file in (*made.folder.rglob("*.json"), made.folder / "textual" / "model.onnx"):
            if file.name != "handful.json":  # which says what was exported, as it was named
                assert str(made.source.parent).encode() not in file.read_bytes()


def test_a_folder_that_is_there_is_left_alone(source, tmp_path) -> None:
    (tmp_path / "mine.txt").write_text("kept")
    with pytest.raises(EncoderError, match="is there already"):
        export_encoder(str(source), tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


def test_rows_that_disagree_leave_nothing_behind(source, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(parity.LOWEST, "fp32", 1.1)
    with pytest.raises(
        EncoderError, match=r"lowest cosine is 1\.000000.*1\.1 is needed; below it are picture 1"
    ):
        export_encoder(str(source), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_int8_without_pictures_is_refused(source, tmp_path, photographs) -> None:
    with pytest.raises(EncoderError, match="8 at least; got 3: name them with --calibrate"):
        export_encoder(str(source), tmp_path / "out", int8=True, pictures=photographs[:3])


def test_int8_that_no_way_reaches_is_refused(source, tmp_path, photographs, monkeypatch) -> None:
    monkeypatch.setitem(parity.LOWEST, "int8", 1.1)
    with pytest.raises(EncoderError, match="the int8 export does not agree with torch"):
        export_encoder(str(source), tmp_path / "out", int8=True, pictures=photographs)
    assert list(tmp_path.iterdir()) == []


def test_an_architecture_that_open_clip_lacks_is_named(tmp_path) -> None:
    with pytest.raises(EncoderError, match="no architecture 'ViT-Q-99'"):
        export_encoder("ViT-Q-99", tmp_path / "out")


def test_an_architecture_without_weights_names_those_there_are(tmp_path) -> None:
    with pytest.raises(EncoderError, match="--pretrained whose weights: openai, laion400m_e31"):
        export_encoder("ViT-B-32", tmp_path / "out")


def test_a_checkpoint_of_an_architecture_is_exported(tmp_path, source, monkeypatch) -> None:
    config = json.loads((source / "open_clip_config.json").read_text())["model_cfg"]
    (tmp_path / "tiny-architecture.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path / "tiny-architecture.json")
    model = open_clip.create_model("tiny-architecture")
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    export_encoder("tiny-architecture", tmp_path / "out", pretrained=str(tmp_path / "weights.pt"))
    assert json.loads((tmp_path / "out" / "handful.json").read_text())["name"] == "tiny-architecture__weights"


def test_a_checkpoint_that_does_not_fit_is_refused(tmp_path, source) -> None:
    torch.save({"weight": torch.zeros(3)}, tmp_path / "weights.pt")
    with pytest.raises(EncoderError, match="open_clip cannot load RN50"):
        export_encoder("RN50", tmp_path / "out", pretrained=str(tmp_path / "weights.pt"))


def test_a_folder_of_neither_kind_is_refused(tmp_path) -> None:
    (tmp_path / "model").mkdir()
    with pytest.raises(EncoderError, match=r"neither open_clip_config\.json .* nor a config\.json"):
        export_encoder(str(tmp_path / "model"), tmp_path / "out")


def test_a_model_of_another_kind_is_refused(tmp_path) -> None:
    BertModel(
        BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, vocab_size=9)
    ).save_pretrained(tmp_path / "bert")
    with pytest.raises(EncoderError, match="of the kind 'bert'; those of clip, siglip, siglip2 are exported"):
        export_encoder(str(tmp_path / "bert"), tmp_path / "out")


def test_the_licence_is_that_of_the_card(source, tmp_path) -> None:
    (source / "README.md").write_text("---\nlicense: mit\ntags:\n- clip\n---\n# A model\n")
    export_encoder(str(source), tmp_path / "out")
    assert json.loads((tmp_path / "out" / "handful.json").read_text())["licence"] == "mit"
    assert (tmp_path / "out" / "README.md").read_text().splitlines()[3] == "license: mit"


def test_the_command_exports_and_tells_how_near(source, tmp_path) -> None:
    out = tmp_path / "out"
    done = CliRunner().invoke(app, ["encoders", "export", str(source), "-o", str(out), "--json"])
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    assert answer["folder"] == str(out)
    assert answer["parity"][0]["pictures"] >= 0.9999
    assert (out / "visual" / "model.onnx").is_file()
