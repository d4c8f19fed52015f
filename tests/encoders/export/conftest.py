"""Needs the extra `export`. To run it: python -m pytest tests/encoders/export.

All weights are random: no published ones could be had where these tests were written.
"""

import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from handful.export import export_encoder, pytorch

_ROOT = Path(__file__).parents[3]
sys.path[:0] = [str(Path(__file__).parent), str(_ROOT / "scripts")]

collect_ignore_glob = [] if find_spec("torch") and find_spec("open_clip") else ["*.py"]

if not collect_ignore_glob:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytorch.require()

_SIZES = (
    (320, 240),
    (240, 320),
    (333, 250),
    (251, 334),
    (900, 90),
    (61, 700),
    (32, 32),
    (33, 32),
    (64, 32),
    (9, 14),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What torch, timm and transformers warn about is their own affair."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore::Warning"))


@dataclass(frozen=True)
class Exported:
    """A model in torch's own folder, and what the export made of it."""

    source: Path
    folder: Path
    kind: str


@pytest.fixture(scope="session")
def photographs() -> list[bytes]:
    """Photos of TrashNet as JPEGs: cut into many sizes, one grey, two that EXIF turns."""
    files = sorted((_ROOT / "examples" / "data" / "trashnet").glob("*/00[0-3].jpg"))
    made = [file.read_bytes() for file in files[:6]]
    for place, size in enumerate(_SIZES):
        with Image.open(files[place]) as photo:
            cut = photo.resize(size)
        if place == 2:
            cut = cut.convert("L")
        exif = Image.Exif()
        if place in (1, 4):
            exif[0x0112] = (6, 8)[place // 4]
        out = BytesIO()
        cut.save(out, "JPEG", quality=92, exif=exif)
        made.append(out.getvalue())
    return made


@pytest.fixture(scope="session")
def export(tmp_path_factory: pytest.TempPathFactory, photographs: list[bytes]) -> Callable[[str], Exported]:
    """A model of one of KINDS, exported in all precisions, once."""
    done: dict[str, Exported] = {}

    def exported(kind: str) -> Exported:
        if kind not in done:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                done[kind] = _exported(kind, tmp_path_factory.mktemp("export"), photographs)
        return done[kind]

    return exported


def _exported(kind: str, scratch: Path, photographs: list[bytes]) -> Exported:
    from kinds import KINDS

    from tiny import huggingface, openclip

    shape, _, of = kind.partition(" of ")
    build = getattr({"open_clip": openclip, "transformers": huggingface}[of], shape)
    source = build(scratch / f"tiny-{shape}", seed=KINDS.index(kind) + 20)
    folder = scratch / "exported"
    export_encoder(str(source), folder, fp16=True, int8=True, pictures=photographs)
    return Exported(source=source, folder=folder, kind=kind)
