"""Write tests/encoders/fixtures: small dual encoders in the layouts that Handful reads, with what PyTorch
computes of pictures and texts beside them. Needs the extra `export`; seeds are fixed.

    python scripts/encoder_fixtures.py
"""

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image, ImageOps

HERE = Path(__file__).parent
ROOT = HERE.parent
FIXTURES = ROOT / "tests" / "encoders" / "fixtures"
EXAMPLES = ROOT / "examples" / "data"
sys.path[:0] = [str(HERE), str(ROOT / "src")]

from handful.export import pytorch  # noqa: E402

pytorch.require()

import onnx  # noqa: E402
import safetensors.numpy  # noqa: E402
import torch  # noqa: E402
from transformers import XLMRobertaConfig, XLMRobertaModel  # noqa: E402

from handful.export import graph, huggingface, openclip, smaller  # noqa: E402
from handful.export.model import TorchModel  # noqa: E402
from tiny import huggingface as tiny_huggingface  # noqa: E402
from tiny import openclip as tiny_openclip  # noqa: E402
from tiny import vocabularies, weights  # noqa: E402

TEXTS = [
    "a photo of a cat",
    "a photo of a dog",
    "A PHOTO of a Dog!",
    "ein schönes Café am Fluß",
    "猫の写真",
    "x",
    "  two   spaces\tand a tab ",
    "it's 3 o'clock, isn't it? (yes & no)",
    "a very long description of a photo " * 20,
]


def main() -> None:
    """Write all of them anew."""
    if FIXTURES.exists():
        shutil.rmtree(FIXTURES)
    _pictures(FIXTURES / "pictures")
    with TemporaryDirectory() as scratch:
        _all(Path(scratch))
    for folder in sorted(FIXTURES.iterdir()):
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        sys.stdout.write(f"{folder.name}: {size / 1000:.0f} kB\n")


def _all(scratch: Path) -> None:
    clip = openclip.load(str(tiny_openclip.clip(scratch / "tiny-clip", seed=1)))
    _immich(clip, FIXTURES / "clip-immich", smaller_too=True)
    _immich(clip, FIXTURES / "clip-external", external=True)
    mobile = openclip.load(str(tiny_openclip.mobileclip(scratch / "tiny-mobileclip", seed=2)))
    _immich(mobile, FIXTURES / "mobileclip-immich")
    siglip = openclip.load(str(tiny_openclip.siglip(scratch / "tiny-siglip", seed=3)))
    _immich(siglip, FIXTURES / "siglip-immich")
    biomed = openclip.load(str(tiny_openclip.biomed(scratch / "tiny-biomed", seed=4)))
    _immich(biomed, FIXTURES / "biomed-immich")
    _multilingual(clip, FIXTURES / "multilingual-immich")
    folder = tiny_huggingface.clip(scratch / "clip", seed=5)
    _transformers(
        huggingface.load(str(folder)), folder, FIXTURES / "clip-transformers", mask=True, smaller_too=True
    )
    folder = tiny_huggingface.siglip(scratch / "siglip", seed=6)
    _transformers(huggingface.load(str(folder)), folder, FIXTURES / "siglip-transformers", mask=False)


