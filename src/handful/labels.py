"""Labels: names or numbers of classes, checked once."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handful.errors import SupportError

Label = str | int | float | bool
Labels = NDArray[Any]  # (N,) of text, whole numbers or bool

_KINDS = {"U": "text", "i": "whole numbers", "u": "whole numbers", "f": "whole numbers", "b": "bool"}


def as_labels(labels: Iterable[Any], *, name: str = "labels") -> Labels:
    """Check untrusted labels: text, whole numbers or bool, one kind throughout, none missing.

    Returns (N,). Numbers keep their dtype, as in scikit-learn; objects become text or numbers.
    Raises SupportError that says which label is wrong and how.

    >>> as_labels(["dent", "rust"])
    array(['dent', 'rust'], dtype='<U4')
    """
    if isinstance(labels, str | bytes):
        raise SupportError(f"{name} is one text, {labels!r}; give a list with a label for each picture")
    try:
        values = labels if isinstance(labels, np.ndarray) else list(labels)
    except TypeError:
        raise SupportError(
            f"{name} is a {type(labels).__name__}; give a list with a label for each picture"
        ) from None
    if np.ndim(values) != 1 and len(values):
        raise SupportError(f"{name} has {np.ndim(values)} dimensions; give one label for each picture")
    for at, value in enumerate(values):
        if is_missing(value):
            raise SupportError(f"{name}[{at}] is missing ({value!r}); label the picture, or leave it out")
    kinds = {_kind(value) for value in values}
    if len(kinds) > 1:
        raise SupportError(f"{name} mixes {' and '.join(sorted(kinds))}; use one kind")
    array = np.asarray(values if len(values) else np.zeros(0, "U1"))
    if array.dtype.kind in "OT":  # objects, and NumPy's strings of any length
        array = np.asarray(list(values))
    if array.dtype.kind not in _KINDS:
        raise SupportError(f"{name} holds {kinds.pop()} values; a label is text or a whole number")
    if array.dtype.kind == "f" and not (array == np.floor(array)).all():
        raise SupportError(f"{name} holds {array[array != np.floor(array)][0]}; a label is no measurement")
    return array


def union(parts: Sequence[Labels], *, what: str = "labels") -> Labels:
    """All labels, sorted, each once. Raises SupportError where some are text and some numbers."""
    filled = [part for part in parts if len(part)]
    if not filled:
        return np.zeros(0, "U1")
    kinds = {_KINDS[part.dtype.kind] for part in filled}
    if len(kinds) > 1:
        raise SupportError(f"{what} are {' here and '.join(sorted(kinds))} there; use one kind")
    return np.unique(np.concatenate(filled))


def native(label: Any) -> Label:
    """The label as Python's own type, as JSON wants it."""
    value: Label = label.item() if isinstance(label, np.generic) else label
    return value


def is_missing(value: Any) -> bool:
    if value is None or (isinstance(value, str) and not value.strip()):
        return True
    try:
        return bool(value != value)  # NaN
    except (TypeError, ValueError):  # pandas.NA is neither equal nor unequal
        return True


def _kind(value: Any) -> str:
    if isinstance(value, str):
        return "text"
    if isinstance(value, bool | np.bool_):
        return "bool"
    if isinstance(value, int | float | np.integer | np.floating):
        return "numbers"
    return type(value).__name__
