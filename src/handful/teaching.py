"""Teaching: from labelled pictures to shots with their rows."""

import os
import warnings
from collections.abc import Collection, Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Any

import numpy as np
from PIL import Image

from handful.augment import ASKED, policy_named, views
from handful.datasets import Dataset, read_dataset
from handful.encoders import Encoder
from handful.errors import SupportError
from handful.images import ImageSource, Limits, decode_many, digest
from handful.labels import Labels, as_labels, is_missing, native
from handful.pixels import Pixels, is_one_picture
from handful.progress import Shown, progress_bar
from handful.rows import IntArray, Rows, mean_rows
from handful.settings import Settings
from handful.shots import Shots
from handful.sources import describe
from handful.tables import Frame, frame_images


def as_pictures(images: Any) -> list[ImageSource]:
    """Pictures as a list, from a sequence, an array (N, H, W, 3), a data frame, or a single picture."""
    if isinstance(images, str | bytes | os.PathLike | Image.Image) or hasattr(images, "read"):
        return [images]
    if isinstance(images, np.ndarray) and images.dtype.kind in "OUS":
        return list(images.ravel())
    if isinstance(images, np.ndarray) and is_one_picture(images):
        return [images]
    if isinstance(images, Frame):
        return frame_images(images)
    if not isinstance(images, Iterable):
        raise SupportError(f"a {type(images).__name__} holds no pictures; give a list of them")
    return list(images)


def labelled(
    images: object, labels: Iterable[Any] | None, groups: Iterable[Any] | None
) -> tuple[list[ImageSource], Labels, Iterable[Any] | None]:
    """Pictures, their labels and groups, as people give them: apart, or together in a data set.

    Warns of what a folder held that is left out. Raises SupportError or DatasetError.
    """
    if labels is None:
        if isinstance(images, str | os.PathLike | Frame) and not isinstance(images, Dataset):
            images = read_dataset(images)
            for note in images.notes:
                warnings.warn(note, UserWarning, stacklevel=4)  # where fit was called
        if isinstance(images, Dataset):
            return list(images.images), as_labels(images.labels), images.groups if groups is None else groups
    pictures, truths = as_pictures(images), as_labels(() if labels is None else labels)
    if len(pictures) != len(truths):
        raise SupportError(
            f"there are {len(pictures)} pictures and {'no' if labels is None else len(truths)} labels; "
            "give one label for each, or a folder of class folders"
        )
    return pictures, truths, groups


def as_groups(groups: Iterable[Any] | None, count: int) -> list[str | None]:
    """A name for each picture, None for those without a group. Raises SupportError where some are left."""
    if groups is None:
        return [None] * count
    named = [None if is_missing(group) else str(group) for group in groups]
    if len(named) != count:
        raise SupportError(f"there are {count} pictures and {len(named)} groups; give one group for each")
    return named


def picture_limits() -> Limits:
    """What pictures may claim, by the settings."""
    settings = Settings()
    return Limits(
        max_bytes=settings.image_max_bytes,
        max_pixels=settings.image_max_pixels,
        max_side=settings.image_max_side,
    )


def asked_rows(encoder: Encoder, pictures: Sequence[ImageSource], *, views: str, shown: Shown) -> Rows:
    """(B, D) of pictures that are asked by some of `augment.ASKED`: the unit mean of each one's views.

    Raises SupportError for other views.
    """
    if views not in ASKED:
        raise SupportError(f"a picture is not asked by views {views!r}; choose one of: {', '.join(ASKED)}")
    X, counts = encode(encoder, pictures, policy=views, shown=shown)
    return mean_rows(X.reshape(len(counts), policy_named(views).count, X.shape[1]))


def encode(
    encoder: Encoder, pictures: Sequence[ImageSource], *, policy: str = "none", shown: Shown
) -> tuple[Rows, IntArray]:
    """Rows of each picture's views, (R, D), and how many each has, (N,). Each picture is decoded once."""
    per_picture = policy_named(policy).count
    with progress_bar("Encoding", len(pictures) * per_picture, shown) as told:
        sources = pictures if per_picture == 1 else _views(pictures, policy)
        X = encoder.encode_images(sources, progress=told)
    return X, np.full(len(pictures), per_picture, np.int64)


def picture_shots(
    encoder: Encoder,
    pictures: Sequence[ImageSource],
    labels: Labels,
    groups: Iterable[Any] | None,
    *,
    policy: str,
    taken: Collection[str],
    shown: Shown,
) -> Shots:
    """Shots of labelled pictures, one label each.

    policy : of their views.    taken : ids that are given already.
    """
    named, limits = as_groups(groups, len(pictures)), picture_limits()
    digests = [digest(picture, limits=limits) for picture in pictures]
    X, rows = encode(encoder, pictures, policy=policy, shown=shown)
    return Shots.of(
        X,
        labels=[native(label) for label in labels],
        sources=[describe(picture) for picture in pictures],
        digests=digests,
        groups=named,
        rows=rows,
        taken=taken,
    )


def row_shots(X: Rows, labels: Labels, groups: Iterable[Any] | None) -> Shots:
    """Shots of labelled embeddings, one row each."""
    return Shots.of(
        X,
        labels=[native(label) for label in labels],
        sources=[f"row {at}" for at in range(len(X))],
        digests=[sha256(row.tobytes()).hexdigest() for row in X],
        groups=as_groups(groups, len(X)),
        rows=np.ones(len(X), np.int64),
    )


def _views(pictures: Sequence[ImageSource], policy: str) -> Iterator[Pixels]:
    for pixels in decode_many(pictures, limits=picture_limits()):
        yield from views(pixels, policy)
