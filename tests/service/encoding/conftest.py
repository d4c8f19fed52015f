"""An encoder that can be held up, and pictures as files."""

import threading
from collections.abc import Callable, Iterable, Sequence
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from handful.errors import ImageError
from handful.pixels import Pixels
from handful.rows import Rows
from handful.settings import Settings


class HeldEncoder:
    """A picture becomes its mean red and a one. Notes each batch; works only while `go` is set."""

    name = "held"
    dimension = 2
    fingerprint = "held-1"
    background = None

    def __init__(self) -> None:
        self.batches: list[list[int]] = []  # reds
        self.texts: list[list[str]] = []
        self.started = threading.Event()
        self.go = threading.Event()
        self.go.set()
        self.refused: int | None = None  # a red that makes it fail

    def encode_images(
        self, images: Iterable[Pixels], *, progress: Callable[[int], None] | None = None
    ) -> Rows:
        reds = [round(float(np.mean(image[..., 0]))) for image in images]
        self.batches.append(reds)
        self.started.set()
        if not self.go.wait(30):
            raise TimeoutError
        if self.refused in reds:
            raise ImageError(f"red {self.refused} is refused")
        return np.array([[red, 1] for red in reds], np.float32).reshape(len(reds), 2)

    def encode_texts(self, texts: Sequence[str]) -> Rows:
        self.texts.append(list(texts))
        return np.array([[len(text), 1] for text in texts], np.float32)

    @property
    def seen(self) -> list[int]:
        return [red for batch in self.batches for red in batch]


@pytest.fixture
def held() -> HeldEncoder:
    return HeldEncoder()


@pytest.fixture
def settings(tmp_path) -> Settings:
    return Settings(data_dir=tmp_path, decode_threads=1, shutdown_seconds=10)


@pytest.fixture(scope="session")
def picture() -> Callable[..., bytes]:
    """A file of one colour, lossless unless told otherwise."""

    def make(
        red: int, *, width: int = 6, height: int = 4, kind: str = "PNG", orientation: int | None = None
    ) -> bytes:
        image = Image.new("RGB", (width, height), (red, 100, 50))
        exif = Image.Exif()
        if orientation is not None:
            exif[0x0112] = orientation
            exif[0x010F] = "Camera of somebody"
        buffer = BytesIO()
        image.save(buffer, kind, exif=exif)
        return buffer.getvalue()

    return make
