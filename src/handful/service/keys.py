"""API keys: who may do what."""

import hmac
import re
import secrets
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from cachetools import TTLCache

from handful.errors import AccessError, NotFoundError, RequestError, StorageError
from handful.service.names import checked_name
from handful.storage.records import KeyRecord, Scope
from handful.storage.store import ChangedMeanwhileError, Store

TENANT = "default"  # of those who need no key
_PREFIX = "hfl"
_SECRET_BYTES = 32
_ID_BYTES = 8
_REMEMBERED = 10.0  # seconds; a revoked key works this long in processes that saw it
_IMPLIED: dict[Scope, frozenset[Scope]] = {
    "read": frozenset({"read"}),
    "write": frozenset({"read", "write"}),
    "admin": frozenset({"read", "write", "admin"}),
}
_SHORTEST = 16  # characters of a key that somebody chose
_TENANT = re.compile("[a-z0-9_][a-z0-9_-]{0,63}")  # may begin the name of a blob


class Keys:
    """Make, list, change and check keys. A key's secret is shown once, and only its SHA-256 is kept.

    Secrets are 256 random bits, so that a fast digest is as safe as a slow one.
    admin_key_file : holds a key of the tenant "default" that may do anything.
    """

    def __init__(self, store: Store, admin_key_file: Path | None = None) -> None:
        self._store = store
        self._admin = None if admin_key_file is None else _read_admin_key(admin_key_file)
        self._seen: TTLCache[str, KeyRecord] = TTLCache(10_000, _REMEMBERED)
        self._any: tuple[float, bool] | None = None

    async def create(
        self, tenant: str, name: str, scopes: Collection[Scope], expires: datetime | None = None
    ) -> tuple[KeyRecord, str]:
        """A new key and its secret. Raises RequestError."""
        if not scopes or not set(scopes) <= set(_IMPLIED):
            raise RequestError(f"scopes are {sorted(scopes)}; give some of {', '.join(_IMPLIED)}")
        if not _TENANT.fullmatch(tenant):
            raise RequestError(
                f"the tenant {tenant[:80]!r} is no name for one; use 1 to 64 of a-z, 0-9, - and _, and "
                "begin with no -"
            )
        if expires is not None and (expires.tzinfo is None or expires <= datetime.now(UTC)):
            raise RequestError(f"a key that expires at {expires} is of no use; give a moment to come, in UTC")
        record = KeyRecord(
            id=f"{int(time.time()):08x}{secrets.token_hex(_ID_BYTES)}",
            tenant=tenant,
            name=checked_name(name, what="key"),
            digest="",
            scopes=frozenset(scopes),
            created=datetime.now(UTC),
            expires=expires,
        )
        return await self._given_secret(record)

    async def rotate(self, id: str) -> tuple[KeyRecord, str]:
        """Another secret for a key; the old one no longer works. Raises NotFoundError, RequestError."""
        while True:
            record = await self._of_id(id)
            if record.revoked is not None:
                raise RequestError(f"key {id} is revoked; create another")
            if _expired(record):
                raise RequestError(f"key {id} has expired; create another")
            with suppress(ChangedMeanwhileError):  # another process was faster, and may have revoked it
                return await self._given_secret(record, before=record)

    async def revoke(self, id: str) -> KeyRecord:
        """The key works no longer, whatever other processes do with it meanwhile. Raises NotFoundError."""
        record = await self._of_id(id)
        while record.revoked is None:
            revoked = replace(record, revoked=datetime.now(UTC))
            try:
                await self._store.put_key(revoked, before=record)
                record = revoked
            except ChangedMeanwhileError:
                record = await self._of_id(id)
        self._seen.clear()
        return record

    async def list(self, tenant: str | None = None) -> list[KeyRecord]:
        """By time of creation."""
        return await self._store.keys(tenant)

    async def exist(self) -> bool:
        """Whether there is any key, so that all need one. A first key counts within seconds."""
        if self._admin is not None:
            return True
        if self._any is None or (not self._any[1] and time.monotonic() - self._any[0] > 1.0):
            self._any = (time.monotonic(), bool(await self._store.keys()))
        return self._any[1]

    async def check(self, secret: str) -> KeyRecord:
        """The key of a secret, if it may be used now. Raises AccessError."""
        digest = sha256(secret.encode()).hexdigest()
        if self._admin is not None and hmac.compare_digest(digest, self._admin.digest):
            return self._admin
        record = self._seen.get(digest)
        if record is None:
            parts = secret.split("_", 2)
            found = await self._store.key(parts[1]) if len(parts) == 3 and parts[0] == _PREFIX else None
            if found is None or not hmac.compare_digest(digest, found.digest):
                raise AccessError("this API key is unknown")
            record = self._seen[digest] = found
        if record.revoked is not None:
            raise AccessError("this API key is revoked")
        if _expired(record):
            raise AccessError("this API key has expired")
        return record

    async def _given_secret(
        self, record: KeyRecord, *, before: KeyRecord | None = None
    ) -> tuple[KeyRecord, str]:
        secret = f"{_PREFIX}_{record.id}_{secrets.token_urlsafe(_SECRET_BYTES)}"
        made = replace(record, digest=sha256(secret.encode()).hexdigest())
        await self._store.put_key(made, before=before)
        self._seen.clear()
        self._any = None
        return made, secret

    async def _of_id(self, id: str) -> KeyRecord:
        record = await self._store.key(id)
        if record is None:
            raise NotFoundError(f"there is no key {id!r}")
        return record


def check_scope(record: KeyRecord, needed: Scope) -> None:
    """Raises AccessError where the key may not do this."""
    if not any(needed in _IMPLIED[scope] for scope in record.scopes):
        raise AccessError(
            f"this API key may {', '.join(sorted(record.scopes))}, and this needs {needed}", known=True
        )


def _expired(record: KeyRecord) -> bool:
    return record.expires is not None and record.expires <= datetime.now(UTC)


def _read_admin_key(file: Path) -> KeyRecord:
    try:
        secret = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as exc:
        raise StorageError(f"the admin key cannot be read from {file} ({exc})") from exc
    if len(secret) < _SHORTEST:
        raise StorageError(
            f"the admin key in {file} has {len(secret)} characters; make one of {_SHORTEST} or more, "
            "for example by `openssl rand -hex 32`"
        )
    return KeyRecord(
        id="admin",
        tenant=TENANT,
        name="admin key file",
        digest=sha256(secret.encode()).hexdigest(),
        scopes=frozenset({"admin"}),
        created=datetime.now(UTC),
    )
