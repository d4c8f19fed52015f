"""What every benchmark prints and keeps: one table, and its rows as data beside machine, commit and
command."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"

Value = str | int | float | bool | None
Row = Mapping[str, Value]


def machine() -> dict[str, Value]:
    """Processor, cores usable here, memory, system and Python, as far as the system tells."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": _memory_gib(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def versions(*packages: str) -> dict[str, Value]:
    """Versions of the packages that matter for the figures."""
    from importlib.metadata import PackageNotFoundError, version

    found: dict[str, Value] = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def commit() -> str:
    """The commit the figures belong to, with "+" where tracked files differ from it."""
    here = Path(__file__).parent
    try:
        name = _git("rev-parse", "--short=12", "HEAD", folder=here)
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", "../src", ".", folder=here)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    changed = "\n".join(line for line in changed.splitlines() if "benchmarks/results/" not in line)
    return name + ("+" if changed else "")


def command() -> str:
    """The command line from the repository's root; of files and folders elsewhere only the last name."""
    import shlex

    root = Path(__file__).resolve().parents[1]

    def told(text: str) -> str:
        if not Path(text).is_absolute():
            return text
        path = Path(text).resolve()
        return str(path.relative_to(root)) if path.is_relative_to(root) else path.name

    return shlex.join(["python", told(str(Path(sys.argv[0]).resolve())), *map(told, sys.argv[1:])])


def print_table(
    title: str, rows: Sequence[Row], *, columns: Sequence[str] | None = None, digits: int = 2
) -> None:
    """Print rows that share their keys; numbers to the right, floats to `digits`.  `columns` chooses and
    orders."""
    shown = columns or (list(rows[0]) if rows else [])
    numeric = {column for column in shown if all(_is_number(row.get(column)) for row in rows)}
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    for column in shown:
        table.add_column(column, justify="right" if column in numeric else "left", no_wrap=column in numeric)
    for row in rows:
        table.add_row(*(_text(row.get(column), digits) for column in shown))
    console = Console(highlight=False)
    if not console.is_terminal:  # a file has no edge to wrap at
        console = Console(highlight=False, width=200)
    console.print(table)


def write_result(
    name: str,
    command: str,
    rows: Sequence[Row],
    notes: str | Sequence[str] = (),
    **more: object,
) -> Path:
    """Write `results/<name>.json`, whole or not at all, and return its path.

    `rows` are what the table shows; `more` are further members, for what the table has no room for.
    """
    result = {
        "benchmark": name,
        "command": command,
        "commit": commit(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": machine(),
        "versions": versions("handful", "numpy", "onnxruntime", "scikit-learn"),
        "notes": [notes] if isinstance(notes, str) else list(notes),
        **more,
        "rows": [dict(row) for row in rows],
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    draft = path.with_suffix(".json.part")
    draft.write_text(
        json.dumps(result, indent=1, ensure_ascii=False, default=_plain) + "\n", encoding="utf-8"
    )
    draft.replace(path)
    return path


def _is_number(value: Value) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _text(value: Value, digits: int) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return (
        f"{value:,.{digits}f}"
        if isinstance(value, float)
        else f"{value:,}"
        if isinstance(value, int)
        else value
    )


def _plain(value: object) -> object:
    """NumPy's numbers and arrays as Python's."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is no JSON")


def _git(*arguments: str, folder: Path) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):
        return None
