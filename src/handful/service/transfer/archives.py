"""Archives of others, read with distrust: nothing is unpacked to disk, and everything is counted."""

import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from handful.errors import RequestError
from handful.sources import printable

_END = b"PK\x05\x06"  # of a zip's end record
_END_BYTES, _COMMENT_BYTES = 22, 65535
_ENTRY_BYTES = 200  # of a zip's directory, on average at most
_SKIPPED = ("__MACOSX",)
_HEADER_BYTES = 2**20  # that a tar may spend on names and the like of one entry
_BLOCK = 512  # of a tar
_DEEPEST = 16  # folders


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveLimits:
    """files : at most.    unpacked : bytes of all files.    file : bytes of one."""

    files: int
    unpacked: int
    file: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of the archive.    data : None where it is larger than a file may be."""

    number: int
    name: str
    label: str | None
    data: bytes | None


def class_folders(path: Path, limits: ArchiveLimits, *, start: int = 0) -> Iterator[Entry]:
    """Files of a zip, tar or tar.gz of class folders, from the entry `start` on.

    label : the class folder's name, None for a file in none. One folder around all others is looked through.
    What begins with a dot, and __MACOSX, is left out.
    Raises RequestError, before the first entry, for an archive that is damaged, encrypted or too large, and
    for entries that are links or devices, leave the archive, or stand in it twice.
    """
    names = [name for name, _ in _files(path, limits, read=False)]
    root = _common_root(names)
    for number, (name, data) in enumerate(_files(path, limits, read=True, start=start), start=start):
        parts = PurePosixPath(name).parts[root:]
        yield Entry(number, name, parts[0] if len(parts) > 1 else None, data)


def named_files(path: Path, limits: ArchiveLimits) -> Iterator[tuple[str, bytes | None]]:
    """Name and bytes of each file, checked as `class_folders` does."""
    for _ in _files(path, limits, read=False):
        pass
    yield from _files(path, limits, read=True)


def count_files(path: Path, limits: ArchiveLimits) -> int:
    """How many entries `class_folders` gives."""
    return sum(1 for _ in _files(path, limits, read=False))


def _files(
    path: Path, limits: ArchiveLimits, *, read: bool, start: int = 0
) -> Iterator[tuple[str, bytes | None]]:
    with path.open("rb") as file, _explained():
        magic = file.read(4)
        file.seek(0)
        if magic[:2] == b"PK":
            found = _zip_files(file, limits, read, start)
        elif magic[:2] == b"\x1f\x8b":
            with gzip.GzipFile(fileobj=file) as unpacked:
                yield from _tar_files(unpacked, limits, read, start)
                return
        else:
            found = _tar_files(file, limits, read, start)
        yield from found


def _zip_files(
    file: IO[bytes], limits: ArchiveLimits, read: bool, start: int
) -> Iterator[tuple[str, bytes | None]]:
    _check_directory(file, limits)
    with zipfile.ZipFile(file) as archive:
        infos = [info for info in archive.infolist() if not info.is_dir()]
        budget = _Budget(limits)
        wanted = -1
        for info in infos:
            budget.file(info.filename)
            if info.flag_bits & 1:
                raise RequestError(
                    f"{_shown(info.filename)} is encrypted; make the archive without a password"
                )
            if (info.external_attr >> 16) & 0o170000 == 0o120000:
                raise RequestError(f"{_shown(info.filename)} is a link; put the file itself into the archive")
            budget.claim(info.file_size)
            if _left_out(info.filename):
                continue
            wanted += 1
            if not read:
                yield info.filename, None
            elif wanted >= start:
                with archive.open(info) as member:
                    yield info.filename, budget.read(member)


def _check_directory(file: IO[bytes], limits: ArchiveLimits) -> None:
    """Before the zip's directory is read into memory."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - _END_BYTES - _COMMENT_BYTES))
    tail = file.read()
    at = tail.rfind(_END)
    if at < 0 or len(tail) - at < _END_BYTES:
        raise RequestError("this zip is cut off: its directory is missing; send it whole")
    count, length = struct.unpack_from("<HL", tail, at + 10)
    if (
        length == 0xFFFFFFFF
        or length > _ENTRY_BYTES * limits.files
        or (count != 0xFFFF and count > limits.files)
    ):
        raise RequestError(f"this zip holds more than {limits.files:,} files; send it in parts")
    file.seek(0)


