"""Statistics of pictures as they come, of tenants whose operator wants it; no picture and no row is kept."""

import asyncio
import logging
from contextlib import suppress
from pathlib import Path

import numpy as np

from handful.encoders import Encoder
from handful.encoders.base import leaves
from handful.encoders.moments import Moments
from handful.encoders.traffic import Traffic
from handful.errors import EncoderError
from handful.rows import Rows, apart

ALL = "*"  # tenants
_TOGETHER = 64  # rows that are added up at once
_PATIENCE = 10.0  # seconds until fewer are

_LOG = logging.getLogger(__name__)


class Sampling:
    """Adds up rows in the memory of the process, and those sums in a file.

    tenants : whose pictures count; none: nothing is done at all.    data : folder of the file.
    """

    def __init__(self, tenants: tuple[str, ...], data: Path) -> None:
        self._tenants = frozenset(tenants)
        self._traffic = Traffic(data)
        self._rows: dict[str, list[Rows]] = {}  # (1, D) each, by fingerprint
        self._adding: set[asyncio.Task[None]] = set()
        self._timer: asyncio.Task[None] | None = None

    def saw(self, tenant: str, encoder: Encoder, row: Rows) -> None:
        """A picture that was just encoded; row (D,). Of several encoders each counts for itself."""
        if not self._tenants or not (tenant in self._tenants or ALL in self._tenants):
            return
        parts = leaves(encoder)
        own = [row[None]] if len(parts) == 1 else apart(row[None], [part.dimension for part in parts])
        for part, seen in zip(parts, own, strict=True):
            rows = self._rows.setdefault(part.fingerprint, [])
            rows.append(seen)
            if len(rows) >= _TOGETHER:
                self._add(part.fingerprint)
        if self._rows and (self._timer is None or self._timer.done()):
            self._timer = asyncio.create_task(self._later(), name="handful-traffic")

    async def close(self) -> None:
        """Add what has come."""
        if self._timer is not None:
            self._timer.cancel()
            with suppress(asyncio.CancelledError):
                await self._timer
        for fingerprint in list(self._rows):
            self._add(fingerprint)
        await asyncio.gather(*self._adding)

    async def _later(self) -> None:
        await asyncio.sleep(_PATIENCE)
        for fingerprint in list(self._rows):
            self._add(fingerprint)

    def _add(self, fingerprint: str) -> None:
        rows = self._rows.pop(fingerprint)
        task = asyncio.create_task(self._added(fingerprint, rows), name="handful-traffic")
        self._adding.add(task)
        task.add_done_callback(self._adding.discard)

    async def _added(self, fingerprint: str, rows: list[Rows]) -> None:
        try:
            await asyncio.to_thread(lambda: self._traffic.add(fingerprint, Moments.of(np.concatenate(rows))))
        except EncoderError as exc:  # answers do not suffer from it
            _LOG.warning("%d pictures are missing in the statistics of traffic: %s", len(rows), exc)
