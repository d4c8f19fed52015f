"""Pictures and texts that were encoded once are not encoded again."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from typing import TypeVar

import numpy as np
from PIL import Image

from handful.background import Background
from handful.encoders.base import Encoder, Progress
from handful.encoders.sentences import checked_texts
from handful.encoders.store import Key, Row, RowStore
from handful.errors import ImageError
from handful.images import ImageSource, Limits, decode, decode_many, digest
from handful.rows import Rows
from handful.sources import describe

T = TypeVar("T")

_MOST = 256  # pictures looked up and encoded together
_HELD_BYTES = 64 * 2**20  # of pictures in memory, over which fewer are taken together


class CachedEncoder:
    """An encoder with a memory: rows are kept by content, and by the fingerprint of what made them.

    encoder : does the work.    store : holds the rows.    limits : for reading pictures, the encoder's own.
    """

    def __init__(self, encoder: Encoder, store: RowStore, *, limits: Limits | None = None) -> None:
        self.encoder = encoder
        self._store = store
        self._limits = limits or Limits()

    @property
    def name(self) -> str:
        return self.encoder.name

    @property
    def dimension(self) -> int:
        return self.encoder.dimension

    @property
    def fingerprint(self) -> str:
        return self.encoder.fingerprint

    @property
    def background(self) -> Background | None:
        return self.encoder.background

    def encode_images(self, images: Iterable[ImageSource], *, progress: Progress | None = None) -> Rows:
        """(N, D) unit rows; progress counts pictures whose row was known, too."""
        decode_many(images)  # reads nothing yet, but raises for one picture in place of several
        rows = [np.empty((0, self.dimension), dtype=np.float32)]
        done = 0
        for pictures in portions(images, self._limits):
            try:
                keys = [self._key("image", digest(picture, limits=self._limits)) for picture in pictures]
                rows.append(self._rows(keys, pictures, self._images_encoder(done, len(pictures), progress)))
            except ImageError:
                name_the_culprit(pictures, done, self._limits)
                raise
            done += len(pictures)
            if progress is not None:
                progress(done)
        return np.concatenate(rows)

    def encode_texts(self, texts: Sequence[str]) -> Rows:
        """(M, D) unit rows."""
        checked = checked_texts(texts)
        if not checked:
            return np.empty((0, self.dimension), dtype=np.float32)
        keys = [self._key("text", text) for text in checked]
        return self._rows(keys, checked, self.encoder.encode_texts)

    def _key(self, kind: str, content: str) -> Key:
        said = f"{self.fingerprint} {kind} {content}"
        return sha256(said.encode("utf-8", "surrogatepass")).digest()

    def _rows(self, keys: Sequence[Key], items: Sequence[T], encode: Callable[[list[T]], Rows]) -> Rows:
        known = self._store.get(keys)
        new = {key: item for key, item in zip(keys, items, strict=True) if key not in known}
        if new:
            made: dict[Key, Row] = dict(zip(new, encode(list(new.values())), strict=True))
            self._store.put(made)
            known |= made
        return np.stack([known[key] for key in keys])

    def _images_encoder(
        self, done: int, count: int, progress: Progress | None
    ) -> Callable[[list[ImageSource]], Rows]:
        """Encodes the new ones of `count` pictures, and tells `progress` as if the known ones came first."""

        def encode(pictures: list[ImageSource]) -> Rows:
            before = done + count - len(pictures)
            told = None if progress is None else lambda encoded: progress(before + encoded)
            return self.encoder.encode_images(pictures, progress=told)

        return encode


def name_the_culprit(pictures: Sequence[ImageSource], before: int, limits: Limits) -> None:
    """An encoder saw some of the pictures only: raise the ImageError again with the place among all."""
    for number, picture in enumerate(pictures, start=before + 1):
        decode(picture, limits=limits, name=f"{describe(picture)}, number {number} of those given")


def portions(images: Iterable[ImageSource], limits: Limits) -> Iterator[list[ImageSource]]:
    """Lists of pictures that can be read twice, short where they lie in memory: a generator's pictures need
    not fit there.
    """
    portion: list[ImageSource] = []
    held = 0
    for picture in images:
        again = _readable_again(picture, limits)
        portion.append(again)
        held += _bytes_held(again)
        if len(portion) == _MOST or held > _HELD_BYTES:
            yield portion
            portion, held = [], 0
    if portion:
        yield portion


def _readable_again(picture: ImageSource, limits: Limits) -> ImageSource:
    """A picture is read twice, for its digest and for its pixels, which a stream cannot be."""
    if isinstance(picture, str | bytes | os.PathLike | Image.Image | np.ndarray) or picture.seekable():
        return picture
    return picture.read(limits.max_bytes + 1)


def _bytes_held(picture: ImageSource) -> int:
    if isinstance(picture, np.ndarray):
        return picture.nbytes
    if isinstance(picture, Image.Image):
        return picture.width * picture.height * 4
    return len(picture) if isinstance(picture, str | bytes) else 0
