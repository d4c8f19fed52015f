"""Pictures are decoded while those before them are encoded."""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from handful.encoders.base import PreparingEncoder, Progress
from handful.images import ImageSource, Limits, decode_many
from handful.pixels import Pixels
from handful.rows import Rows

# Pictures of a batch: one per thread, within these. Larger ones leave the processor's cache and are slower,
# and each picture takes 20 MB while it is encoded.
_FEWEST, _MOST = 2, 8


def encoded_ahead(
    encoder: PreparingEncoder,
    images: Iterable[ImageSource],
    *,
    limits: Limits,
    dimension: int,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Rows:
    """(N, dimension) rows, batch by batch.    threads : of the encoder; None: one per core."""
    rows = [np.empty((0, dimension), np.float32)]
    done = 0
    seen = map(encoder.prepare, decode_many(images, limits=limits, at_least=encoder.at_least))
    batch = min(max(threads or os.cpu_count() or 1, _FEWEST), _MOST)

    def take() -> list[Pixels]:
        return list(islice(seen, batch))

    with ThreadPoolExecutor(1, thread_name_prefix="handful-pixels") as ahead:
        coming = ahead.submit(take)
        while pixels := coming.result():
            coming = ahead.submit(take)
            prepared: NDArray[np.uint8] = np.stack(pixels)
            rows.append(encoder.encode_prepared(prepared))
            done += len(pixels)
            if progress is not None:
                progress(done)
    return np.concatenate(rows)
