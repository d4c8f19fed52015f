"""A classifier as one file: a zip of JSON, safetensors and pictures, verified when it is read.

images/<shot>.jpg      kept pictures
rows.safetensors       X (R, D) float16, and how many rows each shot has
heads/<version>        the head that answers
manifest.json          format, classifier, classes, shots, heads, and the sha256 of all other files
"""

import io
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from handful.containers import format_of
from handful.errors import HeadError, ImageError, RequestError
from handful.images import Limits, measure
from handful.service.support import packed_rows, unpacked_rows
from handful.service.transfer.archives import ArchiveLimits, named_files
from handful.service.transfer.uploads import Source
from handful.storage.records import ClassifierRecord, ClassRecord, HeadRecord, ShotRecord, Support
from handful.tensors import pack, unpack

_FORMAT, VERSION = "handful.package", 1
_MANIFEST, _ROWS, _IMAGES = "manifest.json", "rows.safetensors", "images/"
_MOST_IN_MEMORY = 2**28  # bytes of rows and heads
_LONGEST_MANIFEST = 2**26  # bytes

Kept = tuple[HeadRecord, bytes]


class Manifest(BaseModel):
    """What a package says of itself."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    format: str
    classifier: ClassifierRecord
    classes: list[ClassRecord]
    shots: list[ShotRecord]
    heads: list[HeadRecord]
    files: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A package that fits together.    pictures : digests of kept pictures, by their shots."""

    classifier: ClassifierRecord
    classes: Sequence[ClassRecord]
    shots: Sequence[ShotRecord]
    heads: Sequence[Kept]
    pictures: dict[str, str]


class Writer:
    """Writes a package part by part; each method gives the bytes that are ready by then."""

    def __init__(self, support: Support, heads: Sequence[Kept]) -> None:
        self._outlet = _Outlet()
        self._zip = zipfile.ZipFile(self._outlet, "w", zipfile.ZIP_STORED)
        self._support = support
        self._heads = heads
        self._files: dict[str, str] = {}

    def image(self, shot: str, data: bytes) -> bytes:
        """A kept picture."""
        return self._written(f"{_IMAGES}{shot}.jpg", data)

    def finish(self) -> Iterator[bytes]:
        """All else."""
        rows = [unpacked_rows(shot.rows) for shot in self._support.shots]
        X = np.concatenate(rows) if rows else np.zeros((0, 0), np.float16)
        counts = np.array([len(part) for part in rows], np.int64)
        yield self._written(_ROWS, pack("rows", VERSION, {"X": X, "counts": counts}, {}))
        for head, data in self._heads:
            yield self._written(f"heads/{head.version}", data)
        manifest = Manifest(
            format=f"{_FORMAT}/{VERSION}",
            classifier=self._support.classifier,
            classes=list(self._support.classes),
            shots=[replace(shot, rows=b"") for shot in self._support.shots],
            heads=[head for head, _ in self._heads],
            files=self._files,
        )
        self._zip.writestr(_MANIFEST, manifest.model_dump_json(), zipfile.ZIP_DEFLATED)
        self._zip.close()
        yield self._outlet.taken()

    def _written(self, name: str, data: bytes) -> bytes:
        self._zip.writestr(name, data)
        self._files[name] = sha256(data).hexdigest()
        return self._outlet.taken()


class _Outlet(io.RawIOBase):
    """Where a zip is written that nobody keeps as a whole."""

    def __init__(self) -> None:
        self._ready = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:  # Any: collections.abc.Buffer, which Python 3.11 lacks
        self._ready += data
        return memoryview(data).nbytes

    def taken(self) -> bytes:
        """What was written since the last time."""
        ready = bytes(self._ready)
        self._ready.clear()
        return ready


