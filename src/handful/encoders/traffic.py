"""Statistics of the pictures that a service was sent: no picture, and no row of one, is kept."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from handful.background import Background
from handful.encoders.base import Encoder, check_alone
from handful.encoders.moments import Moments
from handful.errors import EncoderError

FILE = "traffic.sqlite"
ENOUGH = 500  # pictures before anything is made of them: a mean of few would tell of each
_PATIENCE = 30.0  # seconds to wait while another process writes
_SCHEMA = """
CREATE TABLE IF NOT EXISTS traffic (
    fingerprint TEXT PRIMARY KEY, dimension INTEGER NOT NULL, count INTEGER NOT NULL,
    mean BLOB NOT NULL, scatter BLOB NOT NULL
)
"""


class Traffic:
    """Moments by encoder, in one SQLite file that the processes of a data folder add to.

    Each addition is one transaction: a process that is killed loses what it had not added yet, and leaves
    the file whole.
    """

    def __init__(self, folder: Path) -> None:
        self.file = folder / FILE

    def add(self, fingerprint: str, moments: Moments) -> None:
        """To what is there of the encoder. Raises EncoderError where the file cannot be written."""
        with self._connected() as disk:
            disk.execute(_SCHEMA)
            disk.execute("BEGIN IMMEDIATE")
            before = _read(disk, fingerprint, len(moments.mean))
            now = moments if before is None else before.merged(moments)
            upper = np.triu_indices(len(now.mean))
            disk.execute(
                "INSERT OR REPLACE INTO traffic VALUES (?, ?, ?, ?, ?)",
                (fingerprint, len(now.mean), now.count, _bytes(now.mean), _bytes(now.scatter[upper])),
            )
            disk.execute("COMMIT")

    def read(self, encoder: Encoder) -> Moments | None:
        """What is there of an encoder. Raises EncoderError where the file cannot be read."""
        if not self.file.exists():
            return None
        with self._connected() as disk:
            disk.execute(_SCHEMA)
            return _read(disk, encoder.fingerprint, encoder.dimension)

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            disk = sqlite3.connect(self.file, timeout=_PATIENCE, isolation_level=None)
            try:
                yield disk
            finally:
                disk.close()  # rolls back what was begun
        except (sqlite3.Error, OSError) as exc:
            raise EncoderError(
                f"the statistics of traffic in {self.file} cannot be used ({exc}); remove the file, and they "
                "begin anew"
            ) from exc


def background_of_traffic(encoder: Encoder, folders: Sequence[Path]) -> Background:
    """The background of what services with these data folders were sent, for an encoder.

    Raises EncoderError for fewer than 500 pictures in all, and for several encoders as one.
    """
    check_alone(encoder)
    found = [moments for folder in folders if (moments := Traffic(folder).read(encoder)) is not None]
    count = sum(moments.count for moments in found)
    if count < ENOUGH:
        raise EncoderError(
            f"there are statistics of {count} pictures by encoder {encoder.name!r} in "
            f"{', '.join(map(str, folders))}; {ENOUGH} are needed: set HANDFUL_TRAFFIC_TENANTS where the "
            "service runs, and wait, or give a folder of pictures"
        )
    total, *others = found
    for moments in others:
        total = total.merged(moments)
    return total.background(encoder.background)


def _read(disk: sqlite3.Connection, fingerprint: str, dimension: int) -> Moments | None:
    row = disk.execute(
        "SELECT count, mean, scatter FROM traffic WHERE fingerprint = ? AND dimension = ?",
        (fingerprint, dimension),
    ).fetchone()
    if row is None:
        return None
    count, mean, packed = row
    upper = np.triu_indices(dimension)
    scatter = np.zeros((dimension, dimension))
    scatter[upper] = np.frombuffer(packed, "<f8")
    scatter[upper[::-1]] = scatter[upper]
    return Moments(count=int(count), mean=np.frombuffer(mean, "<f8").astype(np.float64), scatter=scatter)


def _bytes(array: NDArray[np.float64]) -> bytes:
    return array.astype("<f8").tobytes()
