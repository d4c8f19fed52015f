"""How a change is written: every check and every row, inside one transaction."""

import sqlite3
from collections.abc import Sequence
from dataclasses import astuple, replace
from datetime import UTC, datetime

from handful.errors import StaleError
from handful.storage.records import COUNTED, ClassifierRecord, JobRecord, Reply, Usage
from handful.storage.sqlite import codec
from handful.storage.store import AnsweredError, Change, changed_meanwhile, over_limit


def write_change(disk: sqlite3.Connection, change: Change) -> None:
    """Raises as `Store.apply` does."""
    classifier = change.classifier
    if change.reply is not None:
        write_reply(disk, change.reply)
    if change.job is not None and not update_job(disk, change.job):
        raise StaleError(f"job {change.job.id} has another worker by now, or is over")
    number = _write_classifier(disk, classifier, change)
    _count(disk, classifier.tenant, change)
    if change.after is None:
        disk.execute("INSERT INTO graves (classifier) VALUES (?)", (number,))
        _trash(disk, [f"{classifier.tenant}/{classifier.id}/"])
        return
    _write_classes(disk, number, change)
    _write_shots(disk, number, change)
    for head, data in change.put_heads:
        disk.execute(
            "INSERT OR REPLACE INTO heads (classifier, version, held, record, data) VALUES (?, ?, ?, ?, ?)",
            (number, head.version, head.held, codec.HEAD.write(head), data),
        )
    disk.executemany(
        "DELETE FROM heads WHERE classifier = ? AND version = ?",
        [(number, version) for version in change.drop_heads],
    )


def write_reply(disk: sqlite3.Connection, reply: Reply) -> None:
    """Raises AnsweredError where there is one that has not expired."""
    there = read_reply(disk, reply.tenant, reply.key)
    if there is not None:
        raise AnsweredError(there)
    disk.execute(
        "INSERT OR REPLACE INTO replies (tenant, key, expires, record, body) VALUES (?, ?, ?, ?, ?)",
        (reply.tenant, reply.key, stamp(reply.expires), codec.REPLY.write(reply), reply.body),
    )


def read_reply(disk: sqlite3.Connection, tenant: str, key: str) -> Reply | None:
    """The answer that was given, unless it has expired."""
    found = disk.execute(
        "SELECT record, body FROM replies WHERE tenant = ? AND key = ? AND expires > ?",
        (tenant, key, stamp(datetime.now(UTC))),
    ).fetchone()
    return None if found is None else codec.REPLY.read(*found)


