"""What was measured of encoders on this machine, kept in the cache folder."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handful.folders import replace_file

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
    said = known(cache) | {name: speed.as_dict() for name, speed in speeds.items()}
    replace_file(cache / FILE, json.dumps(said, indent=1).encode())


def key(name: str, precision: str) -> str:
    """What an encoder is kept under.

    >>> key("builtin", "fp32"), key("clip-vit-b-32", "int8")
    ('builtin', 'clip-vit-b-32 int8')
    """
    return name if precision == "fp32" else f"{name} {precision}"
