"""The store in one SQLite file, which several processes may share."""

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from anyio import to_thread

from handful.errors import StorageError
from handful.folders import make_folder
from handful.storage.records import (
    ClassifierRecord,
    ClassRecord,
    HeadRecord,
    JobRecord,
    KeyRecord,
    Repairs,
    Reply,
    ShotRecord,
    Support,
    Usage,
)
from handful.storage.sqlite import codec
from handful.storage.sqlite.changes import (
    read_reply,
    read_usage,
    stamp,
    update_job,
    write_change,
    write_job,
    write_reply,
)
from handful.storage.sqlite.failures import explained
from handful.storage.sqlite.schema import connect, migrate
from handful.storage.sqlite.writer import Work, Writer
from handful.storage.store import Change, ChangedMeanwhileError, Trash

T = TypeVar("T")
Row = tuple[Any, ...]  # Any: each query has its own columns

_CHUNK = 500  # rows of deleted classifiers that go in one transaction
_CHILDREN = ("shots", "classes", "heads")
_OF = "JOIN classifiers k ON k.pk = c.classifier WHERE k.tenant = ? AND k.id = ?"


class SqliteStore:
    """A `Store`. To be made and used in one event loop.

    What is read by its key is read there and then, which takes some 20 µs, less than handing it to a thread;
    longer reads have a thread and a connection of their own, and are of one moment.
    """

    def __init__(self, file: Path) -> None:
        """Raises StorageError where the file cannot be made, is newer than this build, or no store."""
        self.file = file
        try:
            make_folder(file.parent)
        except OSError as exc:
            raise StorageError(f"the folder of the store {file} cannot be made ({exc})") from exc
        with explained(file):
            migrate(file)
            self._reader = connect(file)
            self._write = Writer(file, idle=_bury)

    async def check(self) -> None:
        self._one("SELECT 1")

    async def close(self) -> None:
        await self._write.close()
        self._reader.close()

    # ---- classifiers

    async def apply(self, change: Change) -> None:
        await self._write(lambda disk: write_change(disk, change))

    async def classifier(self, tenant: str, id: str) -> ClassifierRecord | None:
        found = self._one("SELECT record FROM classifiers WHERE tenant = ? AND id = ?", tenant, id)
        return None if found is None else codec.CLASSIFIER.read(found[0])

    async def classifiers(
        self, tenant: str, *, limit: int, after: str | None = None
    ) -> list[ClassifierRecord]:
        found = self._all(
            "SELECT record FROM classifiers WHERE tenant = ? AND id > ? ORDER BY id LIMIT ?",
            tenant,
            after or "",
            limit,
        )
        return [codec.CLASSIFIER.read(data) for (data,) in found]

    async def classes(
        self, tenant: str, id: str, *, limit: int, after: int | None = None
    ) -> list[ClassRecord]:
        found = self._all(
            f"SELECT c.record FROM classes c {_OF} AND c.key > ? ORDER BY c.key LIMIT ?",
            tenant,
            id,
            -1 if after is None else after,
            limit,
        )
        return [codec.CLASS.read(data) for (data,) in found]

    async def classes_named(self, tenant: str, id: str, names: Sequence[str]) -> dict[str, ClassRecord]:
        sql = f"SELECT c.record FROM classes c {_OF} AND c.name = ?"
        found = [self._one(sql, tenant, id, name) for name in dict.fromkeys(names)]
        records = [codec.CLASS.read(row[0]) for row in found if row is not None]
        return {record.name: record for record in records}

    async def classes_keyed(self, tenant: str, id: str, keys: Sequence[int]) -> dict[int, ClassRecord]:
        sql = f"SELECT c.record FROM classes c {_OF} AND c.key = ?"
        found = [self._one(sql, tenant, id, key) for key in dict.fromkeys(keys)]
        records = [codec.CLASS.read(row[0]) for row in found if row is not None]
        return {record.key: record for record in records}

    async def shots(
        self,
        tenant: str,
        id: str,
        *,
        limit: int,
        after: str | None = None,
        class_key: int | None = None,
    ) -> list[ShotRecord]:
        chosen, of_class = ("", ()) if class_key is None else ("AND c.class_key = ?", (class_key,))
        found = self._all(
            f"SELECT c.class_key, c.record FROM shots c {_OF} {chosen} AND c.id > ? ORDER BY c.id LIMIT ?",
            tenant,
            id,
            *of_class,
            after or "",
            limit,
        )
        return [_shot(*row) for row in found]

    async def shots_named(self, tenant: str, id: str, ids: Sequence[str]) -> dict[str, ShotRecord]:
        sql = f"SELECT c.class_key, c.record FROM shots c {_OF} AND c.id = ?"
        found = [self._one(sql, tenant, id, shot_id) for shot_id in dict.fromkeys(ids)]
        shots = [_shot(*row) for row in found if row is not None]
        return {shot.id: shot for shot in shots}

    async def support(self, tenant: str, id: str) -> Support | None:
        return await self._support(tenant, id, None)

    async def changed_since(self, tenant: str, id: str, revision: int) -> Support | None:
        return await self._support(tenant, id, revision)

    async def _support(self, tenant: str, id: str, since: int | None) -> Support | None:
        def read(disk: sqlite3.Connection) -> Support | None:
            found = disk.execute(
                "SELECT pk, record FROM classifiers WHERE tenant = ? AND id = ?", (tenant, id)
            ).fetchone()
            if found is None:
                return None
            number, data = found
            told = disk.execute("SELECT record FROM classes WHERE classifier = ? ORDER BY key", (number,))
            classes = tuple(codec.CLASS.read(record) for (record,) in told)
            which = "SELECT class_key, record, rows FROM shots WHERE classifier = ?"
            if since is None:
                shots = [_shot(*row) for row in disk.execute(f"{which} ORDER BY id", (number,))]
            else:
                keys = [one.key for one in classes if one.changed > since]
                of_class = f"{which} AND class_key = ?"
                shots = [_shot(*row) for key in keys for row in disk.execute(of_class, (number, key))]
                shots.sort(key=lambda shot: shot.id)
            return Support(classifier=codec.CLASSIFIER.read(data), classes=classes, shots=tuple(shots))

        return await self._in_thread(read)

    async def heads(self, tenant: str, id: str) -> list[HeadRecord]:
        # Without their classes, of which there may be millions.
        short = "json_remove(CAST(c.record AS TEXT), '$.classes')"
        found = self._all(f"SELECT {short} FROM heads c {_OF} ORDER BY c.version DESC", tenant, id)
        return [codec.HEAD.read(data) for (data,) in found]

    async def head(self, tenant: str, id: str, version: int) -> tuple[HeadRecord, bytes] | None:
        sql = f"SELECT c.record, c.data FROM heads c {_OF} AND c.version = ?"
        found = self._one(sql, tenant, id, version)
        return None if found is None else (codec.HEAD.read(found[0]), found[1])

    async def keep_head(self, tenant: str, id: str, head: HeadRecord, data: bytes, *, newest: int) -> None:
        def write(disk: sqlite3.Connection) -> None:
            found = disk.execute(
                "SELECT pk FROM classifiers WHERE tenant = ? AND id = ?", (tenant, id)
            ).fetchone()
            if found is None:
                return
            disk.execute(
                "INSERT OR IGNORE INTO heads (classifier, version, held, record, data)"
                " VALUES (?, ?, ?, ?, ?)",
                (*found, head.version, head.held, codec.HEAD.write(head), data),
            )
            disk.execute(
                "DELETE FROM heads WHERE classifier = ? AND NOT held AND version NOT IN (SELECT version"
                " FROM heads WHERE classifier = ? AND NOT held ORDER BY version DESC LIMIT ?)",
                (*found, *found, newest),
            )

        await self._write(write)

    # ---- answers given

    async def reply(self, tenant: str, key: str) -> Reply | None:
        with explained(self.file):
            return read_reply(self._reader, tenant, key)

    # ---- jobs

    async def put_job(self, job: JobRecord, *, reply: Reply | None = None) -> None:
        def write(disk: sqlite3.Connection) -> None:
            if reply is not None:
                write_reply(disk, reply)
            write_job(disk, job)

        await self._write(write)

    async def job(self, tenant: str, id: str) -> JobRecord | None:
        found = self._one("SELECT record FROM jobs WHERE tenant = ? AND id = ?", tenant, id)
        return None if found is None else codec.JOB.read(found[0])

    async def claim_job(self, *, token: str, now: datetime, lease_until: datetime) -> JobRecord | None:
        oldest = "FROM jobs WHERE waiting AND lease_until <= ? ORDER BY lease_until, id LIMIT 1"
        if self._one(f"SELECT 1 {oldest}", stamp(now)) is None:  # mostly; and then nothing is written
            return None

        def write(disk: sqlite3.Connection) -> JobRecord | None:
            found = disk.execute(f"SELECT record {oldest}", (stamp(now),)).fetchone()
            if found is None:
                return None
            job = codec.JOB.read(found[0])
            claimed = job.claimed(token=token, now=now, lease_until=lease_until)
            write_job(disk, claimed)
            return claimed

        return await self._write(write)

    async def update_job(self, job: JobRecord) -> bool:
        return await self._write(lambda disk: update_job(disk, job))

    async def cancel_job(self, tenant: str, id: str, now: datetime) -> JobRecord | None:
        def write(disk: sqlite3.Connection) -> JobRecord | None:
            found = disk.execute(
                "SELECT record FROM jobs WHERE tenant = ? AND id = ?", (tenant, id)
            ).fetchone()
            if found is None:
                return None
            job = codec.JOB.read(found[0])
            if not job.over:
                job = job.told_to_stop(now)
                write_job(disk, job)
            return job

        return await self._write(write)

    async def jobs_left(self) -> int:
        found = self._one("SELECT count(*) FROM jobs WHERE waiting")
        return 0 if found is None else int(found[0])

    # ---- keys

    async def put_key(self, key: KeyRecord, *, before: KeyRecord | None = None) -> None:
        def write(disk: sqlite3.Connection) -> None:
            found = disk.execute("SELECT record FROM keys WHERE id = ?", (key.id,)).fetchone()
            if before != (None if found is None else codec.KEY.read(found[0])):
                raise ChangedMeanwhileError(f"key {key.id} was changed meanwhile; read it again")
            disk.execute(
                "INSERT OR REPLACE INTO keys (id, tenant, record) VALUES (?, ?, ?)",
                (key.id, key.tenant, codec.KEY.write(key)),
            )

        await self._write(write)

    async def key(self, id: str) -> KeyRecord | None:
        found = self._one("SELECT record FROM keys WHERE id = ?", id)
        return None if found is None else codec.KEY.read(found[0])

    async def keys(self, tenant: str | None = None) -> list[KeyRecord]:
        chosen, given = ("", ()) if tenant is None else ("WHERE tenant = ?", (tenant,))
        found = self._all(f"SELECT record FROM keys {chosen} ORDER BY id", *given)
        return [codec.KEY.read(data) for (data,) in found]

    # ---- upkeep

    async def usage(self, tenant: str) -> Usage:
        with explained(self.file):
            return read_usage(self._reader, tenant)

    async def tally(
        self, more: Mapping[tuple[str, str], int], *, keep: timedelta
    ) -> Mapping[tuple[str, str], int] | None:
        return None  # each count would be a commit, which takes longer than what is counted

    async def tenants(self, *, limit: int, after: str | None = None) -> list[str]:
        found = self._all(
            "SELECT tenant FROM usage WHERE tenant > ? ORDER BY tenant LIMIT ?", after or "", limit
        )
        return [tenant for (tenant,) in found]

    async def blob_names(self, tenant: str, id: str) -> frozenset[str] | None:
        def read(disk: sqlite3.Connection) -> frozenset[str] | None:
            found = disk.execute(
                "SELECT pk FROM classifiers WHERE tenant = ? AND id = ?", (tenant, id)
            ).fetchone()
            if found is None:
                return None
            named = disk.execute("SELECT blob FROM shots WHERE classifier = ? AND blob IS NOT NULL", found)
            return frozenset(name for (name,) in named)

        return await self._in_thread(read)

    async def fold(self, now: datetime) -> int:
        return 0  # all of it is in the file

    async def trash(self, limit: int) -> list[Trash]:
        found = self._all(
            "SELECT id, name FROM trash WHERE NOT EXISTS (SELECT 1 FROM trash_hold WHERE until > ?)"
            " ORDER BY id LIMIT ?",
            stamp(datetime.now(UTC)),
            limit,
        )
        return [Trash(id=id, name=name) for id, name in found]

    async def hold_trash(self, until: datetime) -> None:
        await self._write(
            lambda disk: disk.execute(
                "INSERT OR REPLACE INTO trash_hold (id, until) VALUES (1, ?)", (stamp(until),)
            )
        )

    async def trash_held(self) -> bool:
        return self._one("SELECT 1 FROM trash_hold WHERE until > ?", stamp(datetime.now(UTC))) is not None

    async def dump(self, file: Path) -> list[str]:
        def write() -> None:
            with explained(self.file), closing(connect(self.file)) as disk:
                disk.execute("PRAGMA query_only = 0")  # it writes another file
                with explained(file):
                    disk.execute("VACUUM INTO ?", (str(file),))

        await to_thread.run_sync(write)
        return []

    async def forget_trash(self, ids: Sequence[int]) -> None:
        await self._write(
            lambda disk: disk.executemany("DELETE FROM trash WHERE id = ?", [(number,) for number in ids])
        )

    async def forget_expired(self, now: datetime) -> None:
        await self._write(lambda disk: disk.execute("DELETE FROM replies WHERE expires <= ?", (stamp(now),)))

    async def forget_jobs(self, before: datetime, limit: int) -> int:
        oldest = "SELECT tenant, id FROM jobs WHERE over_since < ? ORDER BY over_since LIMIT ?"
        if self._one(oldest, stamp(before), 1) is None:  # mostly; and then nothing is written
            return 0

        def write(disk: sqlite3.Connection) -> int:
            gone = disk.execute(f"DELETE FROM jobs WHERE (tenant, id) IN ({oldest})", (stamp(before), limit))
            return gone.rowcount

        return await self._write(write)

    async def repair(self, tenant: str, *, write: bool) -> Repairs:
        return Repairs()  # lists and counts change in one transaction with what they tell of

    async def note(self, name: str) -> bytes | None:
        found = self._one("SELECT data FROM notes WHERE name = ?", name)
        return None if found is None else bytes(found[0])

    async def put_note(self, name: str, data: bytes | None) -> None:
        if data is None:
            await self._write(lambda disk: disk.execute("DELETE FROM notes WHERE name = ?", (name,)))
            return
        put = "INSERT OR REPLACE INTO notes (name, data) VALUES (?, ?)"
        await self._write(lambda disk: disk.execute(put, (name, data)))

    # ---- reading

    def _one(self, sql: str, *given: object) -> Row | None:
        with explained(self.file):
            found: Row | None = self._reader.execute(sql, given).fetchone()
            return found

    def _all(self, sql: str, *given: object) -> list[Row]:
        with explained(self.file):
            return self._reader.execute(sql, given).fetchall()

    async def _in_thread(self, work: Work[T]) -> T:
        def read() -> T:
            with explained(self.file), closing(connect(self.file)) as disk:
                disk.execute("BEGIN")  # everything as of one moment
                return work(disk)

        return await to_thread.run_sync(read)


def _shot(class_key: int, record: bytes, rows: bytes | None = None) -> ShotRecord:
    """class_key has the say: it changes when a shot is relabelled, its record does not."""
    return replace(codec.SHOT.read(record, rows), class_key=class_key)


def _bury(disk: sqlite3.Connection) -> bool:
    """Remove some rows of a deleted classifier; whether there may be more."""
    found = disk.execute("SELECT classifier FROM graves LIMIT 1").fetchone()
    if found is None:
        return False
    for table in _CHILDREN:
        key = "key" if table == "classes" else "rowid"
        gone = disk.execute(
            f"DELETE FROM {table} WHERE classifier = ? AND {key} IN"
            f" (SELECT {key} FROM {table} WHERE classifier = ? LIMIT {_CHUNK})",
            (*found, *found),
        )
        if gone.rowcount:
            return True
    disk.execute("DELETE FROM graves WHERE classifier = ?", found)
    return True
