"""`handful encoders profile`: of pictures or traffic, into a file or where the encoder finds it."""

import numpy as np
import pytest

from handful.background import Background
from handful.encoders import load_encoder
from handful.encoders.backgrounds import Backgrounds
from handful.encoders.moments import Moments
from handful.encoders.traffic import Traffic
from handful.rows import unit
from handful.settings import Settings


def test_an_installed_background_is_what_commands_on_the_data_folder_use(
    run, waste, tmp_path, monkeypatch, encoder
):
    result = run("encoders", "profile", waste, "--install", "--data", tmp_path)
    assert result.exit_code == 0, result.stderr
    assert f"{encoder.fingerprint}.safetensors: background of 15 pictures" in result.stdout
    assert "start services and commands on this data folder again" in result.stderr
    monkeypatch.setenv("HANDFUL_DATA_DIR", str(tmp_path))
    model = tmp_path / "waste.model"
    assert run("fit", waste, "-o", model).exit_code == 0
    own = load_encoder("builtin", settings=Settings(data_dir=tmp_path)).background
    assert own.count == 15
    assert f"background: {own.fingerprint} of 15 pictures" in run("info", model).stderr
    assert Backgrounds(tmp_path).named(encoder.background.fingerprint) is not None


def test_traffic_becomes_a_background_with_a_word_of_warning(run, tmp_path, encoder):
    rng = np.random.default_rng(0)
    X = unit(rng.standard_normal((600, encoder.dimension))).astype(np.float32)
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder, part in zip(folders, (X[:500], X[500:]), strict=True):
        Traffic(folder).add(encoder.fingerprint, Moments.of(part))
    file = tmp_path / "b.safetensors"
    options = [part for folder in folders for part in ("--from-traffic", folder)]
    result = run("encoders", "profile", *options, "-o", file)
    assert result.exit_code == 0, result.stderr
    assert "makes them worse: compare" in result.stderr
    made = Background.from_bytes(file.read_bytes())
    assert made.count == 600
    assert made.mean == pytest.approx(X.mean(axis=0), abs=1e-6)
    assert made.anchors is not None
    refused = run("encoders", "profile", *options, "--install", "--data", tmp_path)
    assert refused.exit_code == 2
    assert "by 13 points at one shot, as measured. Install it for all?" in " ".join(refused.stderr.split())
    assert not (tmp_path / "backgrounds").exists()
    assert run("encoders", "profile", *options, "--install", "--yes", "--data", tmp_path).exit_code == 0
    assert Backgrounds(tmp_path).installed(encoder.fingerprint, encoder.dimension).count == 600


def test_too_little_traffic_is_one_line(run, tmp_path):
    result = run("encoders", "profile", "--from-traffic", tmp_path, "--install", "--yes", "--data", tmp_path)
    assert result.exit_code == 1
    assert "statistics of 0 pictures" in result.stderr
    assert "HANDFUL_TRAFFIC_TENANTS" in result.stderr
    assert not (tmp_path / "backgrounds").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-o", "b"], "give pictures, or --from-traffic"),
        (["x", "--from-traffic", "y", "-o", "b"], "give pictures, or --from-traffic"),
        (["x"], "-o FILE, --install, or both"),
    ],
)
def test_misuse_is_said(run, arguments, said):
    result = run("encoders", "profile", *arguments)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())
