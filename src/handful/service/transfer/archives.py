"""Archives of others, read with distrust: nothing is unpacked to disk, and everything is counted."""

import gzip
import os
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from errno import EINVAL
from pathlib import PurePosixPath
from tarfile import TarError
from typing import IO, cast
from zipfile import BadZipFile

from handful.errors import RequestError, StorageError
from handful.service.transfer.members import Member, shown
from handful.service.transfer.tars import tar_files
from handful.service.transfer.uploads import Source
from handful.service.transfer.zips import zip_files
from handful.sources import printable

_CLUTTER = {"__MACOSX", "Thumbs.db", "desktop.ini"}
_SPLITS = {"train", "training", "valid", "validation", "val", "dev", "test", "testing"}
_DRIVE = re.compile(r"[A-Za-z]:")
_DEEPEST = 16  # folders
_LONGEST_NAME = 1000  # characters
_USUAL = 64 * 2**20  # bytes that any archive may unpack to, however small it is
_MOST_RATIO = 200  # times its own size; pictures hardly shrink at all
_TAR_BYTES = 1536  # that a tar adds to a file: its header, a long name, and zeros up to a whole block
_TAR_BLOCKS = 100  # at its end, in such units


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveLimits:
    """files : at most.    unpacked : bytes of all files.    file : bytes of one."""

    files: int
    unpacked: int
    file: int


@dataclass(frozen=True, slots=True)
class Scan:
    """An archive that was looked through.    files : that count.    root : folders around class folders."""

    files: int
    root: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of the archive, or why it cannot be taken.    label : its class folder's name."""

    number: int
    name: str
    label: str
    data: bytes
    wrong: str | None = None


def scan(source: Source, limits: ArchiveLimits) -> Scan:
    """Look through a zip, tar or tar.gz without keeping anything.

    What begins with a dot, and other clutter of systems, does not count. One folder around all others is
    looked through.
    Raises RequestError for an archive that is damaged, encrypted, or larger than allowed, and for entries
    that are links or devices, leave the archive, or stand in it twice.
    """
    parts = [PurePosixPath(name).parts for name, _ in _files(source, limits, read=False)]
    first = {own[0] for own in parts}
    root = int(len(first) == 1 and min(len(own) for own in parts) > 2)
    top = {own[root].lower() for own in parts if len(own) > root + 1}
    if top and top <= _SPLITS and all(len(own) > root + 2 for own in parts):
        raise RequestError(
            f"this archive holds the splits {', '.join(sorted(top))}; send the class folders of one of them"
        )
    return Scan(len(parts), root)


def class_folders(source: Source, limits: ArchiveLimits, scanned: Scan, *, start: int = 0) -> Iterator[Entry]:
    """The files that count, from number `start` on; pictures in folders below belong to the class above.

    Raises as `scan`.
    """
    files = _files(source, limits, read=True, start=start)
    for number, (name, data) in enumerate(files, start=start):
        parts = PurePosixPath(name).parts[scanned.root :]
        if len(parts) < 2:
            yield Entry(number, name, "", b"", "it lies in no class folder")
        elif isinstance(data, str):
            yield Entry(number, name, parts[0], b"", data)
        else:
            yield Entry(number, name, parts[0], data)


def named_files(source: Source, limits: ArchiveLimits) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of each file that counts. Raises as `scan`, and for a file that cannot be taken."""
    for name, data in _files(source, limits, read=True):
        if isinstance(data, str):
            raise RequestError(f"{name!r} in this archive cannot be taken: {data}")
        yield name, data


def _files(
    source: Source, limits: ArchiveLimits, *, read: bool, start: int = 0
) -> Iterator[tuple[str, bytes | str]]:
    """Name, and bytes or what is wrong with them; b"" where they shall not be read."""
    count = -1
    with _explained(), source.open("rb") as file:
        most = min(limits.unpacked, max(_USUAL, _MOST_RATIO * file.seek(0, os.SEEK_END)))
        budget = _Budget(limits, most)
        file.seek(0)
        with _opened(file, limits, most) as members:
            for member in members:
                name = budget.admitted(member)
                if any(part.startswith(".") or part in _CLUTTER for part in PurePosixPath(name).parts):
                    continue
                count += 1
                if not read:
                    yield name, b""
                elif count >= start:
                    too_large = member.size > limits.file
                    yield name, f"it is larger than {limits.file:,} bytes" if too_large else member.read()


@contextmanager
def _opened(file: IO[bytes], limits: ArchiveLimits, most: int) -> Iterator[Iterator[Member]]:
    magic = file.read(2)
    file.seek(0)
    if magic == b"PK":
        yield zip_files(file, limits.files)
        return
    most += _TAR_BYTES * (limits.files + _TAR_BLOCKS)
    if magic == b"\x1f\x8b":
        with gzip.GzipFile(fileobj=file) as unpacked:
            yield tar_files(cast("IO[bytes]", unpacked), limits.file, most)
    else:
        yield tar_files(file, limits.file, most)


class _Budget:
    """What an archive has used of its limits.    most : bytes that it may unpack to."""

    def __init__(self, limits: ArchiveLimits, most: int) -> None:
        self._limits = limits
        self._most = most
        self._size = 0
        self._names: set[str] = set()

    def admitted(self, member: Member) -> str:
        """The name with "/" between folders. Raises RequestError for what must not be in an archive."""
        if len(member.name) > _LONGEST_NAME:
            raise RequestError(f"{shown(member.name)} has a name of over {_LONGEST_NAME} characters")
        path = PurePosixPath(member.name.replace("\\", "/"))
        name = str(path)
        if path.is_absolute() or ".." in path.parts or _DRIVE.match(name) or "\0" in name:
            raise RequestError(f"{shown(name)} leads out of the archive; make it with relative names")
        if len(path.parts) > _DEEPEST:
            raise RequestError(f"{shown(name)} lies over {_DEEPEST} folders deep; send the class folders")
        if name in self._names:
            raise RequestError(f"{shown(name)} stands twice in the archive; make it anew")
        self._names.add(name)
        if len(self._names) > self._limits.files:
            raise RequestError(f"the archive holds more than {self._limits.files:,} files; send it in parts")
        self._size += member.size
        if self._size > self._most:
            raise RequestError(
                f"the archive unpacks to more than {self._most:,} bytes, as much as it may; send it in parts"
            )
        return name


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (RequestError, StorageError):
        raise
    except (
        BadZipFile,
        TarError,
        gzip.BadGzipFile,
        zlib.error,
        EOFError,
        NotImplementedError,  # zipfile's, for what it cannot unpack
        RecursionError,  # tarfile's, for headers about headers
        OverflowError,
        ValueError,  # both's, for numbers and texts that make no sense
        struct.error,
    ) as exc:
        raise RequestError(
            f"this is no zip, tar or tar.gz, or it is damaged ({printable(str(exc))}); make the archive anew"
        ) from exc
    except OSError as exc:
        if exc.errno == EINVAL:  # zipfile seeks to where it is told
            raise RequestError("this archive is damaged: a place in it is none; make it anew") from exc
        raise StorageError(f"an upload cannot be read ({exc}); look at the disk") from exc
