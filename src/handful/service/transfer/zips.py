"""The plain files of a zip, by its directory."""

import stat
import zipfile
import zlib
from collections.abc import Iterator
from functools import partial
from typing import IO

from handful.errors import RequestError
from handful.service.transfer.members import Member, shown
from handful.sources import printable

_ENTRY_BYTES = 200  # of the directory, for a file, on average at most
_DIRECTORY_BYTES = 2**16  # that any zip's directory may have
_SIZE = 5  # place of the directory's size in the end record
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1  # flag bit


def zip_files(file: IO[bytes], most: int) -> Iterator[Member]:
    """Raises RequestError for a directory of far more than `most` files, before it is read into memory, and
    for entries that are encrypted, no plain files, or packed in an unusual way; BadZipFile for damage.
    """
    _check_directory(file, most)
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            if info.is_dir():
                continue
            if info.flag_bits & _ENCRYPTED:
                raise RequestError(f"{shown(info.filename)} is encrypted; make a zip without a password")
            if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
                raise RequestError(
                    f"{shown(info.filename)} is a link or a device; put plain files into the archive"
                )
            if info.compress_type not in _METHODS:  # others need memory that the archive may choose
                raise RequestError(f"{shown(info.filename)} is neither stored nor deflated; make a plain zip")
            yield Member(info.filename, info.file_size, partial(_read, archive, info))


def _check_directory(file: IO[bytes], most: int) -> None:
    # zipfile's own search, since it must be the very record that zipfile goes by: a second one, or one of
    # zip64, could say something else.
    end = zipfile._EndRecData(file)  # type: ignore[attr-defined]
    if not end:
        raise RequestError("this zip is cut off: its directory is missing; send it whole")
    if end[_SIZE] > _DIRECTORY_BYTES + _ENTRY_BYTES * most:
        raise RequestError(f"this zip's directory is too long for {most:,} files; send it in parts")
    file.seek(0)


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes | str:
    """At most the size that the directory claims; zipfile holds it to that."""
    try:
        return archive.read(info)
    except (zipfile.BadZipFile, zlib.error, EOFError) as exc:
        return f"it is damaged in the archive ({printable(str(exc))})"
