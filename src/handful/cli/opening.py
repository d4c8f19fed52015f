"""Stores as commands open them: by options or settings, and without making one where nothing is written."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handful.errors import StorageError
from handful.settings import Settings

if TYPE_CHECKING:
    from handful.storage.blobs import Blobs
    from handful.storage.store import Store


def settings_of(data: Path | None, store: str | None = None, **others: Any) -> Settings:
    """Of the environment, where the options do not say otherwise.

    others : settings by name, None for those that are not said. Any, since each has its own type.
    """
    told: dict[str, Any] = {"data_dir": data, "store_url": store, **others}
    return Settings(**{name: value for name, value in told.items() if value is not None})


@asynccontextmanager
async def opened(
    url: str, blobs: "Blobs", settings: Settings, *, made: bool = False, dry_run: bool = False
) -> AsyncIterator["Store"]:
    """A store, closed at the end of the block.

    made : whether one that is not there yet is made; on a dry run an empty one stands for it.
    Raises StorageError for one that is not there and not made.
    """
    from handful.storage.migration import plain_url
    from handful.storage.open import is_there, open_store

    with ExitStack() as stack:
        if not (made and not dry_run) and not await is_there(url):
            if not made:
                raise StorageError(
                    f"there is no store in {plain_url(url)}; name the service's data folder by --data"
                )
            url = f"sqlite:///{stack.enter_context(tempfile.TemporaryDirectory())}/none.sqlite"
        store = open_store(url, blobs, redis_wait_replicas=settings.redis_wait_replicas)
        try:
            yield store
        finally:
            await store.close()
