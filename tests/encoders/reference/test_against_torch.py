"""The graphs, in float32, compute what PyTorch computes with the same published weights."""

from pathlib import Path

import numpy as np
import pytest
import torch
import weights
from models import lite2_features, lite2_logits, minilm_sentence
from numpy.testing import assert_allclose, assert_array_equal
from safetensors.numpy import load_file

from conversion.graph import to_int8
from conversion.legacy_torch import load_checkpoint
from conversion.lite2 import image_graph
from conversion.minilm import text_graph
from golden import PICTURES, ROOT, TEXTS, golden, square
from handful.encoders.sentences import SentenceTower
from handful.encoders.session import SessionOptions, open_session
from handful.encoders.shipped import Shipped


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("weights")


def test_the_checkpoint_is_read_as_torch_reads_it(folder: Path) -> None:
    ours, theirs = load_checkpoint(weights.checkpoint(folder)), weights.lite2(folder)
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert_array_equal(ours[name], tensor.numpy())


@torch.inference_mode()
def test_logits_of_the_graph_are_those_of_torch_to_1e_4(folder: Path) -> None:
    w = weights.lite2(folder)
    arrays = {name: tensor.numpy() for name, tensor in w.items()}
    graph = image_graph(
        arrays, np.zeros(1280, "f4"), np.eye(1280, 4, dtype="f4"), storage="float32", version="test"
    )
    session = open_session(graph.SerializeToString(), SessionOptions(), name="the image tower")
    paths = [
        path
        for name in PICTURES
        for path in sorted((ROOT / "examples/data/trashnet" / name).glob("*.jpg"))[:3]
    ]
    pixels = np.stack([square(path) for path in paths])
    [features] = session.run(["features"], {"pixels": pixels})
    expected = lite2_features(w, torch.tensor(pixels))
    assert_allclose(features, expected.numpy(), atol=1e-4)
    logits = features @ arrays["_fc.weight"].T + arrays["_fc.bias"]
    assert_allclose(logits, lite2_logits(w, expected).numpy(), atol=1e-4)


@torch.inference_mode()
def test_sentences_of_the_graph_are_those_of_torch_to_1e_5(folder: Path) -> None:
    w = weights.minilm(folder)
    graph = text_graph({name: t.numpy() for name, t in w.items()}, storage="float32", version="test")
    tokenizer = Shipped.open().read("tokenizer.json")
    tower = SentenceTower(graph.SerializeToString(), tokenizer, max_tokens=256, options=SessionOptions())
    texts = [*TEXTS, "a long text about rust on old cars " * 20, "x"]
    tokens = [tower._tokenizer.encode(text).ids for text in texts]
    assert_allclose(tower(texts), np.stack([minilm_sentence(w, ids).numpy() for ids in tokens]), atol=1e-5)


def test_the_golden_values_are_those_of_torch(folder: Path) -> None:
    kept = load_file(Path(__file__).parents[1] / "golden.safetensors")
    for name, value in golden(folder).items():
        assert_allclose(value, kept[name], atol=1e-4)


def test_int8_errs_by_half_a_step_at_most() -> None:
    array = np.random.default_rng(0).normal(size=(4, 16, 3)).astype("f4")
    codes, scale = to_int8(array, axis=1)
    wide = codes * scale.astype("f4")
    assert (np.abs(wide - array) <= np.abs(array).max(axis=1, keepdims=True) / 127 * 0.51).all()
    assert_array_equal(to_int8(np.zeros((1, 16, 1), "f4"), axis=1)[0], 0)
