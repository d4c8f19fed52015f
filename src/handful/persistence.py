"""A classifier as a folder: what it was told, its head and shots, a card for people. Never a pickle.

config.json              parameters, classes, shots, and the sha256 of the other files
model.safetensors        the head with the rows of its support
background.safetensors   how the encoder sees pictures of anything, where it says so
README.md                the model card, as the Hugging Face hub reads it
thumbnails/<shot>.jpg    the shots, small, where they were kept
"""

import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from handful.adapters.head import Head
from handful.adapters.methods import method_named
from handful.background import Background
from handful.card import model_card
from handful.errors import HandfulError, HeadError, ModelError
from handful.folders import replace_folder, standing, write_durably
from handful.labels import Label, native
from handful.learnt import EncoderKey, Learnt
from handful.rows import Rows
from handful.shots import Shot, Shots
from handful.tensors import unpack
from handful.thumbnails import Keepsake, read_thumbnail

VERSION = 1
_FORMAT = "handful.classifier"
_CONFIG, _MODEL, _BACKGROUND, _CARD, _THUMBNAILS = (
    "config.json",
    "model.safetensors",
    "background.safetensors",
    "README.md",
    "thumbnails",
)


class _Saved(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)


class Parameters(_Saved):
    """The classifier's parameters, but for encoder and classes; options as plain values."""

    method: str
    views: str
    descriptions: list[tuple[Label, list[str]]] | None
    templates: str | list[str]
    domain: str | None
    use_text: bool
    unknown_threshold: Annotated[float, Field(ge=0, le=1)]
    options: dict[str, bool | int | float | str | None] | None

    def method_options(self) -> Any:
        """The method's options object, or None. TypeError where they do not fit."""
        return None if self.options is None else method_named(self.method).options(**self.options)


def save(
    folder: str | os.PathLike[str],
    parameters: Parameters,
    learnt: Learnt,
    *,
    version: str,
    thumbnails: Iterable[tuple[str, bytes]] = (),
) -> None:
    """Write a taught classifier; the folder holds either all of it or what it held before.

    version : of Handful, for the reader.    thumbnails : shot id and JPEG.
    A saved classifier in its place is replaced. Files that are not its own (`.git`, notes) stay, and so does
    a README.md that was edited by hand.
    Raises ModelError where the folder holds anything else, or cannot be written.
    """
    target = Path(folder).resolve()
    with _as_model_error(f"{target} cannot be written"):
        old = _own_files(standing(target))
        card = _edited_card(standing(target), old)
        replace_folder(
            target,
            lambda fresh: _write(fresh, parameters, learnt, version, thumbnails, card),
            own={*old, _CONFIG, _THUMBNAILS},
        )


def read(folder: str | os.PathLike[str]) -> tuple[Parameters, Learnt]:
    """Read what `save` wrote. Raises ModelError for anything missing, changed, newer or foreign."""
    source = _found(Path(folder))
    with _as_model_error(f"{source} cannot be read"):
        config = _config(source)
        data = _checked(source, _MODEL, config.files)
        background = _checked(source, _BACKGROUND, config.files) if _BACKGROUND in config.files else None
        try:
            config.parameters.method_options()
            return config.parameters, _learnt(config, data, background)
        except (HandfulError, ValueError, TypeError, KeyError, IndexError) as exc:
            raise ModelError(
                f"{source} holds a classifier that does not fit together ({exc}); save it again"
            ) from exc


def kept_thumbnail(folder: str | os.PathLike[str], shot_id: str) -> Keepsake:
    """The thumbnail of a shot of a saved classifier."""
    return partial(read_thumbnail, Path(folder).absolute() / _THUMBNAILS / f"{shot_id}.jpg")


# ---- writing


def _write(
    folder: Path,
    parameters: Parameters,
    learnt: Learnt,
    version: str,
    thumbnails: Iterable[tuple[str, bytes]],
    card: bytes | None,
) -> None:
    digests: dict[str, str] = {}

    def write(name: str, data: bytes) -> None:
        write_durably(folder / name, data)
        digests[name] = sha256(data).hexdigest()

    write(_MODEL, learnt.head.to_bytes())
    if learnt.background is not None:
        write(_BACKGROUND, learnt.background.to_bytes())
    shots = Counter(shot.label for shot in learnt.shots.table)
    classes = [native(label) for label in learnt.classes]
    made = model_card(
        [str(label) for label in classes],
        [shots[label] for label in classes],
        method=parameters.method,
        encoder=None if learnt.encoder is None else learnt.encoder.name,
    ).encode()
    write(_CARD, card or made)
    digests[_CARD] = sha256(made).hexdigest()  # a card edited by hand differs from it, and so is kept
    for shot_id, jpeg in thumbnails:
        write_durably(folder / _THUMBNAILS / f"{shot_id}.jpg", jpeg)
    config = _Config.of(parameters, learnt, version, digests).model_dump()
    write_durably(folder / _CONFIG, json.dumps(config, indent=1, ensure_ascii=False).encode())


