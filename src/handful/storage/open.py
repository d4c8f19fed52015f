"""From a URL to a store."""

from pathlib import Path
from urllib.parse import unquote

from handful.errors import StorageError
from handful.storage.blobs import Blobs
from handful.storage.sqlite import SqliteStore
from handful.storage.store import Store

_SQLITE = "sqlite:///"
_REDIS = ("redis", "rediss", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster")


def sqlite_file(url: str) -> Path | None:
    """Of a SQLite store; None of another."""
    named = url.removeprefix(_SQLITE) if url.startswith(_SQLITE) else ""
    return Path(unquote(named)) if named else None


async def is_there(url: str) -> bool:
    """Whether there is a store already; `open_store` makes one. Raises StorageError for no such kind."""
    file = sqlite_file(url)
    if file is not None:
        return file.exists()
    if url.partition(":")[0] not in _REDIS:
        raise _no_kind(url)
    from handful.storage.redis.connection import Connection
    from handful.storage.redis.layout import META

    connection = Connection(url)
    try:
        (found,) = await connection.pipe(("EXISTS", META))
    finally:
        await connection.close()
    return bool(found)


def open_store(url: str, blobs: Blobs | None = None, *, redis_wait_replicas: int = 0) -> Store:
    """The store of a URL: sqlite:///relative/file, sqlite:////absolute/file, redis://host:port.

    Also rediss://, redis+sentinel://, redis+cluster:// and these with rediss, as redis/urls.py has them.
    blobs : where a store that holds little itself keeps the rest; Redis needs them.
    redis_wait_replicas : so many replicas must confirm each write to a Redis.

    Raises StorageError for another kind of URL, and as the store does.
    """
    file = sqlite_file(url)
    if file is not None:
        return SqliteStore(file)
    kind = url.partition(":")[0]
    if kind in _REDIS and blobs is not None:
        # Here, since its client takes a while to load, and most stores are files.
        from handful.storage.redis.store import RedisStore

        return RedisStore(url, blobs, wait_replicas=redis_wait_replicas)
    if kind in _REDIS:
        raise StorageError("a store in Redis needs a place for blobs; give one, HANDFUL_BLOBS_URL")
    raise _no_kind(url)


def _no_kind(url: str) -> StorageError:
    kind = url.partition(":")[0]  # the rest may hold a password
    return StorageError(
        f"a store of kind {kind!r} is none that this build has; use {_SQLITE}file or redis://host:port"
    )
