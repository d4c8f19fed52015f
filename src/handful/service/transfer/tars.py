"""The plain files of a tar, in one way through it."""

import io
import tarfile
from collections.abc import Iterator
from functools import partial
from typing import IO

from handful.errors import RequestError
from handful.service.transfer.members import Member, shown

_HEADER_BYTES = 2**16  # that names and the like of one entry may take
_MOST_GLOBAL = 100  # settings for all entries
_BLOCK = 512


def tar_files(file: IO[bytes], most_of_file: int, most: int) -> Iterator[Member]:
    """most_of_file : bytes that are read of one.    most : bytes of all of the tar.

    Raises RequestError for entries that are no plain files, and headers or a whole that are too long;
    TarError for damage.
    """
    guarded = _Guarded(file, most)
    guarded.allowed = _HEADER_BYTES
    with tarfile.open(fileobj=guarded, mode="r:") as archive:
        member = archive.next()
        while member is not None:
            archive.members.clear()  # type: ignore[attr-defined]  # tarfile remembers all that it has seen
            if len(archive.pax_headers) > _MOST_GLOBAL:
                raise RequestError("this tar has too many settings for all entries; make the archive anew")
            if not member.isdir():
                if not member.isreg() or member.issparse():
                    raise RequestError(
                        f"{shown(member.name)} is a link, a device or sparse; put plain files there"
                    )
                guarded.allowed = most_of_file + _BLOCK
                yield Member(member.name, member.size, partial(_read, archive, member))
            guarded.allowed = _HEADER_BYTES
            member = archive.next()
        # tarfile takes anything that is no header for the end.
        guarded.seek(archive.offset)
        if guarded.read(_BLOCK).strip(b"\0"):
            raise RequestError("this tar is damaged: not all of it can be read; make the archive anew")


def _read(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes | str:
    opened = archive.extractfile(member)
    data = b"" if opened is None else opened.read()
    return data if len(data) == member.size else "it is cut off"


class _Guarded(io.RawIOBase):
    """A tar's bytes, in one direction.

    allowed : how many may be read until it is set again, so that no header makes tarfile take much memory.
    """

    def __init__(self, file: IO[bytes], most: int) -> None:
        self._file = file
        self._most = most
        self.allowed = 0

    def read(self, size: int = -1) -> bytes:
        self.allowed -= size
        if size < 0 or self.allowed < 0:
            raise RequestError("a header in this tar is far too long; make the archive anew")
        self._check(self._file.tell() + size)
        return self._file.read(size)

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_SET:
            self._check(offset)
        return self._file.seek(offset, whence)

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def _check(self, end: int) -> None:
        if end > self._most:
            raise RequestError(
                f"the archive unpacks to more than {self._most:,} bytes, as much as it may; send it in parts"
            )
