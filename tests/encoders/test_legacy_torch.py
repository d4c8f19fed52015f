"""The reader of old PyTorch checkpoints takes tensors, and nothing else, from a file."""

import io
import pickle
import struct
import sys
import types
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

SCRIPTS = str(Path(__file__).parents[2] / "scripts")
MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], dict[str, np.ndarray]]:
    monkeypatch.syspath_prepend(SCRIPTS)
    from conversion.legacy_torch import load_checkpoint

    return load_checkpoint


class Tensor:
    """Pickles as torch.Tensor does: a call of _rebuild_tensor_v2 on a storage kept elsewhere."""

    def __init__(self, array: np.ndarray, *, size=None, stride=None, offset=0, rebuild=None) -> None:
        self.array = array
        self.size = array.shape if size is None else size
        self.stride = tuple(step // array.itemsize for step in array.strides) if stride is None else stride
        self.offset, self.rebuild = offset, rebuild


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    storage = type("FloatStorage", (), {"__module__": "torch"})

    def _rebuild_tensor_v2(*args: object) -> None:
        raise AssertionError("nothing of the file is called")

    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    torch.FloatStorage, utils._rebuild_tensor_v2 = storage, _rebuild_tensor_v2
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)

    class Storage:
        def __init__(self, key: str, length: int) -> None:
            self.pid = ("storage", storage, key, "cpu", length, None)

    class Pickler(pickle.Pickler):
        def persistent_id(self, item: object) -> object:
            return item.pid if isinstance(item, Storage) else None

        def reducer_override(self, item: object) -> object:
            if not isinstance(item, Tensor):
                return NotImplemented
            held = Storage(str(id(item)), item.array.size)
            call = item.rebuild or _rebuild_tensor_v2
            return call, (held, item.offset, tuple(item.size), tuple(item.stride), False, OrderedDict())

    def write(state: dict[str, object], *, magic: int = MAGIC, little: bool = True, cut: int = 0) -> Path:
        stream = io.BytesIO()
        for item in (magic, PROTOCOL, {"little_endian": little}):
            pickle.dump(item, stream, protocol=2)
        Pickler(stream, protocol=2).dump(OrderedDict(state))
        tensors = [item for item in state.values() if isinstance(item, Tensor)]
        pickle.dump([str(id(item)) for item in tensors], stream, protocol=2)
        for item in tensors:
            stream.write(struct.pack("<q", item.array.size) + item.array.astype("<f4").tobytes(order="A"))
        data = stream.getvalue()
        path = tmp_path / "weights.pth"
        path.write_bytes(data[: len(data) - cut])
        return path

    return write


def test_tensors_come_back_with_their_shapes_and_strides(load, write) -> None:
    plain = np.arange(6, dtype="f4").reshape(2, 3)
    turned = np.asfortranarray(plain + 10)
    part = Tensor(np.arange(8, dtype="f4"), size=(2, 2), stride=(4, 1), offset=1)
    read = load(write({"plain": Tensor(plain), "turned": Tensor(turned), "part": part}))
    assert_array_equal(read["plain"], plain)
    assert_array_equal(read["turned"], turned)
    assert_array_equal(read["part"], [[1, 2], [5, 6]])


def test_code_in_a_checkpoint_is_refused_and_not_run(load, write, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> object:
            return (Path.touch, (tmp_path / "it ran",))

    with pytest.raises(pickle.UnpicklingError, match="is no part of a plain checkpoint"):
        load(write({"a": Tensor(np.zeros(2, "f4")), "b": Trap()}))
    assert not (tmp_path / "it ran").exists()


@pytest.mark.parametrize(
    "outside",
    [
        {"size": (3, 3), "stride": (3, 1)},
        {"size": (2,), "stride": (1,), "offset": 7},
        {"size": (2,), "stride": (-1,), "offset": 1},
        {"size": (2,), "stride": (1,), "offset": -1},
    ],
)
def test_a_tensor_that_reaches_outside_its_storage_is_refused(load, write, outside) -> None:
    with pytest.raises(ValueError, match="reaches outside its storage of 8"):
        load(write({"a": Tensor(np.zeros(8, "f4"), **outside)}))


def test_a_file_cut_short_is_refused(load, write) -> None:
    with pytest.raises(ValueError, match="cut short"):
        load(write({"a": Tensor(np.zeros(8, "f4"))}, cut=5))


def test_other_kinds_of_files_are_refused(load, write) -> None:
    with pytest.raises(ValueError, match="no legacy PyTorch checkpoint"):
        load(write({}, magic=7))
    with pytest.raises(ValueError, match="big-endian"):
        load(write({}, little=False))
    with pytest.raises(ValueError, match="more than tensors"):
        load(write({"a": 1}))
