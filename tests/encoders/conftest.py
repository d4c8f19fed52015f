"""The builtin encoder, loaded once, and real pictures."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest

from handful.encoders.base import Progress
from handful.encoders.builtin import BuiltinEncoder
from handful.images import ImageSource
from handful.rows import Rows

TRASHNET = Path(__file__).parents[2] / "examples/data/trashnet"


@pytest.fixture(scope="session")
def builtin() -> BuiltinEncoder:
    return BuiltinEncoder()


@pytest.fixture(scope="session")
def pictures() -> list[Path]:
    """Ten pictures of each class of TrashNet."""
    return [path for folder in sorted(TRASHNET.iterdir()) for path in sorted(folder.glob("*.jpg"))[:10]]


class CountingEncoder:
    """Two columns; a picture becomes its shape, a text its length and a constant. Counts what it encodes."""

    name = "counting"
    dimension = 2
    fingerprint = "counting-1"
    background = None

    def __init__(self) -> None:
        self.images: list[ImageSource] = []
        self.texts: list[str] = []

    def encode_images(self, images: Iterable[ImageSource], *, progress: Progress | None = None) -> Rows:
        rows = []
        for done, image in enumerate(images, start=1):
            self.images.append(image)
            height, width = np.shape(image)[:2]
            rows.append([height, width])
            if progress is not None:
                progress(done)
        return np.array(rows, dtype=np.float32)

    def encode_texts(self, texts: Sequence[str]) -> Rows:
        self.texts.extend(texts)
        return np.array([[len(text), 1] for text in texts], dtype=np.float32)


@pytest.fixture
def counting() -> CountingEncoder:
    return CountingEncoder()
