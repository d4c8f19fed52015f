"""Named arrays and their metadata as safetensors bytes, read with distrust."""

import json
from collections.abc import Mapping
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from handful.errors import HeadError

Arrays = dict[str, NDArray[np.generic]]

_LENGTH_BYTES = 8  # a safetensors file begins with the length of its JSON header, little-endian


def pack(kind: str, version: int, arrays: Mapping[str, NDArray[np.generic]], settings: object) -> bytes:
    """Bytes that `unpack` reads; `settings` is anything JSON can hold, floats exactly."""
    # asarray, not ascontiguousarray: that makes (1,) of ()
    plain: Arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    header = {"format": f"handful.{kind}/{version}", "settings": settings}
    # One entry, since safetensors writes several in no fixed order and equal heads shall be equal bytes.
    told = json.dumps(header | {"sha256": _digest(plain, header)}, sort_keys=True, separators=(",", ":"))
    return save(plain, metadata={"handful": told})


def unpack(kind: str, version: int, data: bytes) -> tuple[Arrays, dict[str, object]]:
    """The arrays and settings of `pack`.

    Raises HeadError for bytes of another kind, of a newer version, that were changed since, or that are no
    safetensors at all (a pickle is never opened).
    """
    try:
        data = bytes(data)
        arrays: Arrays = load(data)
        header_length = int.from_bytes(data[:_LENGTH_BYTES], "little")
        metadata = json.loads(data[_LENGTH_BYTES : _LENGTH_BYTES + header_length])["__metadata__"]
        header = json.loads(metadata["handful"])
        found_kind, _, found_version = header["format"].rpartition("/")
        settings = header["settings"]
        newer = int(found_version) > version
        # Early files have no digest. It guards against accidents; who means harm can leave it out.
        digest = header.pop("sha256", None)
        changed = digest is not None and digest != _digest(arrays, header)
    except (SafetensorError, AttributeError, KeyError, TypeError, ValueError, RecursionError) as exc:
        raise HeadError(
            f"these {len(data)} bytes are no {kind} of Handful ({type(exc).__name__}: {exc}); "
            "use the bytes that to_bytes() gave"
        ) from None
    if found_kind != f"handful.{kind}":
        raise HeadError(f"these bytes hold a {found_kind!r}, not a 'handful.{kind}'")
    if newer:
        raise HeadError(
            f"this {kind} has format version {found_version}, newer than {version}, the newest that this "
            "build reads; upgrade Handful"
        )
    if changed or header.keys() != {"format", "settings"}:
        raise HeadError(f"this {kind} is damaged: some of it changed since it was written; fetch it again")
    if not isinstance(settings, dict):
        raise HeadError(f"the settings of this {kind} are no JSON object")
    for name, array in arrays.items():
        if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
            raise HeadError(f"array {name!r} of this {kind} holds numbers that are not finite")
    return arrays, settings


def _digest(arrays: Arrays, header: Mapping[str, object]) -> str:
    """Of all that is told: format, settings, and each array with its name, type and shape."""
    told = sha256(json.dumps(header, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        told.update(json.dumps([name, little.dtype.str, little.shape]).encode())
        told.update(little.data if little.size else b"")
    return told.hexdigest()
