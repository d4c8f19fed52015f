"""info, doctor and encoders."""

import importlib.util
import json

import pytest

from handful.background import Background
from handful.errors import EncoderError


def test_info_names_classes_and_settings(run, saved):
    result = run("info", saved)
    assert result.stdout.splitlines() == ["class\tshots", "cardboard\t5", "glass\t5", "metal\t5"]
    assert "method: prototype" in result.stderr
    said = json.loads(run("info", saved, "--json", "--shots").stdout)
    assert said["classes"][1] == {"name": "glass", "shots": 5}
    assert len(said["shots"]) == 15
    assert said["settings"]["encoder"] == "builtin"


def test_info_of_what_is_no_classifier_says_so(run, tmp_path):
    result = run("info", tmp_path)
    assert result.exit_code == 1
    assert "config.json" in result.stderr


def test_the_doctor_finds_everything_in_order(run):
    result = run("doctor", "--json")
    assert result.exit_code == 0
    checks = {check["name"]: check for check in json.loads(result.stdout)["checks"]}
    assert {
        "handful",
        "onnxruntime",
        "builtin encoder",
        "embedding cache",
        "extra heic",
        "extra eval",
    } == set(checks)
    assert all(check["ok"] for check in checks.values())


def test_the_doctor_says_what_to_install(run, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    result = run("doctor")
    assert result.exit_code == 0
    assert "pip install 'handful[heic]'" in result.stdout


def test_the_doctor_fails_where_something_is_broken(run, monkeypatch, tmp_path):
    def broken(name):
        raise EncoderError("image.onnx is damaged")

    monkeypatch.setattr("handful.encoders.load_encoder", broken)
    (tmp_path / "file").touch()
    monkeypatch.setenv("HANDFUL_CACHE_DIR", str(tmp_path / "file" / "below"))
    result = run("doctor")
    assert result.exit_code == 1
    assert "image.onnx is damaged; reinstall handful" in result.stdout
    assert "set HANDFUL_CACHE_DIR" in result.stdout


def test_encoders_are_listed_and_described(run):
    assert "builtin\tEfficientNet-Lite2" in run("encoders", "list").stdout
    listed = json.loads(run("encoders", "list", "--json").stdout)["encoders"]
    assert listed[0]["name"] == "builtin"
    said = json.loads(run("encoders", "info", "builtin", "--json").stdout)
    assert said["background_pictures"] == 1000
    assert said["dimension"] == 512
    assert said["fingerprint"] in run("encoders", "info", "builtin").stdout


def test_an_unknown_encoder_is_one_line(run):
    result = run("encoders", "info", "nothing")
    assert result.exit_code == 1
    assert "there is no encoder 'nothing'" in result.stderr


def test_a_profile_is_a_background_of_the_pictures(run, waste, tmp_path, encoder):
    result = run("encoders", "profile", waste, "-o", tmp_path / "b.safetensors")
    assert result.exit_code == 0
    assert "pictures are few" in result.stderr
    found = Background.from_bytes((tmp_path / "b.safetensors").read_bytes())
    X = encoder.encode_images(sorted(waste.rglob("*.jpg")))
    assert found.count == 15
    assert found.mean == pytest.approx(X.mean(axis=0), abs=1e-6)
