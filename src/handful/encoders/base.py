"""What an encoder is."""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from handful.background import Background
from handful.errors import EncoderError
from handful.images import ImageSource
from handful.pixels import Pixels
from handful.rows import Rows

Progress = Callable[[int], None]  # told the number of pictures done so far


@runtime_checkable
class Encoder(Protocol):
    """A frozen image tower and text tower into one space of unit rows."""

    @property
    def name(self) -> str:
        """As `load_encoder` knows it."""
        ...

    @property
    def dimension(self) -> int:
        """Columns D of its rows."""
        ...

    @property
    def fingerprint(self) -> str:
        """Digest of weights and preprocessing: embeddings of equal fingerprints may be mixed."""
        ...

    @property
    def background(self) -> Background | None:
        """How it sees pictures of anything, or None where nobody has profiled it."""
        ...

    def encode_images(self, images: Iterable[ImageSource], *, progress: Progress | None = None) -> Rows:
        """(N, D) unit rows. Raises ImageError for a picture that cannot be read."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> Rows:
        """(M, D) unit rows in the space of the pictures. Raises EncoderError for an empty text."""
        ...


@runtime_checkable
class PreparingEncoder(Protocol):
    """What an encoder may have besides: its work on pictures in two steps, for those who decode and batch."""

    @property
    def at_least(self) -> int:
        """What `images.decode` is to be told: a picture's shorter side, in pixels, that is looked at."""
        ...

    def prepare(self, pixels: Pixels) -> Pixels:
        """(S, S, 3) what the image tower looks at, of a decoded picture (H, W, 3)."""
        ...

    def encode_prepared(self, prepared: NDArray[np.uint8]) -> Rows:
        """(N, D) unit rows of (N, S, S, 3)."""
        ...


@runtime_checkable
class SideBySideEncoder(PreparingEncoder, Protocol):
    """What an encoder may have besides: batches side by side, for which its threads need not wait for
    each other as they must within one.
    """

    @property
    def lanes(self) -> int:
        """How many batches side by side keep it busy; 1 where one of them does."""
        ...

    def encode_beside(self, prepared: NDArray[np.uint8]) -> Rows:
        """As `encode_prepared`, the same rows, on one thread."""
        ...


@runtime_checkable
class Unloadable(Protocol):
    """What an encoder may have besides: towers that it gives back, and loads again when it is asked."""

    @property
    def loaded_bytes(self) -> int:
        """About the memory that its towers take now; 0 where none is loaded. Loads nothing."""
        ...

    def unload(self) -> None:
        """Let go of the towers. Calls that run still end with theirs."""
        ...


@runtime_checkable
class Weighed(Protocol):
    """What an encoder may have besides: room can be made for it before it is loaded the first time."""

    @property
    def needed_bytes(self) -> int:
        """About the memory that its towers take once all are loaded. Loads nothing."""
        ...


@runtime_checkable
class Composite(Protocol):
    """What an encoder may be besides: made of others, whose towers it has no copies of."""

    @property
    def parts(self) -> Sequence[Encoder]:
        """The others, which may themselves be used alone."""
        ...


def leaves(encoder: Encoder) -> list[Encoder]:
    """The encoders that hold towers: the parts of a composite, and theirs; else the encoder itself."""
    if isinstance(encoder, Composite):
        return [leaf for part in encoder.parts for leaf in leaves(part)]
    return [encoder]


def check_alone(encoder: Encoder) -> None:
    """Raises EncoderError for a composite, which has no background but those of its parts."""
    if isinstance(encoder, Composite):
        names = [part.name for part in encoder.parts]
        raise EncoderError(
            f"{encoder.name!r} is several encoders, each with its own background; give one for each of them: "
            f"{', '.join(names)}"
        )
