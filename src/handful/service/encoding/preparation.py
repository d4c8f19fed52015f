"""What an encoder looks at, and how it looks at many at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from handful.augment import views
from handful.encoders.base import Encoder, PreparingEncoder
from handful.pixels import Pixels
from handful.rows import Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """An encoder's work in two steps; for an encoder that knows one only, the first step does nothing.

    at_least : the shorter side, in pixels, below which pictures need not be decoded; None: as they are.
    prepare : pixels → what is looked at.    encode : many of these → (N, D).
    """

    at_least: int | None
    prepare: Callable[[Pixels], Pixels]
    encode: Callable[[Sequence[Pixels]], Rows]

    @classmethod
    def of(cls, encoder: Encoder) -> "Preparation":
        if isinstance(encoder, PreparingEncoder):
            encode_prepared = encoder.encode_prepared
            return cls(
                at_least=encoder.at_least,
                prepare=encoder.prepare,
                encode=lambda prepared: encode_prepared(np.stack(prepared)),
            )
        return cls(at_least=None, prepare=lambda pixels: pixels, encode=encoder.encode_images)

    def of_views(self, pixels: Pixels, policy: str) -> list[Pixels]:
        """What is looked at of each view; the first is the plain picture."""
        plain, *_ = first = [self.prepare(pixels)]
        if policy == "none":
            return first
        # Turning and recolouring all pixels of a photo would take longer than looking at it.
        return [plain, *(self.prepare(view) for view in views(self._smaller(pixels), policy)[1:])]

    def _smaller(self, pixels: Pixels) -> Pixels:
        factor = min(pixels.shape[:2]) // self.at_least if self.at_least else 1
        return pixels if factor < 2 else np.asarray(Image.fromarray(pixels).reduce(factor))
