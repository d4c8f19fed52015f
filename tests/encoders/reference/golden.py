"""Write golden.safetensors: what PyTorch computes with the published weights, in float32.

python tests/encoders/reference/golden.py
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from models import lite2_features, lite2_logits, minilm_sentence
from PIL import Image
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
DATA = ROOT / "src/handful/encoders/data"
PICTURES = ["cardboard", "glass", "metal", "trash"]  # the first picture of each
TEXTS = ["tench", "a photo of a glass bottle", "Ein Foto von einem Hund, das im Regen steht!", "rust"]


def square(path: Path) -> np.ndarray:
    """Short side to 292, the middle 260 × 260, in one bicubic step."""
    image = Image.open(path).convert("RGB")
    kept = min(image.size) * 260 / 292
    left, top = (image.width - kept) / 2, (image.height - kept) / 2
    return np.asarray(
        image.resize((260, 260), Image.Resampling.BICUBIC, box=(left, top, left + kept, top + kept))
    )


def projected(rows: torch.Tensor, classifier: torch.Tensor) -> torch.Tensor:
    """On the 512 leading right singular vectors of the centred classifier, largest entry positive."""
    centred = classifier.double() - classifier.double().mean(dim=0)
    directions = torch.linalg.svd(centred, full_matrices=False)[2][:512]
    largest = directions.abs().argmax(dim=1, keepdim=True)
    directions = directions * directions.gather(1, largest).sign()
    return rows.double() @ directions.T


def sentences(weights: dict[str, torch.Tensor], texts: list[str]) -> torch.Tensor:
    tokenizer = Tokenizer.from_file(str(DATA / "tokenizer.json"))
    tokenizer.no_padding()
    return torch.stack([minilm_sentence(weights, tokenizer.encode(text).ids) for text in texts])


@torch.inference_mode()
def golden(folder: Path) -> dict[str, np.ndarray]:
    import weights

    image, text = weights.lite2(folder), weights.minilm(folder)
    paths = [sorted((ROOT / "examples/data/trashnet" / name).glob("*.jpg"))[0] for name in PICTURES]
    features = lite2_features(image, torch.tensor(np.stack([square(path) for path in paths])))
    classifier = image["_fc.weight"]
    centre = torch.tensor(load_file(DATA / "classes.safetensors")["centre"])

    names = (DATA / "classes.txt").read_text().splitlines()
    known = sentences(text, names) + sentences(text, [f"a photo of a {name}" for name in names])
    known = torch.nn.functional.normalize(known)
    asked = sentences(text, TEXTS)
    unit = torch.nn.functional.normalize
    cosine = unit(asked - known.mean(dim=0)) @ unit(known - known.mean(dim=0)).T
    mixed = torch.softmax(9 * cosine, dim=1) @ (classifier - classifier.mean(dim=0))
    found = {
        "features": features,
        "logits": lite2_logits(image, features),
        "embedding": unit(projected(features - centre, classifier)),
        "sentence": asked,
        "text": unit(projected(mixed, classifier)),
    }
    return {name: value.float().numpy() for name, value in found.items()}


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "scripts"))
    with TemporaryDirectory() as folder:
        save_file(golden(Path(folder)), HERE.parent / "golden.safetensors")
