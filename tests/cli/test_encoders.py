"""list, info, fetch and benchmark: choosing an encoder."""

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from tests.encoders.hub_server import running

from handful.encoders.catalogue import CATALOGUE

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HANDFUL_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def listed(run, *options):
    return [one["name"] for one in json.loads(run("encoders", "list", "--json", *options).stdout)["encoders"]]


def test_the_list_is_sorted_by_accuracy_or_size_with_unknown_ones_last(run):
    assert listed(run) == list(CATALOGUE)
    by_accuracy = listed(run, "--sort", "accuracy")
    assert by_accuracy[0] == "siglip2-so400m-16-384"
    assert by_accuracy.index("clip-vit-l-14") < by_accuracy.index("clip-vit-b-32")
    without = [
        name for name, entry in CATALOGUE.items() if entry.imagenet_top1 is None or not entry.zero_shot
    ]
    assert by_accuracy[-len(without) :] == without
    by_size = listed(run, "--sort", "size")
    assert (by_size[0], by_size[-1]) == ("builtin", "biomedclip")


def test_the_list_says_whose_licence_limits_use_and_what_a_figure_is(run):
    result = run("encoders", "list")
    lines = {line.split("\t")[0]: line for line in result.stdout.splitlines()}
    assert lines["mobileclip-s0"].endswith("apple-amlr !")
    assert "77.6%*" in lines["builtin"]
    assert "export" in lines["datacomp-vit-b-32"].split("\t")
    assert "licence: ! it limits use" in result.stderr


def test_an_entry_is_described_without_being_fetched(run, monkeypatch):
    monkeypatch.setenv("HANDFUL_OFFLINE", "1")
    said = json.loads(run("encoders", "info", "mobileclip-s1", "--json").stdout)
    assert (said["here"], said["fingerprint"], said["layout"]) == (False, None, "transformers.js")
    assert said["imagenet_source"] == "apple/ml-mobileclip, README.md"
    result = run("encoders", "info", "mobileclip-s1")
    assert "not for commercial use" in result.stderr
    by_hub = json.loads(run("encoders", "info", "Xenova/mobileclip_s1", "--json").stdout)
    assert by_hub["name"] == "mobileclip-s1"


def test_a_model_of_a_hub_that_is_not_here_is_said_to_be_not_here(run):
    said = json.loads(run("encoders", "info", "org/model", "--json").stdout)
    assert (said["name"], said["here"], said["folder"]) == ("org/model", False, None)


def test_what_no_hub_has_is_refused_with_the_command_that_makes_it(run):
    result = run("encoders", "fetch", "datacomp-vit-b-32")
    assert result.exit_code == 1
    assert "handful encoders export ViT-B-32 --pretrained datacomp_xl_s13b_b90k" in result.stderr
    assert "nothing to fetch" in run("encoders", "fetch", "builtin").stderr


def files() -> dict[str, bytes]:
    names = (
        "config.json",
        "visual/preprocess_cfg.json",
        "textual/tokenizer.json",
        "textual/tokenizer_config.json",
    )
    return dict.fromkeys(names, b"{}") | {
        f"{tower}/model.onnx": b"x" * 3000 for tower in ("visual", "textual")
    }


def test_an_encoder_is_fetched_from_the_hub_that_the_environment_names(cache: Path, tmp_path: Path):
    with running() as hub:
        hub.repositories["org/model"] = files()
        environment = {
            "HF_ENDPOINT": hub.address,
            "HF_HOME": str(tmp_path / "home"),
            "HANDFUL_CACHE_DIR": str(cache),
            "PATH": "/usr/bin",
        }
        command = [str(Path(sys.executable).with_name("handful")), "encoders", "fetch", "org/model"]

        def fetch() -> subprocess.CompletedProcess[str]:
            return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

        first = fetch()
        assert first.returncode == 0, first.stderr
        folder = Path(first.stdout.strip())
        assert folder.is_relative_to(tmp_path / "home")
        assert {path.relative_to(folder).as_posix() for path in folder.rglob("*.onnx")} == {
            "visual/model.onnx",
            "textual/model.onnx",
        }
        hub.status = 500
        assert fetch().stdout == first.stdout
    environment["HANDFUL_OFFLINE"] = "1"
    command[-1] = "org/other"
    refused = fetch()
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "HANDFUL_OFFLINE forbids" in refused.stderr


def test_what_was_measured_is_kept_listed_and_drawn(run, tmp_path: Path):
    picture = tmp_path / "encoders.svg"
    result = run(
        "encoders", "benchmark", "builtin", "--pictures", 2, "--threads", 1, "--plot", picture, "--json"
    )
    (measured,) = json.loads(result.stdout)["encoders"]
    assert (measured["name"], measured["threads"], measured["pictures"]) == ("builtin", 1, 2)
    assert measured["pictures_per_second"] > 0
    assert 50e6 < measured["memory_bytes"] < 5e9
    kept = json.loads(run("encoders", "info", "builtin", "--json").stdout)["measured"]
    assert kept == measured
    assert listed(run, "--sort", "speed")[0] == "builtin"
    drawing = ET.fromstring(picture.read_text())
    assert "builtin" in [text.text for text in drawing.iter("{http://www.w3.org/2000/svg}text")]


def test_an_encoder_that_cannot_be_loaded_is_not_measured(run):
    result = run("encoders", "benchmark", "nothing")
    assert result.exit_code == 1
    assert "there is no encoder 'nothing'" in result.stderr


def test_the_lines_of_the_page_about_encoders_run(cache: Path, tmp_path: Path):
    blocks = re.findall(
        r"^```sh\n(.*?)^```$", (ROOT / "docs/encoders.md").read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    assert len(blocks) >= 5
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "examples").symlink_to(ROOT / "examples")
    small = ROOT / "tests" / "encoders" / "fixtures" / "clip-immich"
    with running() as hub:
        hub.repositories["immich-app/ViT-B-32__openai"] = {
            path.relative_to(small).as_posix(): path.read_bytes()
            for path in small.rglob("*")
            if path.is_file()
        }
        done = subprocess.run(
            ["bash", "-eu", "-c", "\n".join(blocks)],
            cwd=tmp_path / "work",
            env={
                "HF_ENDPOINT": hub.address,
                "HF_HOME": str(tmp_path / "home"),
                "HANDFUL_CACHE_DIR": str(cache),
                "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            },
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert (tmp_path / "work" / "encoders.svg").is_file()


def test_several_encoders_as_one_are_here_where_all_are(run):
    clip = Path(__file__).parents[1] / "encoders/fixtures/clip-immich"
    said = json.loads(run("encoders", "info", f"builtin+{clip}", "--json").stdout)
    assert said["here"] is True
    assert said["dimension"] == 512 + 12
    assert json.loads(run("encoders", "info", "builtin+clip-vit-b-32", "--json").stdout)["here"] is False
