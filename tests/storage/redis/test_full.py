"""A Redis whose memory is full takes no part of a change, and still lets go of what is deleted."""

import os

import pytest
from tests.redis_servers import redis_server
from tests.storage.conftest import classifier, shot
from tests.storage.test_store import head, reply

from handful.errors import StorageFullError
from handful.storage.blobs import Blobs
from handful.storage.ids import new_ids
from handful.storage.open import open_store
from handful.storage.records import ClassRecord
from handful.storage.store import Change

pytestmark = pytest.mark.anyio


def creation(number: int) -> Change:
    return Change(
        before=None,
        after=classifier(class_count=1, next_class=1, shot_count=9),
        put_classes=[ClassRecord(key=0, name="roll", shots=9)],
        put_shots=[shot(id=name) for name in new_ids(9)],
        put_heads=[(head(1), os.urandom(20_000))],
        reply=reply(f"key-{number}"),
    )


@pytest.mark.parametrize("version", ["8", "7"])
async def test_a_change_is_written_whole_or_not_at_all(version: str, blobs: Blobs) -> None:
    with redis_server(version, maxmemory="5mb") as server:
        store = open_store(server.url, blobs)
        written = []
        refused = None
        for number in range(1000):
            change = creation(number)
            try:
                await store.apply(change)
            except StorageFullError as exc:
                assert "nothing was written" in str(exc)  # noqa: PT017
                refused = change
                break
            written.append(change)
        assert refused is not None
        assert refused.after is not None
        assert len(written) > 10
        listed = await store.classifiers("shop", limit=2000)
        assert listed == [change.after for change in written]
        assert (await store.usage("shop")).classifiers == len(written)
        assert await store.classifier("shop", refused.after.id) is None
        assert refused.reply is not None
        assert await store.reply("shop", refused.reply.key) is None
        assert await blobs.names(f"shop/{refused.after.id}/") == []
        for number, change in enumerate(written[: len(written) // 2]):  # with an answer, which takes memory
            await store.apply(Change(before=change.after, after=None, reply=reply(f"gone-{number}")))
        assert (await store.usage("shop")).classifiers == len(written) - len(written) // 2
        assert await store.reply("shop", "gone-4") is not None
        await store.apply(refused)
        assert await store.classifier("shop", refused.after.id) == refused.after
        await store.close()
