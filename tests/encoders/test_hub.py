"""Models come from a hub whole, checked and once; whatever goes wrong is said with what to do."""

import errno
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
from tests.encoders.hub_server import Hub, commit_of, running

from handful.encoders.hub import Reference, fetched, local
from handful.errors import EncoderError
from handful.settings import Settings

NAME = "org/model"


def content(seed: str, size: int = 5000) -> bytes:
    return random.Random(seed).randbytes(size)


def immich() -> dict[str, bytes]:
    return {
        "README.md": b"# A model",
        "config.json": b'{"embed_dim": 8}',
        "visual/preprocess_cfg.json": b'{"size": [32, 32]}',
        "visual/model.onnx": content("visual"),
        "visual/model_fp16.onnx": content("visual half"),
        "visual/model.armnn": content("of a phone"),
        "textual/tokenizer.json": content("tokens"),
        "textual/tokenizer_config.json": b"{}",
        "textual/model.onnx": content("textual"),
        "textual/model.onnx_data": content("weights"),
        "textual/model_fp16.onnx": content("textual half"),
        "pytorch_model.bin": content("torch"),
    }


def transformers_js() -> dict[str, bytes]:
    names = ("config.json", "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json")
    graphs = (
        f"onnx/{tower}{end}.onnx" for tower in ("vision_model", "text_model") for end in ("", "_quantized")
    )
    return {name: content(name, 100) for name in names} | {name: content(name) for name in graphs}


class Place(NamedTuple):
    """A hub with a model, and a machine that has fetched nothing yet."""

    hub: Hub
    settings: Settings
    cache: Path  # of the hub's tools


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    from huggingface_hub import constants

    with running() as hub:
        hub.repositories[NAME] = immich()
        monkeypatch.setattr(constants, "ENDPOINT", hub.address)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.address + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        yield Place(hub, Settings(cache_dir=tmp_path / "cache"), tmp_path / "hub")


def files_of(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_model_comes_with_what_its_precision_needs_and_nothing_else(place: Place) -> None:
    folder = fetched(NAME, settings=place.settings)
    assert files_of(folder) == {
        "config.json",
        "visual/preprocess_cfg.json",
        "visual/model.onnx",
        "textual/tokenizer.json",
        "textual/tokenizer_config.json",
        "textual/model.onnx",
        "textual/model.onnx_data",
    }
    assert all((folder / name).read_bytes() == immich()[name] for name in files_of(folder))
    half = fetched(NAME, settings=place.settings, precision="fp16")
    assert {"visual/model_fp16.onnx", "textual/model_fp16.onnx"} <= files_of(half)
    assert place.hub.downloads("visual/model.armnn") == 0


def test_files_of_transformers_js_are_found_and_quantised_ones_are_int8(place: Place) -> None:
    place.hub.repositories["xen/model"] = transformers_js()
    folder = fetched("xen/model", settings=place.settings, precision="int8")
    assert files_of(folder) == {
        "config.json",
        "preprocessor_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "onnx/vision_model_quantized.onnx",
        "onnx/text_model_quantized.onnx",
    }


def test_a_precision_that_is_not_there_is_named_with_those_that_are(place: Place) -> None:
    with pytest.raises(EncoderError, match=r"no files in int8; it has fp32, fp16"):
        fetched(NAME, settings=place.settings, precision="int8")
    place.hub.repositories["org/torch"] = {"model.safetensors": b"x"}
    with pytest.raises(EncoderError, match=r"no ONNX files.*handful encoders export"):
        fetched("org/torch", settings=place.settings)


def test_what_was_fetched_is_used_without_asking_the_hub_and_means_the_same(place: Place) -> None:
    assert local(NAME, settings=place.settings) is None
    folder = fetched(NAME, settings=place.settings)
    asked = len(place.hub.asked)
    place.hub.repositories[NAME] |= {"visual/model.onnx": content("retrained")}
    assert fetched(NAME, settings=place.settings) == folder == local(NAME, settings=place.settings)
    assert len(place.hub.asked) == asked
    newer = fetched(NAME, settings=place.settings, again=True)
    assert newer != folder
    assert (newer / "visual/model.onnx").read_bytes() == content("retrained")
    assert fetched(NAME, settings=place.settings) == newer


def test_weights_are_fetched_from_wherever_the_graph_says_they_are(place: Place, tmp_path: Path) -> None:
    tensor = onnx.numpy_helper.from_array(np.ones((40, 40), np.float32), "weights")
    node = onnx.helper.make_node("Identity", ["weights"], ["out"])
    out = onnx.helper.make_tensor_value_info("out", onnx.TensorProto.FLOAT, [40, 40])
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "g", [], [out], [tensor]))
    onnx.save(
        model,
        tmp_path / "model.onnx",
        save_as_external_data=True,
        location="onnx__MatMul_7",
        size_threshold=0,
    )
    graph, data = (tmp_path / "model.onnx").read_bytes(), (tmp_path / "onnx__MatMul_7").read_bytes()
    files = immich() | {"textual/model.onnx": graph, "textual/onnx__MatMul_7": data, "textual/other": b"x"}
    place.hub.repositories["org/large"] = files
    folder = fetched("org/large", settings=place.settings)
    assert (folder / "textual/onnx__MatMul_7").read_bytes() == data
    assert "textual/other" not in files_of(folder)
    del files["textual/onnx__MatMul_7"]
    with pytest.raises(EncoderError, match=r"has no textual/onnx__MatMul_7, where a graph"):
        fetched("org/large", settings=place.settings, again=True)


