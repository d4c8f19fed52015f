import pytest

from handful.encoders.session import SessionOptions, open_session
from handful.encoders.shipped import Shipped
from handful.errors import EncoderError


def test_a_provider_that_is_not_there_is_refused_with_what_there_is() -> None:
    options = SessionOptions(providers=("WarpDriveExecutionProvider",))
    with pytest.raises(EncoderError, match=r"no WarpDriveExecutionProvider; it has .*CPUExecutionProvider"):
        open_session(b"", options, name="the image tower")


def test_bytes_that_are_no_graph_are_refused_by_name() -> None:
    with pytest.raises(EncoderError, match="the image tower is no graph"):
        open_session(b"not a graph", SessionOptions(), name="the image tower")


def test_threads_are_those_asked_for() -> None:
    session = open_session(
        Shipped.open().read("image.onnx"), SessionOptions(threads=1), name="the image tower"
    )
    assert session.get_session_options().intra_op_num_threads == 1
    assert session.get_providers() == ["CPUExecutionProvider"]
