"""Model folders that were tampered with: each ends in a named error, in little time and memory."""

import base64
import json
import shutil
import struct
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

FIXTURES = Path(__file__).parents[1] / "encoders" / "fixtures"
GRAPHS = ("visual/model.onnx", "textual/model.onnx")


def graph(*nodes, inputs=(("image", [None, 3, 32, 32]),), outputs=(("embedding", [None, 12]),), **weights):
    """A small ONNX graph of these operators."""
    made = helper.make_graph(
        list(nodes),
        "tower",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def pooled(**told):
    """Mean colours, times a matrix."""
    mean = helper.make_node("ReduceMean", ["image"], ["mean"], axes=[2, 3], keepdims=0)
    rows = helper.make_node("MatMul", ["mean", "W"], ["embedding"])
    return graph(mean, rows, W=np.ones((3, told.pop("width", 12)), np.float32), **told)


def external(location: str) -> onnx.ModelProto:
    model = pooled()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return model


def put(name, content):
    def change(folder: Path) -> None:
        place = folder / name
        place.unlink(missing_ok=True)
        if isinstance(content, onnx.ModelProto):
            place.write_bytes(content.SerializeToString())
        elif isinstance(content, bytes):
            place.write_bytes(content)
        else:
            place.write_text(json.dumps(content))

    return change


def link(name, target):
    def change(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).symlink_to(target)

    return change


def cut(name, part):
    return lambda folder: put(name, (folder / name).read_bytes()[: int(part)])(folder)


def remove(name):
    return lambda folder: (folder / name).unlink()


def told(name, **changed):
    def change(folder: Path) -> None:
        put(name, json.loads((folder / name).read_text()) | changed)(folder)

    return change


REPLACE = {"type": "Replace", "pattern": {"Regex": "."}, "content": "x" * 60}
PIECE = struct.pack("<I", 4) + bytes(4) + b"x" * 100_000 + b"\0"
SPECIAL = {"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}}
SINGLE = {"Sequence": {"id": "A", "type_id": 0}}
MANY_MARKS = {
    "type": "TemplateProcessing",
    "single": [*[SPECIAL] * 400, SINGLE],
    "pair": [SINGLE, {"Sequence": {"id": "B", "type_id": 0}}],
    "special_tokens": {"<|endoftext|>": {"id": "<|endoftext|>", "ids": [1], "tokens": ["<|endoftext|>"]}},
}
FOREIGN = helper.make_node("Shell", ["image"], ["embedding"], domain="evil.example")
MANY = [helper.make_node("Identity", [f"x{i}"], [f"x{i + 1}"]) for i in range(200_001)]
CASES = {
    "no graph": (put(GRAPHS[0], b""), "0 bytes"),
    "noise for a graph": (put(GRAPHS[0], bytes(range(256)) * 40), "no ONNX graph"),
    "a graph that is cut off": (cut(GRAPHS[0], 9000), "no ONNX graph"),
    "text for a graph": (
        put(GRAPHS[0], b"version https://example.org/lfs\n" * 3),
        "no ONNX graph",
    ),
    "foreign operators": (put(GRAPHS[0], graph(FOREIGN)), "evil.example"),
    "very many operators": (put(GRAPHS[0], graph(*MANY)), "more than 200000 operators"),
    "weights above the folder": (put(GRAPHS[0], external("../../secret")), "own folder"),
    "weights at an absolute path": (put(GRAPHS[0], external("/etc/passwd")), "own folder"),
    "weights that are missing": (put(GRAPHS[0], external("gone.bin")), "not there"),
    "a graph that is a link out": (link(GRAPHS[0], "/etc/hostname"), "leads out"),
    "a tokenizer that is a link out": (link("textual/tokenizer.json", "/etc/hostname"), "leads out"),
    "pictures of another size": (
        put(GRAPHS[0], pooled(inputs=[("image", [None, 3, 64, 64])])),
        "takes one batch",
    ),
    "two inputs": (
        put(GRAPHS[0], pooled(inputs=[("image", [None, 3, 32, 32]), ("more", [None, 1])])),
        "takes one batch",
    ),
    "rows of another width": (
        put(GRAPHS[0], pooled(width=5, outputs=[("embedding", [None, 5])])),
        "different models",
    ),
    "rows with too many axes": (put(GRAPHS[0], pooled(outputs=[("embedding", [None, 12, 1])])), "gives rows"),
    "numbers that are not finite": (
        put(
            GRAPHS[0],
            graph(
                helper.make_node("ReduceMean", ["image"], ["mean"], axes=[2, 3], keepdims=0),
                helper.make_node("MatMul", ["mean", "W"], ["embedding"]),
                W=np.full((3, 12), np.nan, np.float32),
            ),
        ),
        "not finite",
    ),
    "a config that is no JSON": (put("config.json", b"{"), "no JSON"),
    "a config that is a list": (put("config.json", []), "an object is expected"),
    "a config of very deep lists": (put("config.json", b"[" * 100_000), "no JSON"),
    "a width that is none": (told("config.json", embed_dim=-1), "a number up to"),
    "a width as text": (told("config.json", embed_dim="12"), "a number up to"),
    "huge pictures": (told("visual/preprocess_cfg.json", size=[10**6, 10**6]), "height and a width"),
    "a deviation of zero": (told("visual/preprocess_cfg.json", std=[0, 0, 0]), "above 0"),
    "means of another number": (told("visual/preprocess_cfg.json", mean=[0]), "three numbers"),
    "an unknown filter": (told("visual/preprocess_cfg.json", interpolation="magic"), "interpolation"),
    "an unknown way to resize": (told("visual/preprocess_cfg.json", resize_mode="magic"), "resize_mode"),
    "no preprocessing": (remove("visual/preprocess_cfg.json"), "cannot be read"),
    "no tokenizer": (remove("textual/tokenizer.json"), "tokenizer.json is missing"),
    "noise for a tokenizer": (put("textual/tokenizer.json", b"\x00" * 100), "tokenizer.json cannot be read"),
    "a tokenizer that makes texts very long": (
        told("textual/tokenizer.json", normalizer={"type": "Sequence", "normalizers": [REPLACE] * 5}),
        "times as long",
    ),
    "a tokenizer with a long text for a character": (
        told(
            "textual/tokenizer.json",
            normalizer={"type": "Precompiled", "precompiled_charsmap": base64.b64encode(PIECE).decode()},
        ),
        "100000 times as long",
    ),
    "a tokenizer with more marks than the model reads": (
        told("textual/tokenizer.json", post_processor=MANY_MARKS),
        "tokenizer.json",
    ),
    "a tokenizer of very deep lists": (put("textual/tokenizer.json", b"[" * 100_000), "cannot be read"),
    "no text tower": (remove(GRAPHS[1]), "no files in fp32"),
    "a newer handful.json": (put("handful.json", {"format": 99}), "format 99"),
    "a scale that is none": (put("handful.json", {"format": 1, "logit_scale": "x"}), "logit_scale"),
    "noise for a background": (put("background.safetensors", b"\x08" + b"\x00" * 30), "cannot be used"),
}


@pytest.fixture(scope="module")
def outcomes(run_limited, tmp_path_factory):
    cases = {}
    for name, (change, _) in CASES.items():
        folder = tmp_path_factory.mktemp("model") / "model"
        shutil.copytree(FIXTURES / "clip-immich", folder)
        change(folder)
        cases[name] = (str(folder), str(tmp_path_factory.mktemp("cache")))
    sound = tmp_path_factory.mktemp("model") / "model"
    shutil.copytree(FIXTURES / "clip-immich", sound)
    cases["sound"] = (str(sound), str(tmp_path_factory.mktemp("cache")))
    return run_limited("targets:use_model", cases)


@pytest.mark.parametrize("name", CASES)
def test_a_hostile_model_is_refused_by_name(outcomes, name) -> None:
    outcome = outcomes[name]
    assert outcome.error == "EncoderError", outcome
    assert CASES[name][1] in outcome.text


def test_a_sound_model_is_used_under_the_same_limits(outcomes) -> None:
    assert outcomes["sound"].error is None, outcomes["sound"]
    assert outcomes["sound"].text == "[(1, 12), (1, 12), None]"