def test_a_revision_is_pinned(place: Place) -> None:
    commit = commit_of(immich())
    folder = fetched(f"{NAME}@{commit}", settings=place.settings)
    assert folder.name == commit
    place.hub.repositories[NAME] |= {"config.json": b"{}"}
    assert fetched(NAME, revision=commit, settings=place.settings) == folder
    with pytest.raises(EncoderError, match=r"no revision 'v9'"):
        fetched(f"{NAME}@v9", settings=place.settings)


def test_a_file_that_arrives_damaged_is_thrown_away_and_fetched_once_more(place: Place) -> None:
    place.hub.corrupt["visual/model.onnx"] = 1
    folder = fetched(NAME, settings=place.settings)
    assert (folder / "visual/model.onnx").read_bytes() == immich()["visual/model.onnx"]
    assert place.hub.downloads("visual/model.onnx") == 2


def test_a_file_that_stays_damaged_is_said_and_not_kept(place: Place) -> None:
    place.hub.corrupt["textual/model.onnx"] = 2
    with pytest.raises(
        EncoderError, match=r"textual/model.onnx of org/model is not what the hub says.*HF_ENDPOINT"
    ):
        fetched(NAME, settings=place.settings)
    assert local(NAME, settings=place.settings) is None
    folder = fetched(NAME, settings=place.settings)
    assert (folder / "textual/model.onnx").read_bytes() == immich()["textual/model.onnx"]


def test_a_small_file_is_checked_by_its_git_digest(place: Place) -> None:
    place.hub.lies["config.json"] = b'{"embed_dim": 9}'
    with pytest.raises(EncoderError, match=r"config.json of org/model is not what the hub says"):
        fetched(NAME, settings=place.settings)


def test_a_file_damaged_on_the_disk_is_mended_when_asked_again(place: Place) -> None:
    folder = fetched(NAME, settings=place.settings)
    (folder / "visual/model.onnx").resolve().write_bytes(bytes(5000))
    again = fetched(NAME, settings=place.settings, again=True)
    assert (again / "visual/model.onnx").read_bytes() == immich()["visual/model.onnx"]
    (folder / "textual/model.onnx").resolve().write_bytes(b"short")
    fetched(NAME, settings=place.settings)
    assert (folder / "textual/model.onnx").read_bytes() == immich()["textual/model.onnx"]


def test_a_broken_connection_goes_on_where_it_stopped(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 500)
    place.hub.cut["visual/model.onnx"] = 1
    folder = fetched(NAME, settings=place.settings)
    assert (folder / "visual/model.onnx").read_bytes() == immich()["visual/model.onnx"]
    assert any(line.endswith("visual/model.onnx 2500-") for line in place.hub.asked)


def test_a_killed_fetch_goes_on_with_the_files_that_are_missing(place: Place, tmp_path: Path) -> None:
    place.hub.stalled.add("textual/model.onnx")
    code = "import sys; from handful.encoders.hub import fetched; from handful.settings import Settings; "
    code += f"fetched({NAME!r}, settings=Settings())"
    environment = os.environ | {
        "HF_ENDPOINT": place.hub.address,
        "HF_HUB_CACHE": str(place.cache),
        "HANDFUL_CACHE_DIR": str(place.settings.cache_dir),
    }
    with subprocess.Popen([sys.executable, "-c", code], env=environment) as process:
        assert place.hub.stalling.wait(30)
        process.send_signal(signal.SIGKILL)
    place.hub.stalled.clear()
    place.hub.released.set()
    assert local(NAME, settings=place.settings) is None
    (litter,) = place.cache.rglob("*.incomplete")
    a_week_ago = time.time() - 7 * 86400
    os.utime(litter, (a_week_ago, a_week_ago))
    folder = fetched(NAME, settings=place.settings)
    assert (folder / "textual/model.onnx").read_bytes() == immich()["textual/model.onnx"]
    assert (place.hub.downloads("visual/model.onnx"), place.hub.downloads("textual/model.onnx")) == (1, 2)
    assert not litter.exists()


