"""The map from torch's weights to the initializers of a graph."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from kinds import KINDS
from onnx import numpy_helper

from handful.export import huggingface, openclip


def _model(made):
    return (openclip if made.kind.endswith("open_clip") else huggingface).load(str(made.source))


def _adaptable(made):
    return json.loads((made.folder / "handful.json").read_text())["adaptable"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_parts_put_together_are_torchs_weight(export, kind) -> None:
    made = export(kind)
    parameters = _model(made).parameters
    initializers = {
        (file, tensor.name): numpy_helper.to_array(tensor)
        for file in ("visual/model.onnx", "textual/model.onnx")
        for tensor in onnx.load(made.folder / file).graph.initializer
    }
    for name, parts in _adaptable(made).items():
        rebuilt = np.concatenate(
            [
                initializers[part["file"], part["initializer"]].T
                if part["transposed"]
                else initializers[part["file"], part["initializer"]]
                for part in parts
            ]
        )
        np.testing.assert_array_equal(rebuilt, parameters[name].numpy(), err_msg=name)


@pytest.mark.parametrize("kind", KINDS)
def test_every_matrix_of_attention_is_found(export, kind) -> None:
    made = export(kind)
    named = set(_model(made).adaptable)
    assert named
    assert named - set(_adaptable(made)) == set()


@pytest.mark.parametrize("kind", ["clip of open_clip", "biomed of open_clip", "clip of transformers"])
def test_other_weights_in_their_place_give_the_rows_of_other_weights_in_torch(export, kind) -> None:
    made = export(kind)
    model, places = _model(made), _adaptable(made)
    random = torch.Generator().manual_seed(0)
    options = onnxruntime.SessionOptions()
    kept = []
    for name, parts in places.items():
        weight = model.parameters[name]
        weight += 0.1 * torch.randn(weight.shape, generator=random)
        for part in parts:
            if part["file"] == "visual/model.onnx":
                rows = weight[slice(*part["rows"])].numpy()
                value = np.ascontiguousarray(rows.T if part["transposed"] else rows)
                kept.append(onnxruntime.OrtValue.ortvalue_from_numpy(value))
                options.add_initializer(part["initializer"], kept[-1])
    assert kept
    session = onnxruntime.InferenceSession(made.folder / "visual" / "model.onnx", options)
    pixels = torch.randn(3, 3, model.side, model.side, generator=random)
    with torch.no_grad():
        want = model.image_tower(pixels).numpy()
    np.testing.assert_allclose(session.run(None, {"image": pixels.numpy()})[0], want, atol=2e-4)