def read_package(source: Source, limits: ArchiveLimits, pictures: Limits) -> Package:
    """Read all of it once; pictures are looked at and not kept.

    Raises RequestError for anything missing, changed, newer, or that does not fit together.
    """
    parts: dict[str, bytes] = {}
    digests: dict[str, str] = {}
    for name, data in named_files(source, limits):
        digests[name] = sha256(data).hexdigest()
        if name.startswith(_IMAGES):
            _check_picture(name, data, pictures)
            continue
        parts[name] = data
        if sum(map(len, parts.values())) > _MOST_IN_MEMORY:
            raise RequestError(f"this package holds over {_MOST_IN_MEMORY:,} bytes beside pictures")
    if _MANIFEST not in parts:
        raise RequestError(f"this archive holds no {_MANIFEST}; give the file that an export made")
    manifest = _manifest(parts.pop(_MANIFEST))
    del digests[_MANIFEST]
    for name, digest in manifest.files.items():
        if name not in digests:
            raise RequestError(f"{name!r} is missing in this package; export it again")
        if digests[name] != digest:
            raise RequestError(f"{name!r} in this package was changed; export it again")
    if strangers := digests.keys() - manifest.files.keys():
        raise RequestError(f"{min(strangers)!r} does not belong to this package; export it again")
    try:
        return _package(manifest, parts, digests)
    except (HeadError, KeyError, ValueError) as exc:
        raise RequestError(f"this package does not fit together ({exc}); export it again") from exc


def pictures_of(source: Source, limits: ArchiveLimits, package: Package) -> Iterator[tuple[str, bytes]]:
    """Shot and bytes of each kept picture of a package that was read."""
    for name, data in named_files(source, limits):
        shot = name.removeprefix(_IMAGES).removesuffix(".jpg")
        if name.startswith(_IMAGES) and package.pictures.get(shot) == sha256(data).hexdigest():
            yield shot, data


def _check_picture(name: str, data: bytes, limits: Limits) -> None:
    try:
        measure(data, limits=limits)
    except ImageError as exc:
        raise RequestError(f"{name!r} in this package is no picture: {exc}") from exc
    if format_of(data) != "JPEG":
        raise RequestError(f"{name!r} in this package is no JPEG; export it again")


def _manifest(data: bytes) -> Manifest:
    if len(data) > _LONGEST_MANIFEST:
        raise RequestError(f"the manifest of this package has over {_LONGEST_MANIFEST:,} bytes")
    try:
        manifest = Manifest.model_validate_json(data)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False)[0]
        where = "/".join(map(str, first["loc"]))
        raise RequestError(f"the manifest of this package is damaged: {where}: {first['msg']}") from None
    kind, _, number = manifest.format.rpartition("/")
    if kind != _FORMAT or not number.isdecimal():
        raise RequestError(
            f"this is a {manifest.format[:80]!r}, no {_FORMAT}; give the file that an export made"
        )
    if int(number) > VERSION:
        raise RequestError(
            f"this package has format version {number}, newer than {VERSION}, the newest that this build "
            "reads; upgrade Handful"
        )
    return manifest


def _package(manifest: Manifest, parts: dict[str, bytes], digests: dict[str, str]) -> Package:
    arrays, _ = unpack("rows", VERSION, parts.pop(_ROWS))
    X, counts = arrays["X"], arrays["counts"]
    shots = manifest.shots
    if X.dtype != np.float16 or X.ndim != 2 or counts.dtype != np.int64 or counts.shape != (len(shots),):
        raise ValueError(f"rows of shape {X.shape} for {len(shots)} shots")
    if len(shots) and (counts.min() < 1 or counts.max() > len(X) or counts.sum() != len(X)):
        raise ValueError(f"{len(X)} rows are not those of {len(shots)} shots")
    if len(X) and np.abs(X.astype(np.float32)).max(axis=1).min() <= 0:
        raise ValueError("a row is zero")
    keys = {one.key for one in manifest.classes}
    ids = {shot.id for shot in shots}
    if len(keys) != len(manifest.classes) or len(ids) != len(shots):
        raise ValueError("a class or a shot stands in it twice")
    if strangers := [shot.id for shot in shots if shot.class_key not in keys]:
        raise ValueError(f"shot {strangers[0]!r} is of no class")
    heads = [(head, parts.pop(f"heads/{head.version}")) for head in manifest.heads]
    if parts:
        raise ValueError(f"{min(parts)!r} is nothing that a package has")
    pictures = {
        name.removeprefix(_IMAGES).removesuffix(".jpg"): digest
        for name, digest in digests.items()
        if name.startswith(_IMAGES)
    }
    if strange := pictures.keys() - ids:
        raise ValueError(f"a picture is of {min(strange)!r}, which is no shot")
    halves = X.astype(np.float16, copy=False)
    ends = np.cumsum(counts).tolist()
    return Package(
        classifier=manifest.classifier,
        classes=manifest.classes,
        shots=[
            replace(shot, rows=packed_rows(halves[end - count : end]))
            for shot, count, end in zip(shots, counts.tolist(), ends, strict=True)
        ],
        heads=heads,
        pictures=pictures,
    )
