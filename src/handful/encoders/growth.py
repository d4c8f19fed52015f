"""How much longer a tokenizer may make a text, told from its file before it reads one."""

import base64
import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from handful.errors import EncoderError

_MOST_GROWTH = 64  # times; Unicode's own longest makes 18 of one character
_MOST_PIECE = 256  # bytes in place of a character in a precompiled map


def check_growth(tokenizer: bytes) -> None:
    """Raises EncoderError for a tokenizer.json whose normaliser would blow texts up."""
    try:
        told = json.loads(tokenizer)
        steps = list(_steps(told.get("normalizer")))
    except (ValueError, RecursionError, AttributeError) as exc:
        raise EncoderError(f"tokenizer.json cannot be read: {exc}; fetch or export it again") from exc
    longest = max((_piece(step) for step in steps if step.get("type") == "Precompiled"), default=0)
    growth = _growth([step for step in steps if step.get("type") == "Replace"])
    if longest > _MOST_PIECE or growth > _MOST_GROWTH:
        raise EncoderError(
            f"tokenizer.json makes texts up to {max(longest, int(growth))} times as long; no encoder's does. "
            "Fetch or export it again"
        )


def _steps(normalizer: Any) -> Iterator[Mapping[str, Any]]:  # Any: what JSON holds
    if isinstance(normalizer, Mapping):
        yield normalizer
        for inner in normalizer.get("normalizers") or ():
            yield from _steps(inner)


def _growth(replacements: Sequence[Mapping[str, Any]]) -> float:
    """At most, over replacements one after another: what one writes, later ones may replace again."""
    reached: list[tuple[str | None, float]] = []  # what is replaced (None: a pattern), and how far it grows
    for step in reversed(replacements):
        pattern, content = step.get("pattern"), str(step.get("content", ""))
        text = pattern.get("String") if isinstance(pattern, Mapping) else None
        own = len(content) / len(text) if text else len(content) + 1.0 if len(content) > 1 else 1.0
        if own > 1:
            again = [more for found, more in reached if found is None or not set(found).isdisjoint(content)]
            reached.append((text, own * max(again, default=1.0)))
    return max((growth for _, growth in reached), default=1.0)


def _piece(step: Mapping[str, Any]) -> int:
    """Bytes of the longest text that stands for a character: they end with zeros, behind a trie."""
    data = base64.b64decode(str(step.get("precompiled_charsmap") or ""))
    if len(data) < 4:
        return 0
    (trie,) = struct.unpack_from("<I", data)
    return max(len(piece) for piece in data[4 + trie :].split(b"\0"))
