"""A process that folds and sweeps without a pause, to be killed in the middle of it."""

import asyncio
import sys
from datetime import UTC, datetime, timedelta

from handful.storage.blobs import Blobs
from handful.storage.open import open_store


async def _fold(url: str, place: str) -> None:
    blobs = Blobs(place)
    store = open_store(url, blobs)
    print("folding", flush=True)  # noqa: T201
    ahead = timedelta(hours=1)
    while True:
        ahead += timedelta(hours=1)  # what a killed one had claimed is due again at once
        await store.fold(datetime.now(UTC) + ahead)
        trash = await store.trash(100)
        for one in trash:
            await blobs.remove(one.name)
        await store.forget_trash([one.id for one in trash])


if __name__ == "__main__":
    asyncio.run(_fold(*sys.argv[1:]))
