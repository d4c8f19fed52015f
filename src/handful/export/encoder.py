"""From a model's name to a folder that Handful reads."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from hashlib import file_digest
from pathlib import Path
from typing import TYPE_CHECKING

from handful.errors import EncoderError
from handful.folders import replace_folder
from handful.images import Limits
from handful.sources import read

if TYPE_CHECKING:
    from onnx import ModelProto

    from handful.export.model import TorchModel
    from handful.export.parity import Parity, Precision

FORMAT = 1  # of handful.json
LEAST = 8  # pictures that int8 is calibrated by and compared on
_MOST = 128  # of them that are looked at, from all over
_HELD_OUT = 4  # every fourth picture is for the comparison only
_CARD = "README.md"
_STATED = "handful.json"
Say = Callable[[str], None]


def export_encoder(
    model: str,
    output: Path,
    *,
    pretrained: str | None = None,
    licence: str | None = None,
    fp16: bool = False,
    int8: bool = False,
    pictures: Sequence[str | Path | bytes] = (),
    say: Say = lambda text: None,
) -> list["Parity"]:
    """Write both towers of a model as ONNX, with tokenizer, preprocessing and card, into a new folder.

    model : an architecture of open_clip, "hf-hub:org/name" for open_clip, "org/name" for transformers, or a
        folder of either.
    pretrained : tag or file of an architecture's weights.    licence : instead of what the model's card says.
    fp16, int8 : write those files too.    pictures : for int8, of the kind that will be classified; they are
        also among those that all files are compared on.    say : told what is being done.

    The folder appears once its rows agree with torch's, and not before. Returns how near they are, by
    precision. Raises MissingExtraError without the extra `export`, and EncoderError where the model cannot be
    loaded or exported, the folder is there already, or rows disagree.
    """
    from handful.export import pytorch, samples

    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise EncoderError(f"{output} is there already; name a folder that is not, or remove it")
    spread = pictures[:: max(1, -(-len(pictures) // _MOST))]
    own = [read(picture, Limits().max_bytes) for picture in spread]
    if int8 and len(own) < LEAST:
        raise EncoderError(
            f"int8 needs pictures of the kind that will be classified, {LEAST} at least; got {len(own)}: "
            "name them with --calibrate"
        )
    pytorch.require()
    say(f"loading {model}")
    source = _loaded(model, pretrained)
    source = replace(source, licence=licence or source.licence)
    shown = [*samples.pictures(), *own[::_HELD_OUT]]
    found: list[Parity] = []

    def write(folder: Path) -> None:
        towers = _towers(source, say)
        _write_fixed(folder, source)
        for path, graph in towers.items():
            _save(graph, folder / path)
        found.append(_checked(folder, source, shown, "fp32", say))
        if fp16:
            from handful.export.smaller import halved

            for path, graph in towers.items():
                _save(halved(graph), _named(folder / path, "fp16"))
            found.append(_checked(folder, source, shown, "fp16", say))
        how: dict[str, str] = {}
        if int8:
            calibrating = [picture for place, picture in enumerate(own) if place % _HELD_OUT]
            how, best = _quantised(folder, source, calibrating, own[::_HELD_OUT], say)
            found.append(best)
        _finish(folder, source, towers, found, how)

    replace_folder(output, write, own=())
    return found


def _loaded(model: str, pretrained: str | None) -> "TorchModel":
    from handful.export import huggingface, licence, openclip

    folder = Path(model)
    if folder.is_dir():
        if huggingface.is_folder(model):
            source = huggingface.load(model)
        elif (folder / openclip.CONFIG).is_file():
            source = openclip.load(model)
        else:
            raise EncoderError(
                f"folder {model!r} holds neither {openclip.CONFIG} (open_clip) nor a config.json with "
                "model_type (transformers)"
            )
        return replace(source, licence=licence.of_folder(folder))
    if model.startswith("hf-hub:"):
        return replace(openclip.load(model), licence=licence.of_hub(model.removeprefix("hf-hub:")))
    if "/" in model:
        return replace(huggingface.load(model), licence=licence.of_hub(model))
    return openclip.load(model, pretrained=pretrained)


def _towers(source: "TorchModel", say: Say) -> "dict[str, ModelProto]":
    import torch

    from handful.export.graph import traced

    pictures = torch.zeros(2, 3, source.side, source.side)
    ids = torch.ones(2, source.context, dtype=torch.int32)
    say("writing the image tower")
    visual = traced(source.image_graph, [pictures], names=["image"], outputs=["embedding"])
    say("writing the text tower")
    textual = traced(
        source.text_tower, [ids for _ in source.text_inputs], names=source.text_inputs, outputs=["embedding"]
    )
    return {"visual/model.onnx": visual, "textual/model.onnx": textual}


def _save(graph: "ModelProto", file: Path) -> None:
    from handful.export.graph import save

    save(graph, file)


def _named(file: Path, precision: str) -> Path:
    return file.with_stem(f"{file.stem}_{precision}")


def _write_fixed(folder: Path, source: "TorchModel") -> None:
    for tower in ("visual", "textual"):
        (folder / tower).mkdir()
    _json(folder / "config.json", source.config)
    _json(folder / "visual" / "preprocess_cfg.json", source.preprocess)
    (folder / "textual" / "tokenizer.json").write_bytes(source.tokenizer)
    _json(folder / "textual" / "tokenizer_config.json", source.tokenizer_config)


def _checked(
    folder: Path, source: "TorchModel", pictures: Sequence[bytes], precision: "Precision", say: Say
) -> "Parity":
    from handful.export.parity import compared

    say(f"comparing {precision} with torch")
    found = compared(folder, source, pictures, precision)
    found.check()
    return found


def _quantised(
    folder: Path, source: "TorchModel", calibrating: Sequence[bytes], pictures: Sequence[bytes], say: Say
) -> "tuple[dict[str, str], Parity]":
    """Write the int8 files, the image tower in the first way that agrees with torch."""
    from handful.export import samples, smaller
    from handful.export.parity import LOWEST, compared

    say("writing int8")
    text, image = folder / "textual" / "model.onnx", folder / "visual" / "model.onnx"
    smaller.quantised_as_it_comes(text, _named(text, "int8"))
    examples = [{"image": source.prepare(picture)[None].numpy()} for picture in samples.opened(calibrating)]
    by_examples = f"weights and activations, in ranges seen in {len(examples)} pictures (static)"
    as_it_comes = "weights of matrices; activations by what each picture shows (dynamic)"
    ways: dict[str, Callable[[], None]] = {
        by_examples: lambda: smaller.quantised_by_examples(image, _named(image, "int8"), examples),
        as_it_comes: lambda: smaller.quantised_as_it_comes(image, _named(image, "int8")),
    }
    found: dict[str, Parity] = {}
    for way, quantise in ways.items():
        for old in image.parent.glob(f"{_named(image, 'int8').name}*"):
            old.unlink()
        quantise()
        say(f"comparing int8 with torch: {way}")
        found[way] = compared(folder, source, pictures, "int8")
        if min(found[way].pictures) >= LOWEST["int8"]:
            break
    found[way].check()
    return {"visual": way, "textual": as_it_comes.replace("picture", "text")}, found[way]


def _finish(
    folder: Path,
    source: "TorchModel",
    towers: "Mapping[str, ModelProto]",
    parities: Sequence["Parity"],
    how: Mapping[str, str],
) -> None:
    from handful.export import adaptable, card

    files = sorted(path for path in folder.rglob("*") if path.is_file())
    sizes = {
        path.relative_to(folder).as_posix(): path.stat().st_size for path in files if ".onnx" in path.name
    }
    (folder / _CARD).write_text(card.written(source, source.licence, sizes, parities, how), encoding="utf-8")
    _json(
        folder / _STATED,
        {
            "format": FORMAT,
            "name": source.name,
            "title": source.name,
            "source": source.origin,
            "licence": source.licence,
            "logit_scale": source.logit_scale,
            "logit_bias": source.logit_bias,
            "imagenet_top1": None,
            "files": {path.relative_to(folder).as_posix(): _digest(path) for path in files},
            "adaptable": adaptable.held(towers, source.parameters, source.adaptable),
        },
    )


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return file_digest(opened, "sha256").hexdigest()


def _json(file: Path, value: Mapping[str, object]) -> None:
    file.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
