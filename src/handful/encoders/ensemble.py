"""Several encoders as one: their rows side by side."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from handful.background import FEWEST_PARTS, MOST_PARTS, JoinedBackground
from handful.encoders.ahead import encoded_ahead
from handful.encoders.base import Composite, Encoder, PreparingEncoder, Progress, SideBySideEncoder
from handful.encoders.cache import name_the_culprit, portions
from handful.encoders.sentences import checked_texts
from handful.errors import EncoderError, ImageError
from handful.images import ImageSource, Limits, decode_many
from handful.pixels import Pixels
from handful.rows import Rows, side_by_side

SEPARATOR = "+"
_BLANK = (8, 8, 3)  # pixels


def ensemble(parts: Sequence[Encoder], *, limits: Limits | None = None) -> "Ensemble":
    """Two to four encoders as one, that decodes each picture once where the parts let it.

    limits : for reading pictures.
    Raises EncoderError for too few or too many, for the same one twice, and for an ensemble as a part.
    """
    if not FEWEST_PARTS <= len(parts) <= MOST_PARTS:
        raise EncoderError(
            f"an ensemble of {len(parts)} encoders; there are {FEWEST_PARTS} to {MOST_PARTS} in one"
        )
    if any(isinstance(part, Composite) for part in parts):
        raise EncoderError("an ensemble has encoders for its parts, no ensembles; name them one by one")
    for at, part in enumerate(parts):
        if any(part.fingerprint == other.fingerprint for other in parts[:at]):
            raise EncoderError(
                f"{part.name!r} stands in the ensemble twice, or under two names; it would say the same twice"
            )
    prepare = all(isinstance(part, PreparingEncoder) for part in parts)
    return PreparingEnsemble(parts, limits=limits) if prepare else Ensemble(parts, limits=limits)


class Ensemble:
    """Rows are the parts' rows side by side, each at 1/√n, so that the whole has unit length.

    Heads see each part by itself (`handful.adapters.ensemble`). Towers are the parts': used alone or
    together, a process holds them once.
    """

    def __init__(self, parts: Sequence[Encoder], *, limits: Limits | None = None) -> None:
        self._parts = tuple(parts)
        self._limits = limits or Limits()
        self._background: JoinedBackground | None = None

    @property
    def parts(self) -> tuple[Encoder, ...]:
        """The encoders, in order."""
        return self._parts

    @property
    def name(self) -> str:
        return SEPARATOR.join(part.name for part in self._parts)

    @property
    def dimension(self) -> int:
        return sum(part.dimension for part in self._parts)

    @property
    def fingerprint(self) -> str:
        """Digest of the parts', in order."""
        said = SEPARATOR.join(part.fingerprint for part in self._parts)
        return sha256(said.encode()).hexdigest()[:16]

    @property
    def background(self) -> JoinedBackground:
        """Each part's own, which says too where a part begins; the same object while the parts' are."""
        own = [part.background for part in self._parts]
        known = self._background
        if known is None or any(one is not other for one, other in zip(own, known.parts, strict=True)):
            self._background = known = JoinedBackground(
                [(part.dimension, background) for part, background in zip(self._parts, own, strict=True)]
            )
        return known

    def encode_images(self, images: Iterable[ImageSource], *, progress: Progress | None = None) -> Rows:
        """(N, D) unit rows. Each part reads the pictures by itself."""
        decode_many(images)  # reads nothing yet, but raises for one picture in place of several
        rows = [np.empty((0, self.dimension), np.float32)]
        done = 0
        for pictures in portions(images, self._limits):
            try:
                own = [
                    part.encode_images(pictures, progress=self._told(progress, done, at, len(pictures)))
                    for at, part in enumerate(self._parts)
                ]
            except ImageError:
                name_the_culprit(pictures, done, self._limits)
                raise
            rows.append(side_by_side(own))
            done += len(pictures)
        return np.concatenate(rows)

    def encode_texts(self, texts: Sequence[str]) -> Rows:
        """(M, D) unit rows. Raises EncoderError for an empty text, and where a part reads none."""
        checked = checked_texts(texts)
        return side_by_side([part.encode_texts(checked) for part in self._parts])

    def _told(self, progress: Progress | None, done: int, at: int, count: int) -> Progress | None:
        """What part `at` of the ensemble is to tell of `count` pictures, after `done`."""
        if progress is None:
            return None
        return lambda encoded: progress(done + (at * count + encoded) // len(self._parts))


class PreparingEnsemble(Ensemble):
    """An ensemble whose parts all prepare pictures: what they look at travels as one flat array."""

    @property
    def at_least(self) -> int:
        """What the most demanding part needs."""
        return max(part.at_least for part in self._preparing)

    def prepare(self, pixels: Pixels) -> Pixels:
        """(F,) uint8: what each part looks at, one after the other."""
        return np.concatenate([part.prepare(pixels).ravel() for part in self._preparing])

    def encode_prepared(self, prepared: NDArray[np.uint8]) -> Rows:
        """(N, D) unit rows of (N, F)."""
        own = zip(self._preparing, self._looked_at(prepared), strict=True)
        return side_by_side([part.encode_prepared(squares) for part, squares in own])

    @property
    def lanes(self) -> int:
        """The fewest of any part; 1 where one has none."""
        beside = [part for part in self._preparing if isinstance(part, SideBySideEncoder)]
        return min(part.lanes for part in beside) if len(beside) == len(self._parts) else 1

    def encode_beside(self, prepared: NDArray[np.uint8]) -> Rows:
        """As `encode_prepared`, on one thread where the parts can."""
        own = zip(self._preparing, self._looked_at(prepared), strict=True)
        return side_by_side(
            [
                part.encode_beside(squares)
                if isinstance(part, SideBySideEncoder)
                else part.encode_prepared(squares)
                for part, squares in own
            ]
        )

    def encode_images(self, images: Iterable[ImageSource], *, progress: Progress | None = None) -> Rows:
        """(N, D) unit rows. Each picture is decoded once, while those before are encoded."""
        return encoded_ahead(self, images, limits=self._limits, dimension=self.dimension, progress=progress)

    @cached_property
    def _preparing(self) -> tuple[PreparingEncoder, ...]:
        return tuple(part for part in self._parts if isinstance(part, PreparingEncoder))

    @cached_property
    def _shapes(self) -> list[tuple[int, ...]]:
        """Of what each part looks at."""
        blank = np.zeros(_BLANK, np.uint8)
        return [part.prepare(blank).shape for part in self._preparing]

    def _looked_at(self, prepared: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
        sizes = [int(np.prod(shape)) for shape in self._shapes]
        split = np.split(prepared, np.cumsum(sizes)[:-1], axis=1)
        return [
            np.ascontiguousarray(own).reshape(len(prepared), *shape)
            for own, shape in zip(split, self._shapes, strict=True)
        ]