def _pictures(folder: Path) -> None:
    """A photo as it is, a panorama that EXIF turns, a small grey one."""
    folder.mkdir(parents=True)
    photo = EXAMPLES / "trashnet" / "cardboard" / "000.jpg"
    (folder / "photo.jpg").write_bytes(photo.read_bytes())
    with Image.open(EXAMPLES / "trashnet" / "glass" / "000.jpg") as glass:
        width, height = glass.size
        wide = glass.crop((0, height // 3, width, height // 3 + 60))
        exif = Image.Exif()
        exif[0x0112] = 6
        wide.save(folder / "turned.jpg", quality=90, exif=exif)
        glass.convert("L").resize((27, 41)).save(folder / "grey.jpg", quality=90)
    (folder / "SOURCE.md").write_text(
        "Of TrashNet (MIT), see examples/data/trashnet/SOURCE.md; "
        "cut and shrunk by scripts/encoder_fixtures.py.\n"
    )


def _immich(model: TorchModel, folder: Path, *, external: bool = False, smaller_too: bool = False) -> None:
    towers = _towers(model)
    for name, tower in towers.items():
        file = folder / name / "model.onnx"
        if external:
            file.parent.mkdir(parents=True)
            onnx.save_model(
                tower, str(file), save_as_external_data=True, location="model.onnx_data", size_threshold=256
            )
        else:
            graph.save(tower, file)
        if smaller_too:
            graph.save(smaller.halved(tower), file.with_stem("model_fp16"))
            smaller.quantised_as_it_comes(file, file.with_stem("model_int8"))
    _json(folder / "config.json", model.config)
    _json(folder / "visual" / "preprocess_cfg.json", model.preprocess)
    (folder / "textual" / "tokenizer.json").write_bytes(model.tokenizer)
    _json(folder / "textual" / "tokenizer_config.json", model.tokenizer_config)
    _golden(model, folder)


def _towers(model: TorchModel) -> dict[str, onnx.ModelProto]:
    pictures = torch.zeros(2, 3, model.side, model.side)
    ids = torch.ones(2, model.context, dtype=torch.int32)
    return {
        "visual": graph.traced(model.image_graph, [pictures], names=["image"], outputs=["embedding"]),
        "textual": graph.traced(
            model.text_tower, [ids for _ in model.text_inputs], names=model.text_inputs, outputs=["embedding"]
        ),
    }


def _transformers(
    model: TorchModel, source: Path, folder: Path, *, mask: bool, smaller_too: bool = False
) -> None:
    """The files of transformers.js: int64 ids, the projected rows of CLIP or the pooled ones of SigLIP."""

    class WithStates(torch.nn.Module):
        """As published for SigLIP: the states of all tokens come first."""

        def __init__(self, tower: torch.nn.Module, part: str) -> None:
            super().__init__()
            self.part = getattr(tower.model, part)

        def forward(self, given: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            seen = self.part(given)
            return seen.last_hidden_state, seen.pooler_output

    pictures = torch.zeros(2, 3, model.side, model.side)
    ids = torch.ones(2, model.context, dtype=torch.int64)
    if mask:
        vision = graph.traced(model.image_tower, [pictures], names=["pixel_values"], outputs=["image_embeds"])
        text = graph.traced(
            model.text_tower, [ids, ids], names=["input_ids", "attention_mask"], outputs=["text_embeds"]
        )
    else:
        outputs = ["last_hidden_state", "pooler_output"]
        vision = graph.traced(
            WithStates(model.image_tower, "vision_model"), [pictures], names=["pixel_values"], outputs=outputs
        )
        text = graph.traced(
            WithStates(model.text_tower, "text_model"), [ids], names=["input_ids"], outputs=outputs
        )
    for name, tower in (("vision_model", vision), ("text_model", text)):
        file = folder / "onnx" / f"{name}.onnx"
        graph.save(tower, file)
        if smaller_too:
            graph.save(smaller.halved(tower), file.with_stem(f"{name}_fp16"))
            smaller.quantised_as_it_comes(file, file.with_stem(f"{name}_quantized"))
    for name in ("config.json", "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((source / name).read_bytes())
    _golden(model, folder)


def _multilingual(clip: TorchModel, folder: Path) -> None:
    """A text tower of its own that is told which tokens count: XLM-R, the mean of its states."""
    tokenizer = vocabularies.multilingual_pieces(vocabulary=400)
    context = 32

    class Multilingual(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            config = XLMRobertaConfig(
                vocab_size=tokenizer.get_vocab_size(),
                hidden_size=16,
                num_hidden_layers=2,
                num_attention_heads=2,
                intermediate_size=32,
                max_position_embeddings=context + 2,
                type_vocab_size=1,
                pad_token_id=1,
            )
            self.transformer = XLMRobertaModel(config, add_pooling_layer=False)
            self.projection = torch.nn.Linear(16, clip.dimension)

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            states = self.transformer(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
            counted = attention_mask[:, :, None].to(states.dtype)
            return self.projection((states * counted).sum(1) / counted.sum(1))

    def tokenise(texts: Sequence[str]) -> Mapping[str, torch.Tensor]:
        tokenizer.enable_truncation(context)
        tokenizer.enable_padding(length=context, pad_id=1, pad_token="<pad>")
        encoded = tokenizer.encode_batch(list(texts))
        return {
            "input_ids": torch.tensor([one.ids for one in encoded]),
            "attention_mask": torch.tensor([one.attention_mask for one in encoded]),
        }

    tower = Multilingual()
    weights.fill(tower, seed=7)
    plain = json.loads(tokenizer.to_str())
    model = TorchModel(
        **{name: getattr(clip, name) for name in TorchModel.__slots__}
        | {
            "text_tower": tower.eval(),
            "text_inputs": ("input_ids", "attention_mask"),
            "context": context,
            "config": {
                **clip.config,
                "text_cfg": {"context_length": context, "hf_model_name": "xlm-roberta"},
            },
            "tokenizer": json.dumps(plain, ensure_ascii=False, separators=(",", ":")).encode(),
            "tokenizer_config": {
                "tokenizer_class": "XLMRobertaTokenizer",
                "bos_token": "<s>",
                "eos_token": "</s>",
                "pad_token": "<pad>",
                "model_max_length": context,
            },
            "tokenise": tokenise,
        }
    )
    _immich(model, folder)


def _golden(model: TorchModel, folder: Path) -> None:
    """pixels (P, 3, S, S) and images (P, D) of the pictures, token_ids (T, L) and texts (T, D) of `TEXTS`."""
    names = sorted(file.name for file in (FIXTURES / "pictures").glob("*.jpg"))
    opened = [
        ImageOps.exif_transpose(Image.open(FIXTURES / "pictures" / name)).convert("RGB") for name in names
    ]
    ids = model.tokenise(TEXTS)
    arrays = {
        "pixels": torch.stack([model.prepare(picture) for picture in opened]).numpy(),
        "images": model.rows_of_pictures(opened).numpy(),
        "token_ids": ids[model.text_inputs[0]].numpy().astype(np.int64),
        "texts": model.rows_of_texts(TEXTS).numpy(),
    }
    if len(model.text_inputs) > 1:
        arrays["attention_mask"] = ids[model.text_inputs[1]].numpy().astype(np.int64)
    about = {
        "pictures": json.dumps(names),
        "texts": json.dumps(TEXTS, ensure_ascii=False),
        "logit_scale": f"{model.logit_scale:.9g}",
    }
    written = safetensors.numpy.save(arrays, metadata=about)
    (folder / "golden.safetensors").write_bytes(_in_order(written))


def _in_order(written: bytes) -> bytes:
    """Its header by name: safetensors writes that of two runs in two orders."""
    length = int.from_bytes(written[:8], "little")
    header = json.dumps(json.loads(written[8 : 8 + length]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + written[8 + length :]


def _json(file: Path, value: Mapping[str, object]) -> None:
    file.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
