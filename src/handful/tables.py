"""Tables of labelled pictures: CSV files and data frames."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import StringIO
from os.path import lexists
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from handful.errors import DatasetError

PATH_COLUMNS = ("path", "file_name", "filename", "file", "filepath", "image_path", "image")
LABEL_COLUMNS = ("label", "class", "class_name", "category", "target")
GROUP_COLUMNS = ("group", "groups")

_NAMED = 3  # files that a message names; it counts the others
_SCHEME = 16  # characters in which the :// of a web address stands


@runtime_checkable
class Frame(Protocol):
    """A data frame as pandas and Polars have it."""

    columns: Any  # an index in pandas, a list in Polars

    def __getitem__(self, column: Any, /) -> Any:
        """The values of a column."""
        ...


@dataclass(frozen=True, slots=True)
class Table:
    """A column of pictures, one of labels, and one of groups or None."""

    images: tuple[Any, ...]  # paths from a file; a frame's cells are whatever it holds
    labels: tuple[Any, ...]
    groups: tuple[object, ...] | None


def read_csv(path: Path) -> Table:
    """A text file with a line per picture, cells between commas, semicolons or tabs.

    Its first line names the columns, in any case and order; others than those of paths, labels and groups are
    passed over. Without such a line: path, label and, where there are three cells, group.
    Raises DatasetError for a file without such columns, a line without path or label, and missing pictures.
    """
    header, *rows = _cells(path)
    columns = _Columns.of(header)
    first = 2  # the line of the first picture
    if columns.path is None and len(header) in (2, 3) and (path.parent / header[0]).is_file():
        columns, rows, first = _Columns(0, 1, 2 if len(header) == 3 else None), [header, *rows], 1
    path_at, label_at = columns.required(str(path), header)
    images: list[Path] = []
    labels: list[str] = []
    groups: list[object] = []
    for line, row in enumerate(rows, first):
        if not any(row):
            continue
        if len(row) != len(header):
            raise DatasetError(f"line {line} of {path} has {len(row)} cells, its first line {len(header)}")
        name, label = row[path_at].strip(), row[label_at].strip()
        if not name or not label:
            raise DatasetError(f"line {line} of {path} has no {'label' if name else 'path'}; add it")
        if "://" in name[:_SCHEME]:
            raise DatasetError(f"line {line} of {path} names a web address; download the pictures first")
        images.append(path.parent / name)
        labels.append(label)
        groups.append(None if columns.group is None else row[columns.group].strip() or None)
    if not images:
        raise DatasetError(f"{path} lists no picture; give a line for each, with its path and label")
    missing = [image for image in images if not lexists(image)]
    if missing:
        named = ", ".join(map(str, missing[:_NAMED])) + (", …" if len(missing) > _NAMED else "")
        raise DatasetError(
            f"{len(missing)} of {len(images)} pictures that {path} lists are missing ({named}); "
            f"paths are relative to {path.parent}"
        )
    return Table(tuple(images), tuple(labels), None if columns.group is None else tuple(groups))


def has_labels(path: Path) -> bool:
    """Whether the first line of a table names a column of paths and one of labels."""
    columns = _Columns.of(_cells(path)[0])
    return columns.path is not None and columns.label is not None


def read_frame(frame: Frame) -> Table:
    """The columns of a data frame, named as in a CSV file. Raises DatasetError where they are missing."""
    keys = list(frame.columns)
    names = [str(key) for key in keys]
    columns = _Columns.of(names)
    path_at, label_at = columns.required("the data frame", names)
    images = tuple(frame[keys[path_at]])
    if not images:
        raise DatasetError("the data frame has no rows; give one for each picture")
    groups = None if columns.group is None else tuple(frame[keys[columns.group]])
    return Table(images, tuple(frame[keys[label_at]]), groups)


def frame_images(frame: Frame) -> list[Any]:
    """The column of pictures of a data frame, or its only column. Raises DatasetError where there is none."""
    keys = list(frame.columns)
    at = _Columns.of([str(key) for key in keys]).path
    if at is None and len(keys) != 1:
        raise DatasetError(
            f"the data frame has the columns {', '.join(map(repr, keys[:10]))}; "
            f"name that of the pictures one of: {', '.join(PATH_COLUMNS)}"
        )
    return list(frame[keys[at or 0]])


@dataclass(frozen=True, slots=True)
class _Columns:
    """Where a table has what; None: nowhere."""

    path: int | None
    label: int | None
    group: int | None

    @classmethod
    def of(cls, header: Sequence[str]) -> "_Columns":
        names = [name.strip().lower() for name in header]

        def first(known: Iterable[str]) -> int | None:
            return next((names.index(name) for name in known if name in names), None)

        return cls(first(PATH_COLUMNS), first(LABEL_COLUMNS), first(GROUP_COLUMNS))

    def required(self, what: str, header: Sequence[str]) -> tuple[int, int]:
        if self.path is None or self.label is None:
            raise DatasetError(
                f"{what} has the columns {', '.join(repr(name[:40]) for name in header[:10])}; it needs one "
                f"of paths ({', '.join(PATH_COLUMNS)}) and one of labels ({', '.join(LABEL_COLUMNS)})"
            )
        return self.path, self.label


def _cells(path: Path) -> list[list[str]]:
    """Rows of a table, its first line first."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as exc:
        raise DatasetError(f"{path} cannot be read: {exc.strerror}; check its permissions") from None
    except UnicodeDecodeError as exc:
        raise DatasetError(
            f"{path} is no UTF-8 text ({exc.reason} at byte {exc.start}); save it as UTF-8"
        ) from None
    if not text.strip():
        raise DatasetError(f"{path} is empty; give a line for each picture, with its path and label")
    delimiter = max((",", ";", "\t"), key=text.splitlines()[0].count)
    try:
        return list(csv.reader(StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as exc:
        raise DatasetError(f"{path} is no table ({exc}); save it as CSV") from None
