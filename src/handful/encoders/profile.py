"""Profile an encoder: its background from a folder of pictures of anything."""

from collections.abc import Iterable

from handful.background import Background
from handful.encoders.base import Encoder, Progress
from handful.images import ImageSource


def profile(
    encoder: Encoder,
    images: Iterable[ImageSource],
    *,
    logit_scale: float | None = None,
    progress: Progress | None = None,
) -> Background:
    """Mean and covariance of the encoder's rows of `images`: unlabelled, many, of all kinds.

    A thousand is a good number. logit_scale : from cosine to logits; None keeps the encoder's own.
    Raises EmbeddingError for fewer than two pictures.
    """
    if logit_scale is None:
        known = encoder.background
        logit_scale = 100.0 if known is None else known.logit_scale
    return Background.fit(encoder.encode_images(images, progress=progress), logit_scale=logit_scale)