def _own_files(target: Path) -> dict[str, str]:
    """Files of the saved classifier that is there, with their digests."""
    if not target.exists():
        return {}
    if not target.is_dir():
        raise ModelError(f"{target} is a file; give the name of a folder")
    if not any(target.iterdir()):
        return {}
    try:
        return _config(target, newest=None).files
    except ModelError:
        raise ModelError(
            f"{target} holds other things than a saved classifier; give a new or an empty folder"
        ) from None


def _edited_card(target: Path, files: Mapping[str, str]) -> bytes | None:
    card = target / _CARD
    if _CARD not in files or not card.is_file():
        return None
    data = card.read_bytes()
    return None if sha256(data).hexdigest() == files[_CARD] else data


# ---- reading


class _SavedShot(_Saved):
    id: Annotated[str, Field(pattern=r"^[\w\-]{1,64}$")]  # it names a file
    label: Annotated[int, Field(ge=0)]  # place among the classes
    source: str
    sha256: str
    group: str
    rows: Annotated[int, Field(ge=1)]


class _Config(_Saved):
    format: str
    handful: str  # the version that wrote it
    encoder: EncoderKey | None
    parameters: Parameters
    classes: list[Label]
    named: list[Label]
    shots: list[_SavedShot]
    files: dict[str, str]  # name → sha256

    @classmethod
    def of(cls, parameters: Parameters, learnt: Learnt, version: str, files: dict[str, str]) -> "_Config":
        places = {native(label): at for at, label in enumerate(learnt.classes)}
        return cls(
            format=f"{_FORMAT}/{VERSION}",
            handful=version,
            encoder=learnt.encoder,
            parameters=parameters,
            classes=list(places),
            named=[native(label) for label in learnt.named],
            shots=[
                _SavedShot(**(asdict(shot) | {"label": places[shot.label], "rows": int(rows)}))
                for shot, rows in zip(learnt.shots.table, learnt.shots.rows, strict=True)
            ],
            files=files,
        )


def _found(folder: Path) -> Path:
    found = standing(folder)
    if not found.is_dir():
        what = "is a file, not a folder" if found.exists() else "is not there"
        raise ModelError(f"{str(folder)!r} {what}; give the folder that save() made")
    return found


def _config(folder: Path, newest: int | None = VERSION) -> _Config:
    try:
        said = json.loads((folder / _CONFIG).read_bytes())
    except FileNotFoundError:
        raise ModelError(f"{folder} holds no {_CONFIG}; give the folder that save() made") from None
    except (ValueError, RecursionError) as exc:
        raise ModelError(f"{folder / _CONFIG} is no JSON ({exc}); save the classifier again") from None
    kind, _, number = str(said.get("format") if isinstance(said, dict) else None).rpartition("/")
    if kind != _FORMAT or not number.isdecimal():
        raise ModelError(
            f"{folder / _CONFIG} is not of a classifier of Handful; give a folder that save() made"
        )
    if newest is not None and int(number) > newest:
        raise ModelError(
            f"{folder} has format version {number}, newer than {newest}, the newest that this build reads; "
            "upgrade Handful"
        )
    try:
        return _Config.model_validate(said)
    except ValidationError as exc:
        wrong = exc.errors()[0]
        where = ".".join(map(str, wrong["loc"]))
        raise ModelError(
            f"{folder / _CONFIG} is damaged at {where!r} ({wrong['msg']}); save the classifier again"
        ) from None


def _checked(folder: Path, name: str, files: Mapping[str, str]) -> bytes:
    try:
        data = (folder / name).read_bytes()
    except FileNotFoundError:
        raise ModelError(f"{folder} has no {name}; copy the whole folder") from None
    if sha256(data).hexdigest() != files.get(name):
        raise ModelError(
            f"{folder / name} is not what was saved: {_CONFIG} has another sha256; copy the folder again"
        )
    return data


def _learnt(config: _Config, data: bytes, background_data: bytes | None) -> Learnt:
    background = None if background_data is None else Background.from_bytes(background_data)
    head = Head.from_bytes(data, background)
    classes = np.asarray(config.classes)
    rows = np.asarray([shot.rows for shot in config.shots], np.int64)
    shots = Shots(
        table=tuple(
            Shot(
                id=shot.id,
                label=config.classes[shot.label],
                source=shot.source,
                sha256=shot.sha256,
                group=shot.group,
            )
            for shot in config.shots
        ),
        X=_support_rows(data, head),
        rows=rows,
    )
    if head.class_count != len(classes) or len(set(config.classes)) != len(classes):
        raise HeadError(f"{len(classes)} classes for a head of {head.class_count}")
    if len(shots.X) != rows.sum():
        raise HeadError(f"{rows.sum()} rows of shots, and {len(shots.X)} in the head")
    return Learnt(
        classes=classes,
        named=np.asarray(config.named, dtype=classes.dtype),
        shots=shots,
        head=head,
        encoder=config.encoder,
        background=background,
        text=None,
    )


def _support_rows(data: bytes, head: Head) -> Rows:
    """The rows of the shots. A head of an earlier rule comes without its support, but its file has it."""
    if head.support is not None:
        return head.support.X
    arrays, _ = unpack("head", sys.maxsize, data)  # of a version that Head could read
    return np.asarray(arrays["support.X"], np.float32)


@contextmanager
def _as_model_error(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise ModelError(
            f"{what}: {exc.strerror or exc}; check the path, its permissions and the disk"
        ) from exc
