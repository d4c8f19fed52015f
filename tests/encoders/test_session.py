import os
import subprocess
import sys
from pathlib import Path

import pytest

from handful.encoders.session import SessionOptions, onnx_runtime, open_session
from handful.encoders.shipped import Shipped
from handful.errors import EncoderError


def test_a_provider_that_is_not_there_is_refused_with_what_there_is() -> None:
    options = SessionOptions(providers=("WarpDriveExecutionProvider",))
    with pytest.raises(EncoderError, match=r"no WarpDriveExecutionProvider; it has .*CPUExecutionProvider"):
        open_session(b"", options, name="the image tower")


@pytest.mark.filterwarnings("ignore:Specified provider:UserWarning")
def test_a_provider_that_does_not_start_is_no_silent_change_to_the_cpu(monkeypatch) -> None:
    """As a build with CUDA on a machine without its libraries: listed, then left out."""
    listed = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnx_runtime(), "get_available_providers", lambda: listed)
    with pytest.raises(EncoderError, match="could not start CUDAExecutionProvider for the image tower"):
        open_session(
            Shipped.open().read("image.onnx"),
            SessionOptions(threads=1, providers=tuple(listed)),
            name="the image tower",
        )


def test_bytes_that_are_no_graph_are_refused_by_name() -> None:
    with pytest.raises(EncoderError, match="the image tower is no graph"):
        open_session(b"not a graph", SessionOptions(), name="the image tower")


def test_threads_are_those_asked_for() -> None:
    session = open_session(
        Shipped.open().read("image.onnx"), SessionOptions(threads=1), name="the image tower"
    )
    assert session.get_session_options().intra_op_num_threads == 1
    assert session.get_providers() == ["CPUExecutionProvider"]


def test_onnx_runtime_keeps_no_notes_of_its_use_to_send(tmp_path: Path) -> None:
    """Telemetry begins with files below the home folder and in the temporary one."""
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    folders = {"HOME": tmp_path, "XDG_CACHE_HOME": tmp_path, "TMPDIR": tmp_path}
    code = "from handful.encoders.session import onnx_runtime; print(onnx_runtime().__name__)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment | {name: str(folder) for name, folder in folders.items()},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "onnxruntime"
    assert list(tmp_path.iterdir()) == []
