"""From a URL to a store."""

from pathlib import Path
from urllib.parse import unquote

from handful.errors import StorageError
from handful.storage.blobs import Blobs
from handful.storage.sqlite import SqliteStore
from handful.storage.store import Store

_SQLITE = "sqlite:///"


def open_store(url: str, blobs: Blobs | None = None) -> Store:
    """The store of a URL: sqlite:///relative/file or sqlite:////absolute/file.

    blobs : where a store that holds little itself keeps the rest; Redis needs them.

    Raises StorageError for another kind of URL, and as the store does.
    """
    if url.startswith(_SQLITE) and len(url) > len(_SQLITE):
        return SqliteStore(Path(unquote(url.removeprefix(_SQLITE))))
    kind = url.partition(":")[0]  # the rest may hold a password
    raise StorageError(f"a store of kind {kind!r} is none that this build has; use {_SQLITE}file")
