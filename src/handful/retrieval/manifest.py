"""What the folder of an index holds: one JSON file, replaced as a whole, that names all others."""

import json
import os
import secrets
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt, ValidationError

from handful.errors import RetrievalError
from handful.folders import sync_folder

MANIFEST = "index.json"
DRAFT = "building.json"  # of a build that is not over
UNFINISHED = ".part-"  # how files begin that are written to
_FORMAT = "handful.class-index"
_VERSION = 1
_CHUNK = 2**22  # bytes that are digested together
_AGAIN = "build the index again from its rows"


class FileRecord(BaseModel):
    """A file of the folder, which is never written to again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    size: NonNegativeInt
    sha256: str


class SegmentRecord(BaseModel):
    """Rows of consecutive positions, from `start` on.    codes : None where every row is looked at."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    start: NonNegativeInt
    count: PositiveInt
    values: FileRecord
    scales: FileRecord
    codes: FileRecord | None

    @property
    def files(self) -> list[FileRecord]:
        """Two or three."""
        return [file for file in (self.values, self.scales, self.codes) if file is not None]


class Manifest(BaseModel):
    """All that is there.    segments : one after the other.    removed : a bit for each position, or None."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dimension: PositiveInt
    segment_rows: PositiveInt
    sketch: FileRecord
    segments: tuple[SegmentRecord, ...] = ()
    removed: FileRecord | None = None

    @property
    def count(self) -> int:
        """Positions given so far."""
        return self.segments[-1].start + self.segments[-1].count if self.segments else 0

    @property
    def files(self) -> list[FileRecord]:
        """What the folder has to hold."""
        own = [self.sketch] if self.removed is None else [self.sketch, self.removed]
        return own + [file for segment in self.segments for file in segment.files]

    def write(self, folder: Path, name: str = MANIFEST) -> None:
        """In the place of the folder's manifest, through to the disk."""
        told = self.model_dump() | {"format": f"{_FORMAT}/{_VERSION}"}
        data = json.dumps(told | {"sha256": _digest(told)}, indent=1).encode()
        draft = folder / f"{UNFINISHED}{secrets.token_hex(4)}"
        _write(draft, lambda path: path.write_bytes(data))
        draft.replace(folder / name)
        sync_folder(folder)

    @classmethod
    def read(cls, folder: Path, name: str = MANIFEST) -> Self:
        """Raises RetrievalError where there is none, it is damaged or of a newer format, or a file that it
        names is not there in full."""
        path = folder / name
        try:
            data = path.read_bytes()
        except OSError as exc:
            raise RetrievalError(
                f"{folder} holds no index of class rows ({name}: {exc.strerror}); {_AGAIN}"
            ) from None
        try:
            told = json.loads(data)
            kind, _, version = told.pop("format").rpartition("/")
            if kind != _FORMAT:
                raise ValueError(f"its format is {kind!r}, not {_FORMAT!r}")
            if int(version) > _VERSION:
                raise RetrievalError(
                    f"{path} has format version {version}, newer than {_VERSION}, the newest that this build "
                    f"reads; upgrade Handful, or {_AGAIN}"
                )
            digest = told.pop("sha256")
            if digest != _digest(told | {"format": f"{kind}/{version}"}):
                raise ValueError("it changed since it was written")
            manifest = cls.model_validate(told)
            manifest.check(folder)
        except RetrievalError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, ValidationError) as exc:
            raise RetrievalError(f"{path} is damaged ({type(exc).__name__}: {exc}); {_AGAIN}") from None
        return manifest

    def check(self, folder: Path) -> None:
        """Raises RetrievalError where segments do not follow each other, or a file is not there in full."""
        expected = 0
        for segment in self.segments:
            if segment.start != expected or segment.count > self.segment_rows:
                raise RetrievalError(
                    f"the index in {folder} is damaged: a segment of {segment.count} rows begins at "
                    f"{segment.start}, not at {expected}; {_AGAIN}"
                )
            expected += segment.count
        for file in self.files:
            path = folder / file.name
            if path.name != file.name:  # a name with a folder in it would lead elsewhere
                raise RetrievalError(f"the index in {folder} names the file {file.name!r}; {_AGAIN}")
            try:
                size = path.stat().st_size
            except OSError as exc:
                raise RetrievalError(f"{path} of an index is missing ({exc.strerror}); {_AGAIN}") from None
            if size != file.size:
                raise RetrievalError(
                    f"{path} of an index is damaged: it has {size:,} bytes, not {file.size:,}; {_AGAIN}"
                )

    def sweep(self, folder: Path, *others: str) -> None:
        """Delete the folder's files of older states, and those that a kill cut off; `others` stay."""
        named = {file.name for file in self.files} | {MANIFEST, *others}
        for path in folder.iterdir():
            if path.name not in named and path.is_file():
                path.unlink(missing_ok=True)


def write_file(folder: Path, stem: str, suffix: str, write: Callable[[Path], object]) -> FileRecord:
    """Let `write` fill a file under a name that was never used, through to the disk."""
    draft = folder / f"{UNFINISHED}{secrets.token_hex(4)}{suffix}"
    _write(draft, write)
    name = f"{stem}-{secrets.token_hex(4)}{suffix}"
    record = FileRecord(name=name, size=draft.stat().st_size, sha256=digest_of(draft))
    draft.replace(folder / name)
    return record


def digest_of(path: Path) -> str:
    """SHA-256 of a file."""
    digest = sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def check_digest(folder: Path, file: FileRecord) -> None:
    """Raises RetrievalError where a file is not what was written."""
    if digest_of(folder / file.name) != file.sha256:
        raise RetrievalError(
            f"{folder / file.name} of an index is damaged: some of it changed since it was written; {_AGAIN}"
        )


def _write(path: Path, write: Callable[[Path], object]) -> None:
    write(path)
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _digest(told: dict[str, object]) -> str:
    return sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