def _tar_files(
    file: IO[bytes] | gzip.GzipFile, limits: ArchiveLimits, read: bool, start: int
) -> Iterator[tuple[str, bytes | None]]:
    budget = _Budget(limits)
    guarded = _Guarded(file, limits)
    wanted = -1
    with tarfile.open(fileobj=guarded, mode="r:") as archive:
        for member in archive:
            archive.members.clear()  # type: ignore[attr-defined]  # tarfile remembers all that it has seen
            if member.isdir():
                continue
            budget.file(member.name)
            if not member.isfile():
                raise RequestError(
                    f"{_shown(member.name)} is a link or a device; put plain files into the archive"
                )
            budget.claim(member.size)
            if _left_out(member.name):
                continue
            wanted += 1
            if not read:
                yield member.name, None
            elif wanted >= start:
                opened = archive.extractfile(member)
                yield member.name, None if opened is None else budget.read(opened)


class _Budget:
    """What an archive has used of its limits."""

    def __init__(self, limits: ArchiveLimits) -> None:
        self._limits = limits
        self._claimed = 0
        self._read = 0
        self._names: Counter[str] = Counter()

    def file(self, name: str) -> None:
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or ":" in name.split("/")[0] or "\0" in name:
            raise RequestError(f"{_shown(name)} leads out of the archive; make it with relative names")
        if len(path.parts) > _DEEPEST:
            raise RequestError(f"{_shown(name)} lies more than {_DEEPEST} folders deep")
        self._names[name] += 1
        if self._names[name] > 1:
            raise RequestError(f"{_shown(name)} stands twice in the archive")
        if len(self._names) > self._limits.files:
            raise RequestError(f"the archive holds more than {self._limits.files:,} files; send it in parts")

    def claim(self, size: int) -> None:
        self._claimed += size
        if self._claimed > self._limits.unpacked:
            raise RequestError(
                f"the archive unpacks to more than {self._limits.unpacked:,} bytes; send it in parts"
            )

    def read(self, member: IO[bytes]) -> bytes | None:
        """Its bytes, or None where they are too many, whatever the archive claims."""
        data = member.read(self._limits.file + 1)
        self._read += len(data)
        if self._read > self._limits.unpacked:
            raise RequestError(
                f"the archive unpacks to more than {self._limits.unpacked:,} bytes; send it in parts"
            )
        return None if len(data) > self._limits.file else data


class _Guarded(io.RawIOBase):
    """A tar's bytes; refuses to read more at once than a file or a header may have, and more than allowed."""

    def __init__(self, file: IO[bytes] | gzip.GzipFile, limits: ArchiveLimits) -> None:
        self._file = file
        self._most_at_once = max(limits.file + 1, _HEADER_BYTES)
        self._most = limits.unpacked + 3 * _BLOCK * (limits.files + 1)

    def read(self, size: int = -1) -> bytes:
        if size < 0 or size > self._most_at_once:
            raise RequestError("a header in this archive is far too long; make the archive anew")
        return self._file.read(size)

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_SET and offset > self._most:
            raise RequestError(f"the archive unpacks to more than {self._most:,} bytes; send it in parts")
        return self._file.seek(offset, whence)

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True


def _common_root(names: list[str]) -> int:
    """1 where all files lie in folders of one folder."""
    parts = [PurePosixPath(name).parts for name in names]
    shared = {own[0] for own in parts}
    return int(len(shared) == 1 and bool(parts) and min(len(own) for own in parts) > 2)


def _left_out(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return any(part.startswith(".") or part in _SKIPPED for part in parts)


def _shown(name: str) -> str:
    return f"the entry {printable(name)[:100]!r}"


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (
        zipfile.BadZipFile,
        tarfile.TarError,
        gzip.BadGzipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        struct.error,
        UnicodeError,
    ) as exc:
        raise RequestError(
            f"this is no zip, tar or tar.gz, or it is damaged ({printable(str(exc))}); make the archive anew"
        ) from exc
