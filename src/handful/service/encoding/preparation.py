"""What an encoder looks at, and how it looks at many at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from handful.augment import views
from handful.encoders.base import Encoder, PreparingEncoder, SideBySideEncoder
from handful.pixels import Pixels
from handful.rows import Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """An encoder's work in two steps; for an encoder that knows one only, the first step does nothing.

    at_least : the shorter side, in pixels, below which pictures need not be decoded; None: as they are.
    prepare : pixels → what is looked at.    encode : many of these → (N, D).
    lanes : batches that may be encoded side by side, each by `beside`, where there are several.
    """

    at_least: int | None
    prepare: Callable[[Pixels], Pixels]
    encode: Callable[[Sequence[Pixels]], Rows]
    beside: Callable[[Sequence[Pixels]], Rows] | None = None
    lanes: int = 1

    @classmethod
    def of(cls, encoder: Encoder) -> "Preparation":
        if isinstance(encoder, PreparingEncoder):
            encode_prepared = encoder.encode_prepared
            made = cls(
                at_least=encoder.at_least,
                prepare=encoder.prepare,
                encode=lambda prepared: encode_prepared(np.stack(prepared)),
            )
            if isinstance(encoder, SideBySideEncoder) and encoder.lanes > 1:
                encode_beside = encoder.encode_beside
                return replace(
                    made, beside=lambda prepared: encode_beside(np.stack(prepared)), lanes=encoder.lanes
                )
            return made
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
