"""What tests share: pictures, and encoders to look at them with."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import httpx2
import numpy as np
import pytest
from tests.redis_servers import clustered, redis_7, redis_8, tls_certificates  # noqa: F401 - fixtures

import handful
from handful.background import Background
from handful.encoders import Encoder
from handful.images import decode_many
from handful.rows import Rows, unit

TRASHNET = Path(__file__).parents[1] / "examples" / "data" / "trashnet"
COLOURS = {"red": (200, 30, 30), "green": (30, 190, 40), "blue": (20, 40, 210), "yellow": (210, 200, 40)}


class TinyEncoder:
    """Sees 3 × 3 mean colours; reads the names of colours. Counts what it is given."""

    name = "tiny"
    dimension = 28

    def __init__(self, *, fingerprint: str = "tiny-1", background: Background | None = None) -> None:
        self.fingerprint = fingerprint
        self.background = background
        self.pictures_seen = 0
        self.texts_read = 0

    def encode_images(
        self, images: Iterable[object], *, progress: Callable[[int], None] | None = None
    ) -> Rows:
        rows = [np.zeros((0, self.dimension), np.float32)]
        for done, picture in enumerate(decode_many(images), 1):
            parts = [part for band in np.array_split(picture, 3) for part in np.array_split(band, 3, axis=1)]
            rows.append(_row(np.concatenate([part.mean(axis=(0, 1)) for part in parts])))
            if progress is not None:
                progress(done)
        self.pictures_seen += len(rows) - 1
        return np.concatenate(rows)

    def encode_texts(self, texts: Sequence[str]) -> Rows:
        self.texts_read += len(texts)
        rows = [np.zeros((0, self.dimension), np.float32)]
        for text in texts:
            seen = next((colour for name, colour in COLOURS.items() if name in text), (128, 128, 128))
            rows.append(_row(np.tile(seen, 9)))
        return np.concatenate(rows)


def _row(colours: np.ndarray) -> Rows:
    """Colours around mid grey, and a constant, so that no picture is nothing."""
    centred = np.append(colours / 127.5 - 1, 0.5)
    return unit(centred[None]).astype(np.float32)


@pytest.fixture(scope="session", autouse=True)
def _cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests neither find nor leave embeddings in the user's cache."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("HANDFUL_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def tiny_encoder() -> TinyEncoder:
    return TinyEncoder()


@pytest.fixture(scope="session")
def tiny_encoder_class() -> type[TinyEncoder]:
    return TinyEncoder


@pytest.fixture(scope="session")
def coloured() -> Callable[..., list[np.ndarray]]:
    """Pictures of a colour under noise."""

    def make(colour: str, count: int, *, seed: int = 0, side: int = 12) -> list[np.ndarray]:
        rng = np.random.default_rng([seed, *colour.encode()])
        noise = rng.normal(0, 40, (count, side, side, 3))
        return list(np.clip(np.array(COLOURS[colour]) + noise, 0, 255).astype(np.uint8))

    return make


@pytest.fixture(scope="session")
def encoder() -> Encoder:
    """The builtin encoder."""
    return handful.load_encoder("builtin")


@pytest.fixture(scope="session")
def trashnet() -> Path:
    """Six folders of 60 photos each."""
    return TRASHNET


@pytest.fixture(scope="session")
def trashnet_shots() -> Callable[..., tuple[list[Path], list[str]]]:
    """Photos of TrashNet and their labels: `count` of each class from the `first` one on."""

    def take(
        count: int, *, first: int = 0, classes: Sequence[str] | None = None
    ) -> tuple[list[Path], list[str]]:
        folders = sorted(folder for folder in TRASHNET.iterdir() if folder.is_dir())
        pictures = [
            picture
            for folder in folders
            if classes is None or folder.name in classes
            for picture in sorted(folder.iterdir())[first : first + count]
        ]
        return pictures, [picture.parent.name for picture in pictures]

    return take


@pytest.fixture(scope="session")
def serving(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., AbstractContextManager[str]]:
    """`with serving() as url`: a server process on a free port, warm, with data of its own.

    settings : HANDFUL_… by their names in lower case.
    """

    @contextmanager
    def serve(data: Path | None = None, **settings: object) -> Iterator[str]:
        folder = data or tmp_path_factory.mktemp("served")
        environment = {name: text for name, text in os.environ.items() if not name.startswith("HANDFUL_")}
        environment |= {f"HANDFUL_{name.upper()}": str(value) for name, value in settings.items()}
        command = [sys.executable, "-c", "from handful.cli import app; app()", "serve"]
        with (folder / "log.txt").open("w+") as log:
            process = subprocess.Popen(
                [*command, "--port", "0", "--data", str(folder)],
                env={**environment, "OMP_NUM_THREADS": "1", "HANDFUL_ENCODER_THREADS": "1"},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            try:
                yield _ready(process, folder / "log.txt")
            finally:
                process.terminate()
                process.wait(30)

    return serve


def _ready(process: "subprocess.Popen[bytes]", log: Path) -> str:
    """The address of a server, once it is warm."""
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up and process.poll() is None:
        found = re.search(r"serves on (http://[^ ]+)", log.read_text())
        if found is not None:
            with suppress(httpx2.TransportError):  # not listening yet
                if httpx2.get(f"{found[1]}/readyz").is_success:
                    return found[1]
        time.sleep(0.05)
    raise AssertionError(f"the server did not start:\n{log.read_text()}")


@pytest.fixture(scope="session")
def url(serving: Callable[..., AbstractContextManager[str]]) -> Iterator[str]:
    """A server that tests share; it needs no key."""
    with serving() as address:
        yield address
