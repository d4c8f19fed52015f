"""Rows of exported folders, from picture files and texts, beside those of the original models."""

import json

import numpy as np
import pytest
from kinds import KINDS
from originals import original

from handful.encoders import load_encoder
from handful.images import decode
from handful.settings import Settings

TEXTS = [
    "a photo of a cat",
    "A PHOTO of a Dog!",
    "ein schönes Café am Fluß, groß",
    "“curly quotes” and ﬁne ﬂowers",
    "猫の写真 и фото",
    "it's 3 o'clock, isn't it? (yes, no)",
    "x",
    "a very long description of a photo " * 30,
]


def _encoder(folder, precision="fp32"):
    return load_encoder(str(folder), settings=Settings(encoder_precision=precision), cached=False)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("precision", "least"), [("fp32", 0.9999), ("fp16", 0.999), ("int8", 0.99)])
def test_pictures_get_the_rows_that_torch_gives_them(export, photographs, kind, precision, least) -> None:
    made = export(kind)
    some = photographs if precision != "int8" else photographs[:12]
    ours = _encoder(made.folder, precision).encode_images(some)
    cosines = np.sum(ours * original(kind, made.source).pictures(some), axis=1)
    assert cosines.min() >= least


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("precision", "least"), [("fp32", 0.9999), ("fp16", 0.999), ("int8", 0.99)])
def test_texts_get_the_rows_that_torch_gives_them(export, kind, precision, least) -> None:
    made = export(kind)
    ours = _encoder(made.folder, precision).encode_texts(TEXTS)
    cosines = np.sum(ours * original(kind, made.source).texts(TEXTS), axis=1)
    assert cosines.min() >= least


@pytest.mark.parametrize("kind", KINDS)
def test_rows_tell_pictures_and_texts_apart(export, photographs, kind) -> None:
    encoder = _encoder(export(kind).folder)
    for rows in (encoder.encode_images(photographs[:6]), encoder.encode_texts(TEXTS[:3])):
        assert (rows @ rows.T).min() < 0.999


@pytest.mark.parametrize("kind", KINDS)
def test_preprocessing_is_within_one_of_255_of_the_original(export, photographs, kind) -> None:
    made = export(kind)
    encoder, model = _encoder(made.folder), original(kind, made.source)
    for source in photographs:
        theirs = model.pixels(source).numpy().transpose(1, 2, 0) * model.std + model.mean
        ours = encoder.prepare(decode(source, at_least=encoder.at_least))
        assert np.abs(ours / 255 - theirs).max() <= 1 / 255 + 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_of_any_size_is_encoded_as_one_by_one(export, photographs, kind) -> None:
    encoder = _encoder(export(kind).folder)
    together = encoder.encode_images(photographs)
    alone = np.concatenate([encoder.encode_images([photo]) for photo in photographs[:3]])
    np.testing.assert_allclose(together[:3], alone, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_scale_of_scores_is_the_models_own(export, kind) -> None:
    made = export(kind)
    stated = json.loads((made.folder / "handful.json").read_text())
    assert stated["logit_scale"] == pytest.approx(original(kind, made.source).scale)
