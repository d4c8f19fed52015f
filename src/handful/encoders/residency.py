"""Which encoders of a process hold their towers in memory."""

import ctypes
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

from handful.encoders.base import Encoder, Unloadable, Weighed, leaves

_LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class _Resident:
    encoder: Encoder
    users: int = 0
    last: float = 0.0  # when its last user was done
    most: int = 0  # bytes that its towers were seen to take, or say that they will
    loads: int = 0
    loaded: bool = False  # as far as was noted

    @property
    def nbytes(self) -> int:
        return self.encoder.loaded_bytes if isinstance(self.encoder, Unloadable) else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Resident:
    """An encoder that was used.    loaded_bytes : of its towers, now.    loads : how often they came in."""

    name: str
    fingerprint: str
    loaded_bytes: int
    in_use: bool
    loads: int


class Residency:
    """Towers come in with the first use; those unused for long, or for the longest where room is short, go.

    most_bytes : for the towers of all encoders. One in use stays, and one of more than this is loaded alone.
    idle_seconds : without use, after which one goes.    told : is given (bytes, loads, unloads) of late.
    Parts of a composite count each for itself. An encoder that cannot be unloaded is none of its business.
    """

    def __init__(
        self,
        *,
        most_bytes: int,
        idle_seconds: float,
        told: Callable[[int, int, int], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most_bytes = most_bytes
        self._idle_seconds = idle_seconds
        self._told = told
        self._clock = clock
        self._kept: set[str] = set()
        self._residents: dict[str, _Resident] = {}
        self._said = 0  # bytes
        self._lock = Lock()

    @property
    def loaded_bytes(self) -> int:
        """About what all towers take."""
        with self._lock:
            return self._loaded_bytes()

    def listed(self) -> list[Resident]:
        """Those that were used, the longest unused first."""
        with self._lock:
            self._note(unloads=0)
            return [
                Resident(
                    name=one.encoder.name,
                    fingerprint=fingerprint,
                    loaded_bytes=one.nbytes,
                    in_use=one.users > 0,
                    loads=one.loads,
                )
                for fingerprint, one in sorted(self._residents.items(), key=lambda item: item[1].last)
            ]

    def keep(self, encoder: Encoder) -> None:
        """From now on this one stays."""
        with self._lock:
            self._kept |= {leaf.fingerprint for leaf in leaves(encoder)}

    def begin(self, encoder: Encoder) -> bool:
        """It is used, until `end`. Whether `make_room` is to be called before."""
        with self._lock:
            for leaf in leaves(encoder):
                if leaf.fingerprint not in self._residents:
                    needed = leaf.needed_bytes if isinstance(leaf, Weighed) else 0
                    self._residents[leaf.fingerprint] = _Resident(leaf, most=needed)
                self._residents[leaf.fingerprint].users += 1
            return self._loaded_bytes() + self._coming() > self._most_bytes and bool(self._in_the_way())

    def end(self, encoder: Encoder) -> bool:
        """It is used no more. Whether `make_room` is to be called."""
        with self._lock:
            for leaf in leaves(encoder):
                one = self._residents[leaf.fingerprint]
                one.users -= 1
                one.last = self._clock()
            self._note(unloads=0)
            return self._loaded_bytes() > self._most_bytes and bool(self._in_the_way())

    @contextmanager
    def used(self, encoder: Encoder) -> Iterator[None]:
        """To the end of the block it stays. May take a moment at either end, where others have to go."""
        if self.begin(encoder):
            self.make_room()
        try:
            yield
        finally:
            if self.end(encoder):
                self.make_room()

    def make_room(self) -> list[str]:
        """Unload what was not used for the longest until the rest, and what comes, fits; the names."""
        with self._lock:
            left = self._loaded_bytes() + self._coming()
            going = []
            for one in self._in_the_way():
                if left <= self._most_bytes:
                    break
                left -= one.nbytes
                going.append(one)
            if left > self._most_bytes:
                _LOG.warning(
                    "encoders in use take about %d MB, over the %d MB of HANDFUL_ENCODERS_BYTES",
                    left // 2**20,
                    self._most_bytes // 2**20,
                )
            return self._unload(going)

    def unload_idle(self) -> list[str]:
        """Unload those that were not used for too long; the names."""
        with self._lock:
            until = self._clock() - self._idle_seconds
            return self._unload([one for one in self._idle() if one.last <= until])

    # ---- under the lock: nobody begins to use what is just being unloaded

    def _loaded_bytes(self) -> int:
        return sum(one.nbytes for one in self._residents.values())

    def _coming(self) -> int:
        """Bytes that those in use will take besides, as far as that is known."""
        return sum(max(one.most - one.nbytes, 0) for one in self._residents.values() if one.users)

    def _idle(self) -> list[_Resident]:
        """The longest unused first."""
        idle = [one for one in self._others() if not one.users and one.nbytes]
        return sorted(idle, key=lambda one: one.last)

    def _in_the_way(self) -> list[_Resident]:
        """As `_idle`; the last one that was used stays until another is: it would come again at once."""
        idle = self._idle()
        return idle if any(one.users for one in self._others()) else idle[:-1]

    def _others(self) -> list[_Resident]:
        """Those that need not stay."""
        return [one for fingerprint, one in self._residents.items() if fingerprint not in self._kept]

    def _unload(self, going: list[_Resident]) -> list[str]:
        self._note(unloads=len(going))
        for one in going:
            if isinstance(one.encoder, Unloadable):
                one.encoder.unload()
            one.loaded = False
        if going:
            _give_back()
            _LOG.info("unloaded %s", ", ".join(one.encoder.name for one in going))
            self._note(unloads=0)
        return [one.encoder.name for one in going]

    def _note(self, *, unloads: int) -> None:
        loads = 0
        for one in self._residents.values():
            nbytes = one.nbytes
            one.most = max(one.most, nbytes)
            if nbytes and not one.loaded:
                one.loaded = True
                one.loads += 1
                loads += 1
        now = self._loaded_bytes()
        if self._told is not None and (loads or unloads or now != self._said):
            self._told(now, loads, unloads)
        self._said = now


def _give_back() -> None:
    """What was freed goes to the system. glibc keeps it otherwise: of the heap it returns the top alone."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, TypeError, AttributeError):  # another C library, or Windows
        return
    trim(0)
