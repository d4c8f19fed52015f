"""What hostile tests call in their children."""

import tempfile
from pathlib import Path

import numpy as np

from handful.adapters import Head
from handful.background import Background
from handful.encoders import load_encoder
from handful.errors import RequestError
from handful.images import Limits
from handful.service.transfer.archives import ArchiveLimits, class_folders, scan
from handful.service.transfer.ndjson import numbered_lines, parsed_line
from handful.service.transfer.package import read_package
from handful.settings import Settings


def read_head(case):
    """Read (head's bytes, background's bytes or None), and ask it all there is to ask."""
    data, background = case
    head = Head.from_bytes(data, None if background is None else Background.from_bytes(background))
    Q = np.eye(2, head.dimension)
    return [ask(Q).shape for ask in (head.scores, head.probabilities, head.known)]


def open_head(data):
    """Only read."""
    return Head.from_bytes(data).method


def read_background(data):
    """Read, and use as `auto` does."""
    background = Background.from_bytes(data)
    return [background.whitening.shape, background.anything.shape]


def read_archive(data):
    """Look through an archive, and read all of its files."""
    path = Path(tempfile.mkdtemp()) / "archive"
    path.write_bytes(data)
    limits = ArchiveLimits(files=50_000, unpacked=8 * 2**30, file=20 * 2**20)
    scanned = scan(path, limits)
    return sum(len(entry.data) for entry in class_folders(path, limits, scanned))


def read_lines(data):
    """Parse each line of a file."""
    path = Path(tempfile.mkdtemp()) / "lines"
    path.write_bytes(data)
    found = []
    for _, line, _ in numbered_lines(path, 0):
        try:
            found.append("too long" if line is None else parsed_line(line).name)
        except RequestError as exc:
            found.append(str(exc)[:40])
    return found


def open_package(data):
    """Read an exported classifier."""
    path = Path(tempfile.mkdtemp()) / "package"
    path.write_bytes(data)
    limits = ArchiveLimits(files=50_000, unpacked=8 * 2**30, file=2**28)
    return read_package(path, limits, Limits()).classifier.name


def use_model(case):
    """Open (folder, cache folder) as an encoder, and see and read with it."""
    folder, cache = case
    encoder = load_encoder(folder, settings=Settings(cache_dir=cache, data_dir=cache), cached=False)
    seen = encoder.encode_images([np.full((40, 50, 3), 200, np.uint8)])
    return [seen.shape, encoder.encode_texts(["a cat"]).shape, encoder.background]
