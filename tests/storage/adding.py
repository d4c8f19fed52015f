"""A process that adds shots, for tests that run several at once."""

import asyncio
import sys
from dataclasses import replace

from tests.storage.conftest import shot

from handful.storage.blobs import Blobs
from handful.storage.ids import new_id
from handful.storage.open import open_store
from handful.storage.store import Change, ChangedMeanwhileError, Store

SHOTS = 20


async def add_one(store: Store, tenant: str, id: str) -> str:
    """Add a shot as a use case does: read, decide, write, and again where another was faster."""
    while True:
        before = await store.classifier(tenant, id)
        assert before is not None
        after = replace(before, revision=before.revision + 1, shot_count=before.shot_count + 1)
        added = shot(id=new_id())
        try:
            await store.apply(Change(before=before, after=after, put_shots=[added]))
        except ChangedMeanwhileError:
            await asyncio.sleep(0.001)
            continue
        return added.id


async def _write(url: str, blobs: str, tenant: str, id: str) -> None:
    store = open_store(url, Blobs(blobs))
    for _ in range(SHOTS):
        print(await add_one(store, tenant, id))  # noqa: T201
    await store.close()


if __name__ == "__main__":
    asyncio.run(_write(*sys.argv[1:]))
