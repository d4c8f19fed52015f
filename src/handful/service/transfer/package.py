"""A classifier as one file: a zip of JSON, safetensors and pictures, verified when it is read.

manifest.json          format, classifier, classes, shots, heads, and the sha256 of all other files
rows.safetensors       X (R, D) float16, and how many rows each shot has
images/<shot>.jpg      kept pictures
heads/<version>        the head that answers, where it was trained or activated by hand
"""

import zipfile
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import IO

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from handful.errors import HeadError, RequestError
from handful.service.heads import packed_rows, unpacked_rows
from handful.service.transfer.archives import ArchiveLimits, named_files
from handful.storage.records import ClassifierRecord, ClassRecord, HeadRecord, ShotRecord, Support
from handful.tensors import pack, unpack

_FORMAT, VERSION = "handful.package", 1
_MANIFEST, _ROWS = "manifest.json", "rows.safetensors"


class Manifest(BaseModel):
    """What a package says of itself."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    format: str
    classifier: ClassifierRecord
    classes: list[ClassRecord]
    shots: list[ShotRecord]
    heads: list[HeadRecord]
    files: dict[str, str]


class Package(BaseModel):
    """A package that was read and verified."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    classifier: ClassifierRecord
    classes: list[ClassRecord]
    shots: list[ShotRecord]
    heads: list[tuple[HeadRecord, bytes]]
    images: dict[str, bytes]


class Writer:
    """Writes a package into an open file, part by part; `finish` writes the manifest."""

    def __init__(self, file: IO[bytes], support: Support, heads: list[tuple[HeadRecord, bytes]]) -> None:
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_STORED)
        self._support = support
        self._heads = heads
        self._files: dict[str, str] = {}

    def image(self, shot: str, data: bytes) -> None:
        """A kept picture."""
        self._write(f"images/{shot}.jpg", data)

    def finish(self) -> None:
        """All else."""
        rows = [unpacked_rows(shot.rows) for shot in self._support.shots]
        X = np.concatenate(rows) if rows else np.zeros((0, 0), np.float16)
        counts = np.array([len(part) for part in rows], np.int64)
        self._write(_ROWS, pack("rows", VERSION, {"X": X, "counts": counts}, {}))
        for head, data in self._heads:
            self._write(f"heads/{head.version}", data)
        manifest = Manifest(
            format=f"{_FORMAT}/{VERSION}",
            classifier=self._support.classifier,
            classes=list(self._support.classes),
            shots=[_without_rows(shot) for shot in self._support.shots],
            heads=[head for head, _ in self._heads],
            files=self._files,
        )
        self._zip.writestr(_MANIFEST, manifest.model_dump_json(indent=1))
        self._zip.close()

    def _write(self, name: str, data: bytes) -> None:
        self._zip.writestr(name, data)
        self._files[name] = sha256(data).hexdigest()


def read_package(path: Path, limits: ArchiveLimits) -> Package:
    """Raises RequestError for anything missing, changed, newer or foreign."""
    parts: dict[str, bytes] = {}
    for name, data in named_files(path, limits):
        if data is None:
            raise RequestError(f"{name!r} in this package is larger than a file in one may be")
        parts[name] = data
    if _MANIFEST not in parts:
        raise RequestError(f"this archive holds no {_MANIFEST}; give the file that an export made")
    manifest = _manifest(parts.pop(_MANIFEST))
    for name, digest in manifest.files.items():
        if name not in parts:
            raise RequestError(f"{name!r} is missing in this package; export it again")
        if sha256(parts[name]).hexdigest() != digest:
            raise RequestError(f"{name!r} in this package was changed; export it again")
    if strangers := parts.keys() - manifest.files.keys():
        raise RequestError(f"{min(strangers)!r} does not belong to this package; export it again")
    try:
        return _package(manifest, parts)
    except (HeadError, KeyError, ValueError) as exc:
        raise RequestError(f"this package does not fit together ({exc}); export it again") from exc


def _manifest(data: bytes) -> Manifest:
    try:
        manifest = Manifest.model_validate_json(data)
    except ValidationError as exc:
        first = exc.errors()[0]
        where = "/".join(map(str, first["loc"]))
        raise RequestError(f"the manifest of this package is damaged: {where}: {first['msg']}") from None
    kind, _, number = manifest.format.rpartition("/")
    if kind != _FORMAT or not number.isdecimal():
        raise RequestError(f"this is a {manifest.format!r}, no {_FORMAT}; give the file that an export made")
    if int(number) > VERSION:
        raise RequestError(
            f"this package has format version {number}, newer than {VERSION}, the newest that this build "
            "reads; upgrade Handful"
        )
    return manifest


def _package(manifest: Manifest, parts: dict[str, bytes]) -> Package:
    arrays, _ = unpack("rows", VERSION, parts[_ROWS])
    X, counts = np.asarray(arrays["X"]), np.asarray(arrays["counts"], np.int64)
    if (
        X.dtype != np.float16
        or X.ndim != 2
        or counts.shape != (len(manifest.shots),)
        or counts.sum() != len(X)
    ):
        raise ValueError(f"rows of shape {X.shape} for {len(manifest.shots)} shots")
    if len(counts) and (counts < 1).any():
        raise ValueError("a shot has no row")
    keys = {one.key for one in manifest.classes}
    names = {one.name for one in manifest.classes}
    ids = {shot.id for shot in manifest.shots}
    if len(keys) != len(manifest.classes) or len(names) != len(keys) or len(ids) != len(manifest.shots):
        raise ValueError("a class or a shot stands in it twice")
    if strangers := [shot.id for shot in manifest.shots if shot.class_key not in keys]:
        raise ValueError(f"shot {strangers[0]!r} is of no class")
    ends = np.cumsum(counts)
    shots = [
        _with_rows(shot, X[end - count : end])
        for shot, count, end in zip(manifest.shots, counts.tolist(), ends.tolist(), strict=True)
    ]
    return Package(
        classifier=manifest.classifier,
        classes=manifest.classes,
        shots=shots,
        heads=[(head, parts[f"heads/{head.version}"]) for head in manifest.heads],
        images={
            shot.id: parts[f"images/{shot.id}.jpg"] for shot in shots if f"images/{shot.id}.jpg" in parts
        },
    )


def _without_rows(shot: ShotRecord) -> ShotRecord:
    return replace(shot, rows=b"")


def _with_rows(shot: ShotRecord, X: np.ndarray) -> ShotRecord:
    return replace(shot, rows=packed_rows(X))
