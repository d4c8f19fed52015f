"""Labelled pictures as people keep them: folders of classes, tables, data frames."""

import os
import stat
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from handful import containers
from handful.errors import DatasetError
from handful.images import ImageSource
from handful.labels import Label
from handful.tables import Frame, Table, has_labels, read_csv, read_frame

_SPLITS = {
    "train": "train", "training": "train",
    "valid": "valid", "validation": "valid", "val": "valid", "dev": "valid",
    "test": "test", "testing": "test",
}  # fmt: skip
_CLUTTER = {"__MACOSX", "Thumbs.db", "desktop.ini", "Icon\r"}
_UNLABELLED = "_unlabeled"  # FiftyOne's name for pictures without a class
_METADATA = "metadata.csv"  # Hugging Face's name for the table of an image folder
_TABLES = {".csv", ".tsv", ".txt"}
_ARCHIVES = {".7z", ".bz2", ".gz", ".rar", ".tar", ".tgz", ".txz", ".xz", ".zip", ".zst"}
_SNIFFED = 512  # bytes of a file that tell what it is
_NAMED = 3  # files that a note names; it counts the others


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Labelled pictures.

    images, labels : one each per picture.
    groups : one per picture, or None; pictures of a group (a patient, a film) are left out together.
    source : where they come from.    notes : what was chosen or left out, sentences for people.
    skipped : files that are no pictures.
    """

    images: tuple[ImageSource, ...]
    labels: tuple[Label, ...]
    groups: tuple[object, ...] | None = None
    source: str = ""
    notes: tuple[str, ...] = ()
    skipped: tuple[Path, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    @property
    def class_names(self) -> tuple[Label, ...]:
        """The classes, sorted."""
        return tuple(sorted(set(self.labels), key=lambda label: (isinstance(label, str), label)))

    @property
    def counts(self) -> dict[Label, int]:
        """Pictures of each class; classes in order."""
        counts = Counter(self.labels)
        return {label: counts[label] for label in self.class_names}


def read_dataset(source: str | os.PathLike[str] | Frame, *, split: str = "train") -> Dataset:
    """Pictures and their labels, as they lie in a folder or are listed in a table.

    source :
        - a folder of class folders, sorted by name. Pictures in folders below belong to the class above;
          hidden files are passed over. A folder that holds but one folder of class folders stands for it.
        - a folder of splits (`train/`, `valid/` or `val/`, `test/`) that hold class folders.
        - a folder of pictures with a `metadata.csv`.
        - a CSV or TSV file: a column of paths, relative to the file (`path`, `file_name`, `filename`, …), a
          column `label` (or `class`, `category`, …) and, if there is one, `group`. Without a header: path,
          label, group.
        - a data frame (pandas, Polars) with such columns. Its paths are relative to the working folder, and
          its pictures may be whatever `handful.images.decode` reads.
    split : the one to take where there are splits: "train", "valid" or "test". So pictures to test with never
        become shots by accident.

    Files in class folders that are no pictures by their first bytes are left out and listed in `skipped` and
    `notes`. A picture that a table names and that is missing is an error.
    Raises DatasetError that says what was found and what to do.
    """
    if split not in _SPLITS.values():
        raise DatasetError(f"there is no split {split!r}; choose train, valid or test")
    if not isinstance(source, str | os.PathLike):
        if isinstance(source, Frame):
            return _of_table(read_frame(source), "a data frame")
        raise DatasetError(
            f"a {type(source).__name__} holds no data set; give a folder, a CSV file or a data frame"
        )
    path = Path(source)
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise DatasetError(f"there is no file or folder {str(path)!r}{_did_you_mean(path)}") from None
    except (OSError, ValueError) as exc:
        raise _unreadable(path, exc) from None
    if stat.S_ISDIR(mode):
        return _read_folder(path, split)
    if not stat.S_ISREG(mode):
        raise DatasetError(f"{path} is neither a file nor a folder; give a folder of class folders")
    if split != "train":
        raise DatasetError(f"{path} is a file, which has no splits; give a folder with a folder {split}/")
    return _read_file(path)


# ---- folders


def _read_folder(root: Path, split: str) -> Dataset:
    folders, files = _listing(root)
    table = root / _METADATA
    if split == "train" and table in files and has_labels(table):
        return replace(_of_table(read_csv(table), str(root)), notes=(f"Took the labels from {table}.",))
    splits = _splits(folders)
    if splits:
        return _read_split(root, splits, split)
    if len(folders) == 1 and not any(map(_is_picture, files)):
        inner_folders, inner_files = _listing(folders[0])
        if inner_folders and not any(map(_is_picture, inner_files)):
            dataset = _read_folder(folders[0], split)
            return replace(dataset, notes=(f"Took the classes from {folders[0]}.", *dataset.notes))
    if split != "train":
        raise DatasetError(
            f"{root} has no splits, so no {split!r}; it holds the folders {_names(folders)}: "
            f"give one with a folder {split}/"
        )
    return _read_classes(root, folders, files)


def _splits(folders: Sequence[Path]) -> dict[str, Path]:
    """Split → folder, where all folders are splits and one holds folders: a class may be called "test"."""
    named = {_SPLITS.get(folder.name.lower(), ""): folder for folder in folders}
    if "" in named or not any(_listing(folder)[0] for folder in folders):
        return {}
    return named


def _read_split(root: Path, splits: dict[str, Path], split: str) -> Dataset:
    if split not in splits:
        raise DatasetError(
            f"{root} holds {_names(splits.values())} but no {split!r}; give the folder of class folders"
        )
    chosen = splits[split]
    dataset = _read_classes(chosen, *_listing(chosen))
    others = [folder for folder in splits.values() if folder != chosen]
    note = f"Took {chosen}" + (f"; left out {_names(others)}." if others else ".")
    return replace(dataset, notes=(note, *dataset.notes))


def _read_classes(root: Path, folders: Sequence[Path], files: Sequence[Path]) -> Dataset:
    images: list[ImageSource] = []
    labels: list[Label] = []
    skipped: list[Path] = []
    notes: list[str] = []
    for folder in folders:
        if folder.name == _UNLABELLED:
            notes.append(f"Left out {folder}, whose pictures have no class.")
            continue
        before = len(images)
        for file in _files_below(folder, seen={root.resolve()}):
            if _is_picture(file):
                images.append(file)
                labels.append(folder.name)
            else:
                skipped.append(file)
        if len(images) == before:
            notes.append(f"Left out {folder}, which holds no picture.")
    loose = [file for file in files if _is_picture(file)]
    if not images:
        raise DatasetError(_without_classes(root, folders, files, loose))
    if skipped:
        notes.append(f"Left out what is no picture: {_names(skipped)}.")
    if loose:
        notes.append(f"Left out what lies beside the class folders, without a class: {_names(loose)}.")
    return Dataset(
        images=tuple(images),
        labels=tuple(labels),
        source=str(root),
        notes=tuple(notes),
        skipped=tuple(skipped),
    )


def _without_classes(
    root: Path, folders: Sequence[Path], files: Sequence[Path], loose: Sequence[Path]
) -> str:
    wanted = f"make a folder for each class, such as {root / 'dent'}, and put its pictures there"
    if loose:
        return f"{root} holds pictures ({_names(loose)}) but no class folder; {wanted}, or list them in a CSV"
    archives = [file for file in files if file.suffix.lower() in _ARCHIVES]
    if archives:
        return f"{root} holds {_names(archives)}; unpack it first, and give the folder that comes out"
    if folders or files:
        return f"{root} holds {_names([*folders, *files])} but no picture; {wanted}"
    return f"{root} is empty; {wanted}"


def _listing(folder: Path) -> tuple[list[Path], list[Path]]:
    """Folders, and all else in a folder, sorted, without what is hidden."""
    try:
        with os.scandir(folder) as entries:
            found = sorted(
                (entry.name, entry.is_dir())
                for entry in entries
                if not entry.name.startswith(".") and entry.name not in _CLUTTER
            )
    except OSError as exc:
        raise _unreadable(folder, exc) from None
    folders = [folder / name for name, is_folder in found if is_folder]
    return folders, [folder / name for name, is_folder in found if not is_folder]


def _files_below(folder: Path, seen: set[Path]) -> Iterator[Path]:
    """Files of a folder and of those in it, each folder once: links may lead back."""
    real = folder.resolve()
    if real in seen:
        return
    seen.add(real)
    folders, files = _listing(folder)
    yield from files
    for inner in folders:
        yield from _files_below(inner, seen)


def _is_picture(file: Path) -> bool:
    """By its first bytes; a pipe or a link to nothing is none."""
    return file.is_file() and containers.format_of(_start(file)) is not None


# ---- files


def _read_file(path: Path) -> Dataset:
    start = _start(path)
    zipped = zipfile.is_zipfile(path)
    if zipped or path.suffix.lower() in _ARCHIVES or tarfile.is_tarfile(path):
        way = f"python -m {'zipfile' if zipped else 'tarfile'} -e {path.name} {path.name.split('.')[0]}"
        raise DatasetError(f"{path} is an archive; unpack it first (`{way}`), and give the folder")
    if containers.format_of(start) is not None:
        raise DatasetError(f"{path} is one picture; give a folder with a folder for each class in it")
    if path.suffix.lower() not in _TABLES:
        raise DatasetError(
            f"{path} is {containers.foreign(start)}; give a folder of class folders, or a table (.csv, .tsv)"
        )
    return _of_table(read_csv(path), str(path))


def _of_table(table: Table, source: str) -> Dataset:
    return Dataset(images=table.images, labels=table.labels, groups=table.groups, source=source)


def _start(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(_SNIFFED)
    except OSError as exc:
        raise _unreadable(file, exc) from None


# ---- words


def _unreadable(path: Path, exc: OSError | ValueError) -> DatasetError:
    reason = exc.strerror if isinstance(exc, OSError) else str(exc)
    return DatasetError(f"{str(path)!r} cannot be read: {reason}; check the path and its permissions")


def _did_you_mean(path: Path) -> str:
    if not path.parent.is_dir():
        return f", nor a folder {str(path.parent)!r}; check the path"
    near = get_close_matches(path.name, os.listdir(path.parent), n=1)
    return f"; did you mean {str(path.parent / near[0])!r}?" if near else "; check the path"


def _names(paths: Iterable[Path]) -> str:
    names = [path.name for path in paths]
    rest = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + rest
