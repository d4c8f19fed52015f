"""Profile an encoder: its background from a folder of pictures of anything."""

from collections.abc import Iterable

from handful.background import Background
from handful.encoders.base import Encoder, Progress, check_alone
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
    The share of an isotropic background (`Background.ridge`) and the anchors are the encoder's own too.
    Raises EmbeddingError for fewer than two pictures, and EncoderError for several encoders as one.
    """
    check_alone(encoder)
    rows = encoder.encode_images(images, progress=progress)
    known = encoder.background
    if known is None:
        return Background.fit(rows, logit_scale=100.0 if logit_scale is None else logit_scale)
    return Background.fit(
        rows, logit_scale=logit_scale or known.logit_scale, ridge=known.ridge, anchors=known.anchors
    )
