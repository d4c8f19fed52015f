"""Pictures per second of the builtin encoder beside a bare ONNX Runtime loop over the same pictures.

The bare loop has the batch, and the waiting of threads (spinning, ONNX Runtime's default, or not), that are
fastest here. Three loops:
files: PIL decodes, crops, the session runs; decoded: crops, the session runs; model only: the session runs on
squares that were cropped before (ours still crops them). Both sides alternate within a round; the ratio is
ours over bare, the median of the rounds, with the interval between the second and the last but one (96 % for
9 rounds). Resident memory is the peak of a process that encodes the pictures and one text.

    python benchmarks/encoder.py
"""

import argparse
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
from onnxruntime import InferenceSession, SessionOptions
from PIL import Image

from handful.encoders.builtin import BuiltinEncoder
from handful.encoders.crop import centre_crop
from handful.encoders.shipped import FOLDER
from tables import Row, command, print_table, write_result

ROOT = Path(__file__).parents[1]
SHORT_SIDE, SIDE = 292, 260
BATCHES = (1, 2, 4, 8)
ROUNDS = 9

Pixels = np.ndarray


def crop(picture: Pixels) -> Pixels:
    return centre_crop(picture, short_side=SHORT_SIDE, side=SIDE)


def decoded(path: Path) -> Pixels:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


class Bare:
    """What one writes in five lines."""

    def __init__(self, squares: Sequence[Pixels]) -> None:
        sessions = {spinning: self._session(spinning) for spinning in (True, False)}
        choices = [(spinning, batch) for spinning in sessions for batch in BATCHES]
        spent: dict[tuple[bool, int], list[float]] = {choice: [] for choice in choices}
        for _ in range(3):
            for spinning, self.batch in choices:
                self.session = sessions[spinning]
                spent[spinning, self.batch].append(seconds(lambda: self.run(squares, lambda square: square)))
        self.spinning, self.batch = min(choices, key=lambda choice: median(spent[choice]))
        self.session = sessions[self.spinning]

    @staticmethod
    def _session(spinning: bool) -> InferenceSession:
        options = SessionOptions()
        options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
        return InferenceSession(str(FOLDER / "image.onnx"), options)

    def run(self, items: Sequence[object], ready: Callable[[object], Pixels]) -> np.ndarray:
        rows = []
        for start in range(0, len(items), self.batch):
            pixels = np.stack([ready(item) for item in items[start : start + self.batch]])
            rows.append(self.session.run(["embedding"], {"pixels": pixels})[0])
        return np.concatenate(rows)


def seconds(work: Callable[[], object]) -> float:
    start = perf_counter()
    work()
    return perf_counter() - start


def compare(name: str, count: int, ours: Callable[[], object], bare: Callable[[], object]) -> Row:
    pairs = []
    for turn in range(ROUNDS):
        order = (ours, bare) if turn % 2 == 0 else (bare, ours)
        spent = {work: seconds(work) for work in order}
        pairs.append((spent[ours], spent[bare]))
    ratios = sorted(bare / ours for ours, bare in pairs)
    return {
        "pictures": name,
        "handful, per s": count / median(ours for ours, _ in pairs),
        "bare loop, per s": count / median(bare for _, bare in pairs),
        "ratio": median(ratios),
        "low": ratios[1],
        "high": ratios[-2],
    }


def resident(paths: Sequence[Path]) -> int:
    """Bytes at the peak of this process, once it has encoded pictures and a text."""
    encoder = BuiltinEncoder()
    encoder.encode_images(paths)
    encoder.encode_texts(["a photo of a bottle"])
    return peak_memory()


def peak_memory() -> int:
    """Bytes. On Linux not from getrusage: its peak is at least that of the parent process."""
    status = Path("/proc/self/status")
    if status.exists():
        [line] = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folder", type=Path, default=ROOT / "examples/data/trashnet", help="of JPEGs")
    parser.add_argument("--count", type=int, default=120, help="pictures of a round")
    parser.add_argument("--resident", action="store_true", help="print the peak memory in bytes, no more")
    args = parser.parse_args()

    paths = sorted(args.folder.rglob("*.jpg"))
    if not paths:
        parser.error(f"{args.folder} holds no .jpg")
    paths = paths[:: max(1, len(paths) // args.count)][: args.count]
    if args.resident:
        print(resident(paths))
        return

    pictures = [decoded(path) for path in paths]
    squares = [crop(picture) for picture in pictures]
    encoder, bare = BuiltinEncoder(), Bare(squares)
    rows = [
        compare(
            "files (decode included)",
            len(paths),
            lambda: encoder.encode_images(paths),
            lambda: bare.run(paths, lambda path: crop(decoded(path))),
        ),
        compare(
            "decoded",
            len(paths),
            lambda: encoder.encode_images(pictures),
            lambda: bare.run(pictures, crop),
        ),
        compare(
            "decoded; bare: model only",
            len(paths),
            lambda: encoder.encode_images(pictures),
            lambda: bare.run(squares, lambda square: square),
        ),
    ]
    child = [sys.executable, __file__, "--folder", str(args.folder), "--count", str(args.count), "--resident"]
    peak = int(subprocess.run(child, check=True, capture_output=True, text=True).stdout)
    print_table("Builtin encoder beside a bare ONNX Runtime loop", rows)
    notes = (
        f"peak resident memory {peak / 2**20:.0f} MiB; bare loop: batch {bare.batch}, "
        f"{'spinning' if bare.spinning else 'not spinning'}; "
        f"{len(paths)} pictures, {ROUNDS} rounds; ratio = ours / bare, low to high is its 96 % interval"
    )
    print(notes)
    write_result("encoder", command(), rows, notes, peak_resident_bytes=peak)


if __name__ == "__main__":
    main()
