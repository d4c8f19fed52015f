"""What is known of an encoder without fetching it."""

from pathlib import Path
from typing import Any

from handful.encoders import load_encoder, speeds
from handful.encoders.catalogue import CATALOGUE
from handful.encoders.entry import Entry
from handful.encoders.hub import Reference, local
from handful.encoders.load import part_names
from handful.settings import Settings


def facts(name: str) -> dict[str, Any]:  # Any: JSON
    """Of a name of the catalogue, a folder, a hub id, or several: what is listed, and more of files here.

    Raises EncoderError for a folder that holds no encoder, and for what is none of these.
    """
    settings = Settings()
    precision = settings.encoder_precision
    entry = CATALOGUE.get(name) or _of_hub(name)
    said: dict[str, Any] = {"name": name} if entry is None else entry.as_dict()
    spec, folder = _here(name, entry, settings)
    said |= {"precision": precision, "folder": folder, "here": spec is not None}
    said |= {"fingerprint": None, "background_pictures": None}
    if spec is not None:
        encoder = load_encoder(spec, settings=settings)
        background = encoder.background
        said |= {
            "dimension": encoder.dimension,
            "fingerprint": encoder.fingerprint,
            "background_pictures": None if background is None else background.count,
        }
    known = speeds.known(settings.cache_dir)
    return {**said, "measured": known.get(speeds.key(name if entry is None else entry.name, precision))}


def _of_hub(name: str) -> Entry | None:
    """The entry whose files these are."""
    return next((entry for entry in CATALOGUE.values() if entry.repository == name.partition("@")[0]), None)


def _here(name: str, entry: Entry | None, settings: Settings) -> tuple[str | None, str | None]:
    """What to load it by, and its folder, where its files are on this machine."""
    precision = settings.encoder_precision
    if len(names := part_names(name)) > 1:
        parts = [_here(one, CATALOGUE.get(one) or _of_hub(one), settings)[0] for one in names]
        return (name if all(parts) else None), None
    if entry is not None and entry.layout == "package":
        return name, None
    if entry is not None and name == entry.name:
        if entry.repository is None:
            return None, None
        folder = local(entry.hub_id, settings=settings, precision=precision)
    elif Path(name).is_dir():
        return name, str(Path(name).absolute())
    elif "/" in name and Path(name).parts[0] not in (".", "..", "/", "~"):
        folder = local(str(Reference.parse(name)), settings=settings, precision=precision)
    else:
        return name, None  # loading says what is wrong with it
    return (None, None) if folder is None else (name, str(folder))
