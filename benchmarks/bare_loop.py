"""Decode and encode, with nothing around it, one batch after another; batches side by side may be faster."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from time import perf_counter

import numpy as np
from PIL import Image

from handful.encoders.builtin import BuiltinEncoder
from handful.encoders.crop import centre_crop

SHORT_SIDE, SIDE = 292, 260


class BareLoop:
    """PIL decodes a batch in threads while the one before it is encoded.

    batch : pictures encoded together.    threads : that decode; the session has one for each core.
    """

    def __init__(self, *, batch: int, threads: int) -> None:
        self._encoder = BuiltinEncoder()
        self._batch = batch
        self._decoders = ThreadPoolExecutor(threads)
        self._ahead = ThreadPoolExecutor(1)

    def one(self, data: bytes) -> np.ndarray:
        """The row of one picture."""
        return self._encoder.encode_prepared(prepared(data)[None])

    def encode(self, pictures: Sequence[bytes]) -> None:
        """Rows of all pictures, batch by batch."""
        batches = [pictures[at : at + self._batch] for at in range(0, len(pictures), self._batch)]
        coming = self._ahead.submit(self._stacked, batches[0])
        for after in [*batches[1:], None]:
            pixels = coming.result()
            if after is not None:
                coming = self._ahead.submit(self._stacked, after)
            self._encoder.encode_prepared(pixels)

    def rate(self, pictures: Sequence[bytes], *, seconds: float) -> float:
        """Pictures per second, over rounds of all pictures that last about so long."""
        begun, done = perf_counter(), 0
        while perf_counter() - begun < seconds:
            self.encode(pictures)
            done += len(pictures)
        return done / (perf_counter() - begun)

    def _stacked(self, pictures: Sequence[bytes]) -> np.ndarray:
        return np.stack(list(self._decoders.map(prepared, pictures)))


def prepared(data: bytes) -> np.ndarray:
    """The square that the encoder looks at."""
    with Image.open(BytesIO(data)) as image:
        return centre_crop(np.asarray(image.convert("RGB")), short_side=SHORT_SIDE, side=SIDE)
