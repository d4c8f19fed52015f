"""Dual encoders from folders, against what PyTorch made of the same pictures and texts."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import load_file

import handful
from handful.encoders import load, load_encoder
from handful.errors import EncoderError, ModelError
from handful.images import decode
from handful.settings import Settings

FIXTURES = Path(__file__).parent / "fixtures"
FOLDERS = sorted(folder.parent for folder in FIXTURES.glob("*/golden.safetensors"))
PICTURES = sorted((FIXTURES / "pictures").glob("*.jpg"))
with safe_open(FOLDERS[0] / "golden.safetensors", "numpy") as golden:
    TEXTS = json.loads(golden.metadata()["texts"])
SMALLER = [("clip-immich", "fp16"), ("clip-immich", "int8"), ("clip-transformers", "fp16")]
SMALLER += [("clip-transformers", "int8")]


def opened(folder: Path, cache: Path, precision: str = "fp32"):
    settings = Settings(encoder_precision=precision, cache_dir=cache, data_dir=cache)
    return load_encoder(str(folder), settings=settings, cached=False)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_pictures_and_texts_get_the_rows_that_torch_gave_them(folder, tmp_path) -> None:
    golden, encoder = load_file(folder / "golden.safetensors"), opened(folder, tmp_path)
    images, texts = encoder.encode_images(PICTURES), encoder.encode_texts(TEXTS)
    assert images.dtype == texts.dtype == np.float32
    assert np.sum(images * golden["images"], axis=1).min() >= 0.9999
    assert np.sum(texts * golden["texts"], axis=1).min() >= 0.9999
    assert encoder.dimension == images.shape[1] == texts.shape[1]


@pytest.mark.parametrize(("name", "precision"), SMALLER)
def test_smaller_files_give_nearly_the_same_rows(name, precision, tmp_path) -> None:
    golden = load_file(FIXTURES / name / "golden.safetensors")
    encoder = opened(FIXTURES / name, tmp_path, precision)
    lowest = {"fp16": 0.999, "int8": 0.99}[precision]
    assert np.sum(encoder.encode_images(PICTURES) * golden["images"], axis=1).min() >= lowest
    assert np.sum(encoder.encode_texts(TEXTS) * golden["texts"], axis=1).min() >= lowest
    assert encoder.fingerprint != opened(FIXTURES / name, tmp_path).fingerprint


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_preprocessing_is_that_of_the_reference_pipeline(folder, tmp_path) -> None:
    golden, encoder = load_file(folder / "golden.safetensors"), opened(folder, tmp_path)
    told = encoder._preprocessing
    for picture, theirs in zip(PICTURES, golden["pixels"], strict=True):
        ours = told.values(encoder.prepare(decode(picture, at_least=encoder.at_least))[None], np.float32)[0]
        difference = np.abs(ours - theirs) * np.array(told.std)[:, None, None]
        assert difference.max() <= 1e-5  # of 1


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_tokens_are_those_of_the_reference_tokenizer(folder, tmp_path) -> None:
    golden, encoder = load_file(folder / "golden.safetensors"), opened(folder, tmp_path)
    ids, mask = encoder._text_tower()._tokens(TEXTS)
    np.testing.assert_array_equal(ids, golden["token_ids"])
    if "attention_mask" in golden:
        np.testing.assert_array_equal(mask, golden["attention_mask"])


def test_a_missing_precision_is_said_with_those_that_are_there(tmp_path) -> None:
    with pytest.raises(EncoderError, match=r"no files in int8; it has fp32"):
        opened(FIXTURES / "siglip-immich", tmp_path, "int8")


def test_the_fingerprint_covers_weights_preprocessing_and_tokenizer(tmp_path) -> None:
    seen = {opened(FIXTURES / "clip-external", tmp_path).fingerprint}
    changes = {
        "visual/model.onnx_data": lambda data: data[:-1] + bytes([data[-1] ^ 1]),
        "visual/preprocess_cfg.json": lambda data: data.replace(b"bicubic", b"bilinear"),
        "textual/tokenizer.json": lambda data: data + b" ",
    }
    for number, (name, change) in enumerate(changes.items()):
        folder = tmp_path / str(number)
        shutil.copytree(FIXTURES / "clip-external", folder)
        (folder / name).write_bytes(change((folder / name).read_bytes()))
        seen.add(opened(folder, tmp_path).fingerprint)
    assert len(seen) == 4
    shutil.copytree(FIXTURES / "clip-external", tmp_path / "same")
    assert opened(tmp_path / "same", tmp_path).fingerprint in seen


def test_weights_may_be_links_into_the_blobs_of_a_hubs_cache(tmp_path) -> None:
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "abc"
    blobs.mkdir()
    for number, file in enumerate(sorted(FIXTURES.joinpath("clip-external").rglob("*.*"))):
        place = snapshot / file.relative_to(FIXTURES / "clip-external")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, blobs / str(number))
        place.symlink_to(blobs / str(number))
    rows = opened(snapshot, tmp_path).encode_images(PICTURES)
    np.testing.assert_allclose(rows, opened(FIXTURES / "clip-external", tmp_path).encode_images(PICTURES))


def test_towers_come_with_the_first_use_and_go_when_unloaded(tmp_path) -> None:
    shutil.copytree(FIXTURES / "clip-immich", tmp_path / "model")
    encoder = opened(tmp_path / "model", tmp_path)
    assert encoder.loaded_bytes == 0
    before = encoder.encode_images(PICTURES)
    of_pictures = encoder.loaded_bytes
    encoder.encode_texts(TEXTS[:1])
    assert 0 < of_pictures < encoder.loaded_bytes
    encoder.unload()
    assert encoder.loaded_bytes == 0
    np.testing.assert_array_equal(before, encoder.encode_images(PICTURES))


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (31, 33), (640, 40)])
@pytest.mark.parametrize("name", ["clip-immich", "siglip-transformers", "clip-transformers"])
def test_pictures_of_any_shape_become_squares(name, size, tmp_path) -> None:
    encoder = opened(FIXTURES / name, tmp_path)
    assert encoder.prepare(np.asarray(Image.new("RGB", size, "red"))).shape == (32, 32, 3)


def test_no_pictures_and_no_texts_give_no_rows(tmp_path) -> None:
    encoder = opened(FIXTURES / "clip-immich", tmp_path)
    assert encoder.encode_images([]).shape == encoder.encode_texts([]).shape == (0, 12)
    with pytest.raises(EncoderError, match="at least one character"):
        encoder.encode_texts([" "])


def test_a_classifier_is_taught_saved_and_asked_with_a_folder(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HANDFUL_CACHE_DIR", str(tmp_path / "cache"))
    folder = tmp_path / "tiny model"
    shutil.copytree(FIXTURES / "clip-transformers", folder)
    taught = handful.FewShotClassifier(encoder=str(folder)).fit(PICTURES, ["a", "b", "c"])
    taught.save(tmp_path / "x.model")
    read = handful.load(tmp_path / "x.model")
    np.testing.assert_allclose(read.predict_proba(PICTURES), taught.predict_proba(PICTURES), atol=1e-6)
    (folder / "preprocessor_config.json").write_bytes(
        (folder / "preprocessor_config.json").read_bytes().replace(b'"resample": 3', b'"resample": 2')
    )
    monkeypatch.setattr(load, "_LOADED", {})  # as in another process
    monkeypatch.setattr(load, "_CACHED", {})
    with pytest.raises(ModelError, match="fingerprint"):
        handful.load(tmp_path / "x.model").predict(PICTURES)
