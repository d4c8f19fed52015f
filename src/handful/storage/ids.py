"""Names that sort by the time they were given."""

import secrets
import time
from hashlib import sha256
from threading import Lock

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_LENGTH = 26  # of 130 bits, of which two are always zero
_TIME, _NUMBER = 10, 7  # characters: of the time, and of a number up to 34 billion
_RANDOM_BITS = 80
_STEP_BYTES = 5  # of how far neighbours lie apart, at random, so that none can be guessed

_lock = Lock()
_last = 0


def new_id() -> str:
    """A name of 26 characters: milliseconds, then randomness, as ULID has it (github.com/ulid/spec).

    >>> len(new_id()), new_id() < new_id()
    (26, True)
    """
    return new_ids(1)[0]


def new_ids(count: int) -> list[str]:
    """Names in increasing order, all behind those that this process gave before."""
    global _last
    steps = secrets.token_bytes(_STEP_BYTES * count)
    with _lock:
        now = (time.time_ns() // 1_000_000) << _RANDOM_BITS
        if now > _last:
            _last = now | secrets.randbits(_RANDOM_BITS)
        numbers = []
        for start in range(0, len(steps), _STEP_BYTES):
            _last += 1 + int.from_bytes(steps[start : start + _STEP_BYTES])
            numbers.append(_last)
    return [_text(number) for number in numbers]


def derived_id(of: str, number: int) -> str:
    """The same name for the same number of the same thing; in the order of the numbers.

    >>> derived_id("01jd0000000000000000000000", 7) < derived_id("01jd0000000000000000000000", 8)
    True
    """
    random = int.from_bytes(sha256(f"{of} {number}".encode()).digest()[:8], "big")
    return of[:_TIME] + _text(number, _NUMBER) + _text(random, _LENGTH - _TIME - _NUMBER)


def _text(number: int, length: int = _LENGTH) -> str:
    odd = length % 2
    return "".join([_PAIRS[(number >> shift) & 1023] for shift in range(5 * (length + odd - 2), -1, -10)])[
        odd:
    ]
