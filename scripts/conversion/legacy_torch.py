"""Read the tensors of a legacy PyTorch checkpoint without PyTorch, and without running what it holds."""

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

_MAGIC = 0x1950A86A20F9469CFC6C  # first pickle of the format
_PROTOCOL = 1001  # second pickle

_STORAGES = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
}


class _Unread:
    """A tensor whose storage comes later in the file."""

    def __init__(self, storage: tuple[Any, ...], offset: int, size: tuple[int, ...], stride: tuple[int, ...]):
        _, self.dtype, self.key, _, self.length, self.view = storage
        self.offset, self.size, self.stride = offset, size, stride

    def over(self, storage: NDArray[Any]) -> NDArray[Any]:
        last = self.offset + sum((n - 1) * step for n, step in zip(self.size, self.stride, strict=True))
        if self.offset < 0 or min(self.stride, default=0) < 0 or last >= len(storage):
            raise ValueError(f"a tensor of shape {self.size} reaches outside its storage of {len(storage)}")
        bytes_stride = [step * storage.itemsize for step in self.stride]
        strided = np.lib.stride_tricks.as_strided(storage[self.offset :], self.size, bytes_stride)
        return np.ascontiguousarray(strided)


def _rebuild(
    storage: tuple[Any, ...], offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: object
) -> _Unread:
    return _Unread(storage, offset, size, stride)


class _Unpickler(pickle.Unpickler):
    """Knows four names; anything else in the file, code above all, is refused."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch._utils" and name in ("_rebuild_tensor", "_rebuild_tensor_v2"):
            return _rebuild
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        raise pickle.UnpicklingError(f"{module}.{name} is no part of a plain checkpoint; the file is refused")

    def persistent_load(self, pid: Any) -> Any:
        if not (isinstance(pid, tuple) and len(pid) == 6 and pid[0] == "storage" and pid[5] is None):
            raise pickle.UnpicklingError(f"a persistent id of another kind: {pid!r}")
        return pid


def _storage(stream: BinaryIO, dtype: np.dtype[Any], length: int) -> NDArray[Any]:
    written = int.from_bytes(stream.read(8), "little")
    data = stream.read(length * dtype.itemsize)
    if written != length or len(data) != length * dtype.itemsize:
        raise ValueError(f"a storage of {length} numbers is cut short or says {written}")
    return np.frombuffer(data, dtype)


def load_checkpoint(path: Path) -> dict[str, NDArray[Any]]:
    """Name → array. Raises pickle.UnpicklingError or ValueError for anything but tensors in a dict."""
    with path.open("rb") as stream:
        if _Unpickler(stream).load() != _MAGIC or _Unpickler(stream).load() != _PROTOCOL:
            raise ValueError(f"{path.name} is no legacy PyTorch checkpoint")
        system = _Unpickler(stream).load()
        if not system["little_endian"]:
            raise ValueError(f"{path.name} was written on a big-endian machine")
        state = _Unpickler(stream).load()
        if not all(isinstance(tensor, _Unread) for tensor in state.values()):
            raise ValueError(f"{path.name} holds more than tensors")
        kinds = {tensor.key: (tensor.dtype, tensor.length) for tensor in state.values()}
        storages = {key: _storage(stream, *kinds[key]) for key in _Unpickler(stream).load()}
    return {name: tensor.over(storages[tensor.key]) for name, tensor in state.items()}