def test_several_who_want_one_model_at_once_share_a_fetch(place: Place) -> None:
    with ThreadPoolExecutor(4) as threads:
        folders = set(threads.map(lambda _: fetched(NAME, settings=place.settings), range(4)))
    assert len(folders) == 1
    assert place.hub.downloads("visual/model.onnx") == 1


def test_progress_counts_the_bytes_of_all_files(place: Place) -> None:
    told: list[tuple[int, int]] = []
    fetched(NAME, settings=place.settings, progress=lambda done, total: told.append((done, total)))
    assert (
        told[-1][0]
        == told[-1][1]
        == sum(len(immich()[name]) for name in files_of(fetched(NAME, settings=place.settings)))
    )
    assert told == sorted(told)


def test_offline_uses_what_is_there_and_says_what_is_not(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants, hf_hub_download

    offline = place.settings.model_copy(update={"offline": True})
    with pytest.raises(EncoderError, match=r"HANDFUL_OFFLINE forbids.*handful encoders fetch org/model"):
        fetched(NAME, settings=offline)
    folder = fetched(NAME, settings=place.settings)
    assert fetched(NAME, settings=offline) == folder
    shutil.rmtree(place.cache)
    for name in immich():
        kept = hf_hub_download(NAME, name)  # as another tool does
    assert Path(kept).is_relative_to(fetched(NAME, settings=offline))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(EncoderError, match=r"HF_HUB_OFFLINE forbids"):
        fetched("org/other", settings=place.settings)


def test_an_unreachable_hub_is_named_with_ways_out(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{free.getsockname()[1]}")
        with pytest.raises(
            EncoderError, match=r"cannot be reached.*set HF_ENDPOINT to a mirror, or give a folder"
        ):
            fetched(NAME, settings=place.settings)


def test_a_model_that_is_not_there_or_not_for_everybody_is_said(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(EncoderError, match=r"has no model org/nothing"):
        fetched("org/nothing", settings=place.settings)
    place.hub.gated.add(NAME)
    with pytest.raises(EncoderError, match=r"accept its conditions.*HF_TOKEN"):
        fetched(NAME, settings=place.settings)
    monkeypatch.setenv("HF_TOKEN", "accepted")
    assert fetched(NAME, settings=place.settings).is_dir()
    place.hub.status = 418
    with pytest.raises(EncoderError, match=r"answered 418.*try again later"):
        fetched(NAME, settings=place.settings, again=True)


def test_a_full_disk_is_said_before_and_during(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    class Free(NamedTuple):
        free: int

    with monkeypatch.context() as full:
        full.setattr(shutil, "disk_usage", lambda path: Free(1000))
        with pytest.raises(EncoderError, match=r"takes 0 MB, and .* has 0 MB left.*HF_HOME"):
            fetched(NAME, settings=place.settings)

    def refuse(*args: Any, **options: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("huggingface_hub.file_download.http_get", refuse)
    with pytest.raises(EncoderError, match=r"the disk is full"):
        fetched(NAME, settings=place.settings)


def test_what_an_export_says_of_its_files_is_checked(place: Place) -> None:
    files = immich()
    said = {name: sha256(data).hexdigest() for name, data in files.items() if name.endswith(".onnx")}
    place.hub.repositories["org/ours"] = files | {
        "handful.json": json.dumps({"format": 1, "files": said}).encode()
    }
    folder = fetched("org/ours", settings=place.settings)
    assert (folder / "handful.json").is_file()
    other = {**said, "visual/model.onnx": "0" * 64}
    place.hub.repositories["org/ours"]["handful.json"] = json.dumps({"format": 1, "files": other}).encode()
    with pytest.raises(
        EncoderError, match=r"visual/model.onnx of org/ours is not the file that its handful.json"
    ):
        fetched("org/ours", settings=place.settings, again=True)


@pytest.mark.parametrize(
    "text", ["model", "../etc/passwd", "a/b/c", "a/..", "a/b@../x", "a b/c", "-a/b", "a/b@"]
)
def test_what_is_no_name_of_a_model_is_refused(text: str) -> None:
    with pytest.raises(EncoderError, match=r"org/name"):
        Reference.parse(text)
