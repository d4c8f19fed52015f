"""Memory for pictures while they are decoded."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition, Lock


class Room:
    """So many pixels may be in the works at once, over all threads; who comes first is let in first.

    most : pixels. A picture of more than that is let in alone.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._free = most
        self._freed = Condition()
        self._turn = Lock()

    @contextmanager
    def taken(self, pixels: int) -> Iterator[None]:
        """Wait until there is room, and hold it to the end of the block."""
        amount = min(pixels, self._most)
        with self._turn, self._freed:  # the turn: a large picture is not overtaken by small ones for ever
            self._freed.wait_for(lambda: self._free >= amount)
            self._free -= amount
        try:
            yield
        finally:
            with self._freed:
                self._free += amount
                self._freed.notify_all()
