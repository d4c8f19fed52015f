"""Named arrays and their metadata as safetensors bytes, read with distrust."""

import json
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from handful.errors import HeadError

Arrays = dict[str, NDArray[np.generic]]

_LENGTH_BYTES = 8  # a safetensors file begins with the length of its JSON header, little-endian


def pack(kind: str, version: int, arrays: Mapping[str, NDArray[np.generic]], settings: object) -> bytes:
    """Bytes that `unpack` reads; `settings` is anything JSON can hold, floats exactly."""
    # One entry, since safetensors writes several in no fixed order and equal heads shall be equal bytes.
    header = json.dumps({"format": f"handful.{kind}/{version}", "settings": settings}, sort_keys=True)
    return save(
        # asarray, not ascontiguousarray: that makes (1,) of ()
        {name: np.asarray(array, order="C") for name, array in arrays.items()},
        metadata={"handful": header},
    )


def unpack(kind: str, version: int, data: bytes) -> tuple[Arrays, dict[str, object]]:
    """The arrays and settings of `pack`.

    Raises HeadError for bytes of another kind, of a newer version, or that are no safetensors at all
    (a pickle is never opened).
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
    if not isinstance(settings, dict):
        raise HeadError(f"the settings of this {kind} are no JSON object")
    for name, array in arrays.items():
        if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
            raise HeadError(f"array {name!r} of this {kind} holds numbers that are not finite")
    return arrays, settings
