"""Command that shows what Handful does, on pictures of its own."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

import handful
from handful.errors import DatasetError

_HOMES = (Path(sys.prefix) / "share" / "handful", Path(handful.__file__).parents[2])  # the image, a clone
_PROGRAM = Path("examples") / "demo.py"


def demo(
    report: Annotated[Path, typer.Argument(help="Page to write, in HTML.")] = Path("demo-report.html"),
) -> None:
    """Teach a service what waste is made of, see its answers, and measure them. Takes a minute or so.

    The photos are in the container image, and in a clone of Handful; no network is needed.
    """
    program = next((home / _PROGRAM for home in _HOMES if (home / _PROGRAM).exists()), None)
    if program is None:
        raise DatasetError(
            "the photos of the demonstration are not part of this install; run `make demo` in a clone of "
            "Handful, or `demo` in its container image"
        )
    done = subprocess.run([sys.executable, str(program), str(report.absolute())], check=False)
    raise typer.Exit(done.returncode)
