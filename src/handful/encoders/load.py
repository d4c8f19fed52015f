"""From a name to an encoder that runs."""

import os
from pathlib import Path
from threading import Lock

from handful.background import MOST_PARTS
from handful.encoders.backgrounds import Backgrounds
from handful.encoders.base import Encoder
from handful.encoders.builtin import BuiltinEncoder
from handful.encoders.cache import CachedEncoder
from handful.encoders.catalogue import CATALOGUE
from handful.encoders.dual import DualEncoder
from handful.encoders.ensemble import SEPARATOR, ensemble
from handful.encoders.folder import ModelFolder
from handful.encoders.hub import fetched
from handful.encoders.once import Once
from handful.encoders.session import SessionOptions
from handful.encoders.store import RowStore
from handful.errors import EncoderError
from handful.images import Limits
from handful.settings import Settings

_Wanted = tuple[str, str, SessionOptions, Limits, Path | None]
_LOADED: dict[_Wanted, Once[Encoder]] = {}
_CACHED: dict[tuple[_Wanted, Path, int], Encoder] = {}
_TOGETHER: dict[tuple[Encoder, ...], Encoder] = {}
_LOCK = Lock()


def load_encoder(
    name_or_encoder: str | Encoder = "builtin", *, settings: Settings | None = None, cached: bool = True
) -> Encoder:
    """The encoder of that name, the same one at every call: a process holds its towers once.

    Something that is an encoder already comes back as it is. settings : None reads the environment.
    cached : keep rows by content in memory and in the cache folder, so that nothing is encoded twice.
    A name is one of the catalogue, a folder with ONNX files (with a separator in it, or that is there), or
    org/name of a model hub, which is fetched if it was not yet; or two to four of these with + between them,
    whose rows stand side by side.
    Raises EncoderError for a name that is none of these, or a model that cannot be used.

    >>> load_encoder("builtin").dimension
    512
    """
    if not isinstance(name_or_encoder, str):
        if isinstance(name_or_encoder, Encoder):
            return name_or_encoder
        raise EncoderError(
            f"{type(name_or_encoder).__name__} is no encoder; give a name, or an object with "
            "name, dimension, fingerprint, background, encode_images and encode_texts"
        )
    settings = settings or Settings()
    names = part_names(name_or_encoder)
    if len(names) == 1:
        return _loaded(names[0], settings, cached)
    parts = tuple(_loaded(name, settings, cached) for name in names)
    with _LOCK:
        if parts not in _TOGETHER:
            _TOGETHER[parts] = ensemble(parts, limits=_limits(settings))
        return _TOGETHER[parts]


def part_names(name: str) -> list[str]:
    """Of the parts of an ensemble, or of one encoder; a folder may have the sign in its own name.

    Raises EncoderError for a part without a name, and for too many.
    """
    if SEPARATOR not in name or Path(name).expanduser().is_dir():
        return [name]
    names = [part.strip() for part in name.split(SEPARATOR)]
    if not all(names):
        raise EncoderError(f"{name[:200]!r} names an ensemble, and a part has no name; give two, as in a+b")
    if len(names) > MOST_PARTS:
        raise EncoderError(f"an ensemble has at most {MOST_PARTS} parts, not {len(names)}")
    return names


def _loaded(name: str, settings: Settings, cached: bool) -> Encoder:
    options, limits = _options(settings), _limits(settings)
    backgrounds = Backgrounds(settings.data_dir)
    # Towers are shared by all data folders but those that have backgrounds of their own.
    wanted = (name, settings.encoder_precision, options, limits, settings.data_dir if backgrounds else None)
    kept = (wanted, settings.cache_dir, int(settings.cache_bytes))
    with _LOCK:  # not while it is opened: one that is being fetched keeps no other waiting
        once = _LOADED.setdefault(wanted, Once(lambda: _opened(name, settings, options, limits, backgrounds)))
    encoder = once()
    if not cached:
        return encoder
    with _LOCK:
        if kept not in _CACHED:
            store = RowStore(settings.cache_dir, max_bytes=settings.cache_bytes)
            _CACHED[kept] = CachedEncoder(encoder, store, limits=limits)
        return _CACHED[kept]


def _opened(
    name: str, settings: Settings, options: SessionOptions, limits: Limits, backgrounds: Backgrounds
) -> Encoder:
    if name == BuiltinEncoder.name:
        return BuiltinEncoder(options=options, limits=limits, installed=backgrounds.installed)
    folder = ModelFolder.open(_folder_of(name, settings), settings.encoder_precision)
    return DualEncoder(
        folder,
        name=name,
        cache=settings.cache_dir,
        options=options,
        limits=limits,
        installed=backgrounds.installed,
    )


def _folder_of(name: str, settings: Settings) -> Path:
    """Of a catalogue's name or a hub's, the files are fetched where they are not there yet."""
    if name in CATALOGUE:
        return fetched(CATALOGUE[name].hub_id, settings=settings, precision=settings.encoder_precision)
    path = Path(name).expanduser()
    if path.is_dir() or name.startswith((".", "/", "~")) or name.endswith(("/", os.sep)):
        return path
    if name.count("/") == 1:
        return fetched(name, settings=settings, precision=settings.encoder_precision)
    raise EncoderError(
        f"there is no encoder {name[:200]!r}; there is {', '.join(CATALOGUE)}, or give a folder with the "
        "ONNX files of a model, or org/name of a model hub"
    )


def _options(settings: Settings) -> SessionOptions:
    return SessionOptions(threads=settings.encoder_threads, providers=settings.encoder_providers)


def _limits(settings: Settings) -> Limits:
    return Limits(
        max_bytes=settings.image_max_bytes,
        max_pixels=settings.image_max_pixels,
        max_side=settings.image_max_side,
    )
