"""What was measured of encoders on this machine, kept in the cache folder."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

if TYPE_CHECKING:
    from handful.encoders.speed import Speed

FILE = "speeds.json"


def known(cache: Path) -> dict[str, dict[str, Any]]:  # Any: JSON
    """The newest measurement of each encoder, by the name it was measured by; {} where there is none."""
    try:
        said = json.loads((cache / FILE).read_bytes())
    except (OSError, ValueError):
        return {}
    return (
        {name: one for name, one in said.items() if isinstance(one, dict)} if isinstance(said, dict) else {}
    )


def keep(cache: Path, speeds: "dict[str, Speed]") -> None:
    """Put measurements beside those of other encoders."""
    cache.mkdir(parents=True, exist_ok=True)
    said = known(cache) | {name: speed.as_dict() for name, speed in speeds.items()}
    draft = cache / f".{FILE}.{uuid4().hex}"
    draft.write_text(json.dumps(said, indent=1), "utf-8")
    draft.replace(cache / FILE)


def key(name: str, precision: str) -> str:
    """What an encoder is kept under.

    >>> key("builtin", "fp32"), key("clip-vit-b-32", "int8")
    ('builtin', 'clip-vit-b-32 int8')
    """
    return name if precision == "fp32" else f"{name} {precision}"
