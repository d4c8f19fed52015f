"""What encoding a picture costs, by each part of an ensemble and by the whole."""

import time
from dataclasses import dataclass

import numpy as np

from handful.encoders.base import Encoder, leaves
from handful.encoders.cache import CachedEncoder
from handful.encoders.ensemble import ensemble

_PICTURES = 8  # together
_SIDES = (480, 640)  # pixels
_ROUNDS = 3  # of which the fastest counts: whatever else the machine did only ever takes time


@dataclass(frozen=True, slots=True)
class Cost:
    """Milliseconds for a decoded picture of 640 × 480, of a batch of 8.

    whole : of the encoder.    parts : of each encoder in it, in order; of one encoder, itself.
    """

    whole: float
    parts: tuple[float, ...]


def cost_of(encoder: Encoder) -> Cost:
    """Measured here and now, with the towers in memory; what else the machine does is in it.

    A memory of rows is left out. Raises EncoderError where a tower cannot be loaded.
    """
    bare = [one.encoder if isinstance(one, CachedEncoder) else one for one in leaves(encoder)]
    parts = tuple(map(_milliseconds, bare))
    whole = parts[0] if len(parts) == 1 else _milliseconds(ensemble(bare))
    return Cost(whole, parts)


def _milliseconds(encoder: Encoder) -> float:
    noise = np.random.default_rng(0).integers(0, 256, (_PICTURES, *_SIDES, 3), dtype=np.uint8)
    encoder.encode_images(list(noise[:1]))
    fastest = float("inf")
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        encoder.encode_images(list(noise))
        fastest = min(fastest, time.perf_counter() - started)
    return 1000 * fastest / _PICTURES
