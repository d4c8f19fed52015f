"""Pictures named on the command line."""

import sys
from collections.abc import Sequence
from pathlib import Path

import typer

from handful.errors import ImageError

STDIN = "-"


def named_pictures(names: Sequence[str]) -> tuple[list[str], list[str | bytes]]:
    """Names and sources of pictures: files, folders (the pictures in them, sorted), `-` for standard input.

    Raises ImageError for a name that is nothing, or a folder without pictures; `-` twice is misuse.
    """
    if list(names).count(STDIN) > 1:
        raise typer.BadParameter("'-' stands for the one picture on standard input; name it once")
    found: list[str] = []
    sources: list[str | bytes] = []
    for name in names:
        if name == STDIN:
            found.append(STDIN)
            sources.append(_standard_input())
            continue
        path = Path(name)
        if path.is_dir():
            inside = [str(file) for file in sorted(path.rglob("*")) if _is_picture(file)]
            if not inside:
                raise ImageError(
                    f"folder {name!r} holds no picture; give files, or a folder with pictures in it"
                )
            found += inside
            sources += inside
            continue
        if not path.exists():
            raise ImageError(f"there is no picture {name!r}; check the path, or give a folder of pictures")
        found.append(name)
        sources.append(str(path.absolute()))  # absolute: never mistaken for base64 text
    return found, sources


def _standard_input() -> bytes:
    if sys.stdin.isatty():
        raise typer.BadParameter(
            "'-' reads a picture from standard input; pipe one in, as in `… < photo.jpg`"
        )
    return sys.stdin.buffer.read()


def _is_picture(file: Path) -> bool:
    from handful.containers import format_of

    if file.name.startswith(".") or not file.is_file():
        return False
    with file.open("rb") as opened:
        return format_of(opened.read(32)) is not None
