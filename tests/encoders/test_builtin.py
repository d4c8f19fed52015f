"""The shipped graphs give what PyTorch gives with the published weights; golden.safetensors holds its numbers
(reference/golden.py wrote them)."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from PIL import Image
from safetensors.numpy import load_file

from handful.encoders.base import Encoder, PreparingEncoder, SideBySideEncoder
from handful.encoders.builtin import BuiltinEncoder
from handful.encoders.crop import centre_crop
from handful.encoders.session import SessionOptions
from handful.encoders.shipped import FOLDER
from handful.errors import EncoderError, ImageError
from handful.images import decode

HERE = Path(__file__).parent
GOLDEN = load_file(HERE / "golden.safetensors")
GOLDEN_PICTURES = ["cardboard", "glass", "metal", "trash"]  # the first picture of each
GOLDEN_TEXTS = ["tench", "a photo of a glass bottle", "Ein Foto von einem Hund, das im Regen steht!", "rust"]


def golden_paths() -> list[Path]:
    folder = HERE.parents[1] / "examples/data/trashnet"
    return [sorted((folder / name).glob("*.jpg"))[0] for name in GOLDEN_PICTURES]


def cosines(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    return (A * B).sum(axis=1) / np.linalg.norm(A, axis=1) / np.linalg.norm(B, axis=1)


def test_it_is_an_encoder(builtin: BuiltinEncoder) -> None:
    assert isinstance(builtin, Encoder)


def test_pictures_become_the_rows_that_pytorch_gives(builtin: BuiltinEncoder) -> None:
    X = builtin.encode_images(golden_paths())
    assert X.dtype == np.float32
    assert_allclose(np.linalg.norm(X, axis=1), 1, atol=1e-6)
    assert cosines(X, GOLDEN["embedding"]).min() > 0.9995
    assert_allclose(X, GOLDEN["embedding"], atol=0.005)


def test_features_before_the_projection_are_those_of_pytorch(builtin: BuiltinEncoder) -> None:
    pixels = np.stack([centre_crop(decode(path), short_side=292, side=260) for path in golden_paths()])
    [features] = builtin._image_tower().run(["features"], {"pixels": pixels})
    assert cosines(features, GOLDEN["features"]).min() > 0.9995
    assert_allclose(features, GOLDEN["features"], atol=0.05)


def test_classifier_rows_rank_classes_as_the_trained_classifier_does(builtin: BuiltinEncoder) -> None:
    classifiers = load_file(FOLDER / "classes.safetensors")["classifiers"].astype(np.float32)
    scores = builtin.encode_images(golden_paths()) @ classifiers.T
    assert (scores.argmax(axis=1) == GOLDEN["logits"].argmax(axis=1)).all()
    for row, logits in zip(scores, GOLDEN["logits"], strict=True):
        assert np.corrcoef(row, logits)[0, 1] > 0.95  # biases, and 8 % of the classifiers, lie outside


def test_texts_become_the_rows_that_pytorch_gives(builtin: BuiltinEncoder) -> None:
    T = builtin.encode_texts(GOLDEN_TEXTS)
    assert_allclose(np.linalg.norm(T, axis=1), 1, atol=1e-6)
    assert cosines(T, GOLDEN["text"]).min() > 0.999
    assert cosines(builtin._sentence_tower()(GOLDEN_TEXTS), GOLDEN["sentence"]).min() > 0.999


def test_a_picture_has_one_row_however_it_is_given_and_whoever_is_beside_it(
    builtin: BuiltinEncoder, pictures: list[Path]
) -> None:
    path, *others = pictures[:7]
    with Image.open(path) as image:
        image.load()
        ways = [path, str(path), path.read_bytes(), image, np.asarray(image), BytesIO(path.read_bytes())]
        rows = builtin.encode_images([*others, *ways])[len(others) :]
    assert_allclose(rows, np.repeat(builtin.encode_images([path]), len(ways), axis=0), atol=2e-6)


def test_pictures_may_come_from_a_generator_and_progress_counts_them(
    builtin: BuiltinEncoder, pictures: list[Path]
) -> None:
    told: list[int] = []
    X = builtin.encode_images((path for path in pictures[:11]), progress=told.append)
    assert X.shape == (11, 512)
    assert told == sorted(told)
    assert told[-1] == 11


def test_no_pictures_and_no_texts_are_no_rows(builtin: BuiltinEncoder) -> None:
    assert builtin.encode_images([]).shape == builtin.encode_texts([]).shape == (0, 512)


def test_a_large_jpeg_that_is_decoded_smaller_keeps_its_row(
    builtin: BuiltinEncoder, pictures: list[Path]
) -> None:
    with Image.open(pictures[0]) as image:
        large = image.resize((image.width * 8, image.height * 8), Image.Resampling.BICUBIC)
    file = BytesIO()
    large.save(file, "JPEG", quality=95)
    assert cosines(builtin.encode_images([file]), builtin.encode_images([pictures[0]])).min() > 0.99


def test_one_broken_picture_stops_the_rest_and_is_named(
    builtin: BuiltinEncoder, pictures: list[Path], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(pictures[0].read_bytes()[:500])
    with pytest.raises(ImageError, match=r"picture 12 of 31 \(broken.jpg\)"):
        builtin.encode_images([*pictures[:11], broken, *pictures[11:30]])


def test_texts_of_all_lengths_keep_their_order(builtin: BuiltinEncoder) -> None:
    texts = ["dog " * length for length in (90, 1, 300, 2, 40, 1)] + ["a photo of a cat"] * 60
    together = builtin.encode_texts(texts)
    assert_allclose(together, np.concatenate([builtin.encode_texts([text]) for text in texts]), atol=2e-5)


def test_a_text_is_read_up_to_its_256th_token(builtin: BuiltinEncoder) -> None:
    start = "tyre " * 254  # and two tokens that mark start and end
    X = builtin.encode_texts([start, start + "an entirely different thing", "tyre " * 253])
    assert_allclose(X[0], X[1], atol=1e-6)
    assert not np.allclose(X[0], X[2], atol=1e-6)


@pytest.mark.parametrize("text", ["", "  \n", None])
def test_an_empty_text_is_refused_by_its_place(builtin: BuiltinEncoder, text: str) -> None:
    with pytest.raises(EncoderError, match="text 1 of 2 is"):
        builtin.encode_texts(["a dog", text])


def test_one_text_in_place_of_a_list_is_refused(builtin: BuiltinEncoder) -> None:
    with pytest.raises(EncoderError, match="put it in a list"):
        builtin.encode_texts("a dog")


def test_words_find_pictures_more_often_than_chance(builtin: BuiltinEncoder, pictures: list[Path]) -> None:
    names = ["cardboard", "glass", "metal", "paper", "plastic", "trash"]
    found = builtin.encode_images(pictures) @ builtin.encode_texts([f"a photo of {n}" for n in names]).T
    right = found.argmax(axis=1) == np.repeat(np.arange(6), 10)
    assert right.mean() > 0.25  # one in six by chance


def test_the_background_is_that_of_a_thousand_pictures_in_the_same_space(builtin: BuiltinEncoder) -> None:
    background = builtin.background
    assert (background.dimension, background.count, background.logit_scale) == (512, 1000, 20.0)
    assert np.linalg.norm(background.mean) < 0.05  # the space is centred at these pictures
    assert_allclose(np.trace(background.covariance) + background.mean @ background.mean, 1, atol=0.005)


def test_importing_the_encoders_loads_neither_onnx_runtime_nor_a_tokenizer() -> None:
    script = (
        "import sys, handful.encoders; handful.encoders.load_encoder();"
        "print([m for m in ('onnxruntime', 'tokenizers', 'torch') if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_preparing_and_encoding_by_hand_gives_the_same_rows(
    builtin: BuiltinEncoder, pictures: list[Path]
) -> None:
    assert isinstance(builtin, PreparingEncoder)
    prepared = [builtin.prepare(decode(path, at_least=builtin.at_least)) for path in pictures[::12]]
    assert {(square.shape, str(square.dtype)) for square in prepared} == {((260, 260, 3), "uint8")}
    X = builtin.encode_prepared(np.stack(prepared))
    assert_allclose(X, builtin.encode_images(pictures[::12]), atol=1e-6)


def test_batches_side_by_side_are_the_same_rows(builtin: BuiltinEncoder, pictures: list[Path]) -> None:
    assert isinstance(builtin, SideBySideEncoder)
    prepared = np.stack([builtin.prepare(decode(path)) for path in pictures[:6]])
    with ThreadPoolExecutor(2) as threads:
        parts = list(threads.map(builtin.encode_beside, (prepared[:4], prepared[4:])))
    assert_allclose(np.concatenate(parts), builtin.encode_prepared(prepared), atol=1e-6)


def test_there_is_a_lane_for_each_thread_and_one_for_another_device() -> None:
    assert BuiltinEncoder(options=SessionOptions(threads=3)).lanes == 3
    assert BuiltinEncoder().lanes == os.cpu_count()
    elsewhere = SessionOptions(threads=3, providers=("CUDAExecutionProvider", "CPUExecutionProvider"))
    assert BuiltinEncoder(options=elsewhere).lanes == 1


def test_asking_whether_it_prepares_loads_nothing() -> None:
    encoder = BuiltinEncoder()
    assert isinstance(encoder, PreparingEncoder)
    assert "background" not in vars(encoder)
