"""A folder or a file replaced as a whole: it holds what it held before, or all of the new."""

import os
import shutil
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path
from uuid import uuid4


def replace_folder(target: Path, write: Callable[[Path], None], *, own: Collection[str]) -> None:
    """Let `write` fill an empty folder beside `target`, then put it in its place.

    own : names of entries that go with the old folder; all others move into the new one.
    """
    aside = _aside(target)
    if aside.exists() and not target.exists():  # cut off between the two renamings below
        aside.rename(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".new", dir=target.parent))
    try:
        write(fresh)
        fresh.chmod(0o755)
        _sync(fresh)
        if target.exists():
            shutil.rmtree(aside, ignore_errors=True)
            target.rename(aside)
        fresh.rename(target)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        if aside.exists() and not target.exists():
            aside.rename(target)
        raise
    _sync(target.parent)
    if aside.exists():
        for entry in aside.iterdir():
            if entry.name not in own:
                entry.rename(target / entry.name)
        shutil.rmtree(aside)


def standing(target: Path) -> Path:
    """Where the folder's content is now: beside its place while, or since, its replacement was cut off."""
    aside = _aside(target)
    return aside if not target.exists() and aside.is_dir() else target


def write_durably(path: Path, data: bytes) -> None:
    """Write a file, and its folder where that is missing, through to the disk."""
    path.parent.mkdir(exist_ok=True)
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def replace_file(path: Path, data: bytes) -> None:
    """Write a file as a whole, through to the disk, whoever writes it beside; make missing folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        write_durably(draft, data)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _aside(target: Path) -> Path:
    return target.with_name(f".{target.name}.previous")


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, where the system lets folders be opened."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it that are missing, and their names durable."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for one in reversed(missing):
        one.mkdir(exist_ok=True)
        sync_folder(one.parent)


def _sync(folder: Path) -> None:
    """Make names in a folder, and in the folders below, durable."""
    for path in (folder, *(entry for entry in folder.iterdir() if entry.is_dir() and not entry.is_symlink())):
        sync_folder(path)
