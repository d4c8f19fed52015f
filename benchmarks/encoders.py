"""ONNX dual encoders beside a bare ONNX Runtime loop over the same graphs, and beside torch in eager mode.

Pictures: ours takes uint8 squares, as decoding threads hand them over, and gives unit rows; the bare loop and
torch get float batches that were normalised before, and their outputs are left as they are. Texts: ours
takes words, the bare loop their ids. Each side has the batch that is fastest for it, the bare loop also the
waiting of threads (spinning or not). Sides alternate within a round; a ratio is ours over the other, the
median of the rounds, with the interval between the second and the last but one.

    python benchmarks/encoders.py                           # the small fixtures of the tests
    python benchmarks/encoders.py FOLDER…                   # encoders of your own
    python benchmarks/encoders.py --architecture ViT-B-32   # random weights in that shape; needs extra export
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
from onnxruntime import InferenceSession, SessionOptions

from handful.encoders import load_encoder
from handful.encoders.base import PreparingEncoder
from handful.settings import Settings
from tables import Row, command, print_table, write_result

ROOT = Path(__file__).parents[1]
FIXTURES = ROOT / "tests" / "encoders" / "fixtures"
BATCHES = (1, 2, 4, 8, 16)
TEXTS = [f"a photo of a thing, number {number}." for number in range(64)]
TOWERS = (("visual/model.onnx", "textual/model.onnx"), ("onnx/vision_model.onnx", "onnx/text_model.onnx"))

Work = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Side:
    """Something that encodes `count` things, in portions of `batch`."""

    name: str
    batch: int
    work: Work


def seconds(work: Work) -> float:
    start = perf_counter()
    work()
    return perf_counter() - start


def fastest(sides: Sequence[Side]) -> Side:
    """The one with the smallest median of three runs, one after another."""
    spent: dict[int, list[float]] = {at: [] for at in range(len(sides))}
    for _ in range(3):
        for at, side in enumerate(sides):
            spent[at].append(seconds(side.work))
    return sides[min(spent, key=lambda at: median(spent[at]))]


def compared(label: str, count: int, ours: Side, other: Side, rounds: int) -> Row:
    pairs = []
    for turn in range(rounds):
        order = (ours, other) if turn % 2 == 0 else (other, ours)
        spent = {side.name: seconds(side.work) for side in order}
        pairs.append((spent[ours.name], spent[other.name]))
    ratios = sorted(theirs / own for own, theirs in pairs)
    return {
        "encoder": label,
        "beside": f"{other.name}, batch {other.batch}",
        "handful, per s": count / median(own for own, _ in pairs),
        "other, per s": count / median(theirs for _, theirs in pairs),
        "ratio": median(ratios),
        "low": ratios[1],
        "high": ratios[-2],
    }


def in_batches(run: Callable[[Any], object], items: Any, batch: int) -> Work:
    def work() -> None:
        for start in range(0, len(items), batch):
            run(items[start : start + batch])

    return work


def bare(graph: Path, feeds: dict[str, np.ndarray]) -> Side:
    """The fastest of what one writes in five lines."""
    sides = []
    count = len(next(iter(feeds.values())))
    for spinning in (True, False):
        options = SessionOptions()
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
        session = InferenceSession(str(graph), options)
        wanted = [one.name for one in session.get_inputs()]
        kinds = {one.name: np.int32 if "int32" in one.type else np.int64 for one in session.get_inputs()}

        def run(places: range, session: InferenceSession = session, wanted: list[str] = wanted) -> None:
            chosen = {name: feeds[name][places.start : places.stop] for name in wanted}
            session.run(None, chosen)

        for name in wanted:
            if feeds[name].dtype.kind == "i":
                feeds[name] = feeds[name].astype(kinds[name])
        waits = "spinning" if spinning else "not spinning"
        sides += [
            Side(f"bare ONNX Runtime, {waits}", batch, in_batches(run, range(count), batch))
            for batch in BATCHES
        ]
    return fastest(sides)


def ids_of(folder: Path, graph: Path, texts: Sequence[str]) -> dict[str, np.ndarray]:
    """What a text tower is fed, cut and padded to its length; values matter little to its speed."""
    from tokenizers import Tokenizer

    place = next(
        path for path in (folder / "textual" / "tokenizer.json", folder / "tokenizer.json") if path.exists()
    )
    tokenizer = Tokenizer.from_file(str(place))
    inputs = InferenceSession(str(graph)).get_inputs()
    length = (
        inputs[0].shape[1]
        if isinstance(inputs[0].shape[1], int)
        else max(len(e.ids) for e in tokenizer.encode_batch(texts))
    )
    rows = np.zeros((len(texts), length), np.int64)
    for row, encoding in zip(rows, tokenizer.encode_batch(list(texts)), strict=True):
        found = encoding.ids[:length]
        row[: len(found)] = found
    return {one.name: np.ones_like(rows) if "mask" in one.name else rows.copy() for one in inputs}


def measured(label: str, folder: Path, pictures: int, rounds: int, torch_model: Any) -> Iterator[Row]:
    """A row for each tower and each other side. torch_model : of the same weights, or None."""
    encoder = load_encoder(f"{folder}/", settings=Settings(), cached=False)
    if not isinstance(encoder, PreparingEncoder):
        raise SystemExit(f"{folder}: not an encoder of squares")
    visual, textual = next((folder / one, folder / two) for one, two in TOWERS if (folder / one).exists())
    noise = np.random.default_rng(0)
    squares = np.stack(
        [encoder.prepare(noise.integers(0, 256, (480, 640, 3), dtype=np.uint8)) for _ in range(pictures)]
    )
    floats = np.ascontiguousarray((squares.astype(np.float32) / 127.5 - 1).transpose(0, 3, 1, 2))
    ours = fastest(
        [Side("handful", batch, in_batches(encoder.encode_prepared, squares, batch)) for batch in BATCHES]
    )
    (name,) = (one.name for one in InferenceSession(str(visual)).get_inputs() if len(one.shape) == 4)
    yield compared(f"{label}, pictures", pictures, ours, bare(visual, {name: floats}), rounds)
    if torch_model is not None:
        eager = fastest(
            [
                Side("torch, eager", batch, in_batches(partial(_eager, torch_model), floats, batch))
                for batch in BATCHES
            ]
        )
        yield compared(f"{label}, pictures", pictures, ours, eager, rounds)
    words = Side("handful", len(TEXTS), lambda: encoder.encode_texts(TEXTS))
    yield compared(
        f"{label}, texts", len(TEXTS), words, bare(textual, ids_of(folder, textual, TEXTS)), rounds
    )


def _eager(model: Any, batch: np.ndarray) -> None:
    import torch

    with torch.inference_mode():
        model.image_tower(torch.from_numpy(batch))


@contextmanager
def exported(architecture: str) -> Iterator[tuple[Path, Any]]:
    """A folder and the model in torch, with random weights in the shape of an architecture of open_clip."""
    from handful.export import export_encoder, openclip, pytorch

    pytorch.require()
    import json

    import open_clip
    import torch
    from safetensors.torch import save_file

    with TemporaryDirectory() as scratch:
        source, folder = Path(scratch) / "source", Path(scratch) / architecture
        source.mkdir()
        torch.manual_seed(0)
        model = open_clip.create_model(architecture, pretrained=None)
        config = {"model_cfg": open_clip.get_model_config(architecture), "preprocess_cfg": {}}
        (source / "open_clip_config.json").write_text(json.dumps(config))
        save_file(
            {name: value.contiguous() for name, value in model.state_dict().items()},
            source / "open_clip_model.safetensors",
        )
        export_encoder(str(source), folder)
        yield folder, openclip.load(str(source))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, help="encoders; none: the fixtures of the tests")
    parser.add_argument(
        "--architecture", action="append", default=[], help="of open_clip, with random weights"
    )
    parser.add_argument("--pictures", type=int, default=32, help="of a round")
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    if args.architecture and (find_spec("torch") is None or find_spec("open_clip") is None):
        parser.error("--architecture needs torch and open_clip: pip install 'handful[export]'")

    folders = args.folders
    if not folders and not args.architecture:
        folders = sorted(path for path in FIXTURES.iterdir() if (path / "config.json").exists())
    rows = [
        row
        for folder in folders
        for row in measured(folder.name, folder.resolve(), args.pictures, args.rounds, None)
    ]
    for architecture in args.architecture:
        with exported(architecture) as (folder, model):
            rows += measured(architecture, folder, args.pictures, args.rounds, model)
    print_table("ONNX dual encoders beside a bare loop and torch", rows)
    notes = (
        f"{args.pictures} squares or {len(TEXTS)} texts, {args.rounds} rounds; ratio = ours / other; "
        "random weights throughout"
    )
    print(notes)
    write_result("encoders", command(), rows, notes)


if __name__ == "__main__":
    sys.exit(main())