def stamp(moment: datetime) -> str:
    """Text that sorts by time."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def write_job(disk: sqlite3.Connection, job: JobRecord) -> None:
    """New, or in place of what is there."""
    lease = "" if job.lease_until is None else stamp(job.lease_until)
    over_since = stamp(job.updated) if job.over else None
    disk.execute(
        "INSERT OR REPLACE INTO jobs (tenant, id, waiting, lease_until, token, over_since, record)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (job.tenant, job.id, not job.over, lease, job.token, over_since, codec.JOB.write(job)),
    )


def update_job(disk: sqlite3.Connection, job: JobRecord) -> bool:
    """Write a job that is still its claimer's; otherwise False, and nothing written.

    A wish to cancel it that its claimer has not heard of yet stays.
    """
    found = disk.execute(
        "SELECT record FROM jobs WHERE tenant = ? AND id = ? AND waiting AND token = ?",
        (job.tenant, job.id, job.token),
    ).fetchone()
    if found is None:
        return False
    write_job(disk, replace(job, cancelling=job.cancelling or codec.JOB.read(found[0]).cancelling))
    return True


def _write_classifier(disk: sqlite3.Connection, classifier: ClassifierRecord, change: Change) -> int:
    """Its number, once its row is as the change wants it."""
    found = disk.execute(
        "SELECT pk, revision FROM classifiers WHERE tenant = ? AND id = ?", (classifier.tenant, classifier.id)
    ).fetchone()
    if (None if found is None else found[1]) != (None if change.before is None else change.before.revision):
        raise changed_meanwhile(classifier.id)
    if change.after is None:
        disk.execute("DELETE FROM classifiers WHERE pk = ?", (found[0],))
        return int(found[0])
    data = codec.CLASSIFIER.write(change.after)
    if found is None:
        made = disk.execute(
            "INSERT INTO classifiers (tenant, id, revision, record) VALUES (?, ?, ?, ?)",
            (classifier.tenant, classifier.id, change.after.revision, data),
        )
        return int(made.lastrowid or 0)
    disk.execute(
        "UPDATE classifiers SET revision = ?, record = ? WHERE pk = ?",
        (change.after.revision, data, found[0]),
    )
    return int(found[0])


def _count(disk: sqlite3.Connection, tenant: str, change: Change) -> None:
    grown = change.grown
    if grown == Usage():
        return
    held = read_usage(disk, tenant) + grown
    for name in COUNTED if change.limits is not None else ():
        most = getattr(change.limits, name)
        if getattr(grown, name) > 0 and getattr(held, name) > most:
            raise over_limit(name, getattr(held, name), most)
    disk.execute(
        "INSERT OR REPLACE INTO usage (tenant, classifiers, classes, shots, image_bytes)"
        " VALUES (?, ?, ?, ?, ?)",
        (tenant, *astuple(held)),
    )


def read_usage(disk: sqlite3.Connection, tenant: str) -> Usage:
    """What a tenant holds."""
    found = disk.execute(
        f"SELECT {', '.join(COUNTED)} FROM usage WHERE tenant = ?",
        (tenant,),
    ).fetchone()
    return Usage() if found is None else Usage(**dict(zip(COUNTED, found, strict=True)))


def _write_classes(disk: sqlite3.Connection, number: int, change: Change) -> None:
    for key in change.drop_classes:
        gone = disk.execute(
            "SELECT blob FROM shots WHERE classifier = ? AND class_key = ? AND blob IS NOT NULL",
            (number, key),
        )
        _trash(disk, [blob for (blob,) in gone])
        disk.execute("DELETE FROM shots WHERE classifier = ? AND class_key = ?", (number, key))
        disk.execute("DELETE FROM classes WHERE classifier = ? AND key = ?", (number, key))
    # Deleted first: two classes may swap their names in one change.
    disk.executemany(
        "DELETE FROM classes WHERE classifier = ? AND key = ?",
        [(number, record.key) for record in change.put_classes],
    )
    disk.executemany(
        "INSERT INTO classes (classifier, key, name, record) VALUES (?, ?, ?, ?)",
        [(number, record.key, record.name, codec.CLASS.write(record)) for record in change.put_classes],
    )


def _write_shots(disk: sqlite3.Connection, number: int, change: Change) -> None:
    for shot_id in change.drop_shots:
        gone = disk.execute("SELECT blob FROM shots WHERE classifier = ? AND id = ?", (number, shot_id))
        _trash(disk, [blob for (blob,) in gone if blob is not None])
        disk.execute("DELETE FROM shots WHERE classifier = ? AND id = ?", (number, shot_id))
    disk.executemany(
        "INSERT INTO shots (classifier, id, class_key, blob, record, rows) VALUES (?, ?, ?, ?, ?, ?)",
        [
            (number, shot.id, shot.class_key, shot.blob, codec.SHOT.write(shot), shot.rows)
            for shot in change.put_shots
        ],
    )
    disk.executemany(
        "UPDATE shots SET class_key = ? WHERE classifier = ? AND id = ?",
        [(key, number, shot_id) for shot_id, key in change.label_shots.items()],
    )
    disk.executemany(
        "UPDATE shots SET rows = ? WHERE classifier = ? AND id = ?",
        [(rows, number, shot_id) for shot_id, rows in change.row_shots.items()],
    )


def _trash(disk: sqlite3.Connection, names: Sequence[str]) -> None:
    disk.executemany("INSERT INTO trash (name) VALUES (?)", [(name,) for name in names])
