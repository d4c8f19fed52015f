"""A Redis and a place for blobs belong together; neither is of use without the other."""

import asyncio

from handful.errors import StorageSetupError
from handful.storage.blobs import Blobs
from handful.storage.ids import new_id
from handful.storage.redis.codec import VERSION, check_version
from handful.storage.redis.commit import Commit
from handful.storage.redis.connection import Connection
from handful.storage.redis.layout import META
from handful.storage.store import ChangedMeanwhileError

BLOB = "store-id"  # tells which store the blobs belong to
_FORMAT, _ID, _MARKED = b"format", b"id", b"blobs"


class Identity:
    """Is made with the first store, by whichever process is first, and looked at by every later one."""

    def __init__(self, connection: Connection, blobs: Blobs) -> None:
        self._connection = connection
        self._blobs = blobs
        self._known = False
        self._lock = asyncio.Lock()

    async def ensure(self) -> None:
        """Look once. Raises StorageSetupError where the two do not belong together, or are too new."""
        if self._known:
            return
        async with self._lock:
            if not self._known:
                await self.check()
                self._known = True

    async def check(self) -> None:
        """Look again. Raises as `ensure`, and StorageError."""
        while True:
            # In this order: an id among the blobs was in Redis before.
            found = await self._blobs.get(BLOB)
            (flat,) = await self._connection.pipe(("HGETALL", META))
            meta = dict(zip(flat[::2], flat[1::2], strict=True))
            if _ID in meta:
                break
            if found is not None:
                raise StorageSetupError(
                    f"the blobs in {self._blobs.url} belong to the store {_shown(found)}, and this Redis is "
                    "empty; give the Redis that they were used with, or a new folder"
                )
            await self._begin()
        check_version(int(meta.get(_FORMAT, 0)), "the store in this Redis")
        own = meta[_ID]
        if found is None and _MARKED in meta:
            raise StorageSetupError(
                f"the blobs of the store {_shown(own)}, which this Redis holds, are not in "
                f"{self._blobs.url}; give the place that it was used with"
            )
        if found is None:
            await self._blobs.put(BLOB, own)
        elif found != own:
            raise StorageSetupError(
                f"the blobs in {self._blobs.url} belong to the store {_shown(found)}, and this Redis holds "
                f"the store {_shown(own)}; give the place that it was used with"
            )
        if _MARKED not in meta:
            await self._connection.pipe(("HSET", META, _MARKED, "1"))

    async def _begin(self) -> None:
        def refused(_: bytes) -> Exception:
            return ChangedMeanwhileError("another process was faster")

        commit = Commit()
        commit.check(META, "absent", _ID, refused=refused)
        commit.do(META, "HSET", _FORMAT, VERSION, _ID, new_id())
        try:
            await commit.run(self._connection)
        except ChangedMeanwhileError:
            return


def _shown(id: bytes) -> str:
    return id.decode(errors="replace")[:40]
