"""Costly things, made when first asked for."""

from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class Once(Generic[T]):
    """Calling it gives what `make` gave the first time; of several threads one makes, the others wait.

    made : how often it was made.    nbytes : about what it takes in memory; 0 while there is none.

    >>> tower = Once(lambda: object())
    >>> tower() is tower()
    True
    """

    def __init__(self, make: Callable[[], T], *, nbytes: int = 0) -> None:
        self._make = make
        self._nbytes = nbytes
        self._held: list[T] = []
        self._lock = Lock()
        self.made = 0

    def __call__(self) -> T:
        with self._lock:
            if not self._held:
                self._held.append(self._make())
                self.made += 1
            return self._held[0]

    @property
    def nbytes(self) -> int:
        return self._nbytes if self._held else 0

    def drop(self) -> None:
        """Forget it: the next call makes it again. Who has it keeps it. Waits for one in the making."""
        with self._lock:
            self._held.clear()
