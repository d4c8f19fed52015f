import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from handful.encoders.synthesis import Synthesiser
from handful.rows import unit


def known(
    classes: int = 5, width: int = 6, dimension: int = 4, seed: int = 0, sharpness: float = 9.0
) -> Synthesiser:
    rng = np.random.default_rng(seed)
    sentences = unit(rng.normal(size=(classes, width)).astype("f4") + 1)
    return Synthesiser(sentences, rng.normal(size=(classes, dimension)).astype("f4"), sharpness)


def by_hand(synthesiser: Synthesiser, sentence: np.ndarray) -> np.ndarray:
    common = synthesiser.sentences.mean(axis=0)
    row = np.zeros(synthesiser.classifiers.shape[1])
    for name, classifier in zip(synthesiser.sentences, synthesiser.classifiers, strict=True):
        a, b = sentence - common, name - common
        cosine = (a @ b) / (np.linalg.norm(a) * np.linalg.norm(b))
        row += np.exp(synthesiser.sharpness * cosine) * classifier
    return row / np.linalg.norm(row)


@given(st.integers(2, 30), st.integers(0, 9), st.floats(0, 30))
def test_it_equals_the_formula_written_out(classes: int, seed: int, sharpness: float) -> None:
    synthesiser = known(classes=classes, seed=seed, sharpness=sharpness)
    text = unit(np.random.default_rng(seed + 100).normal(size=(1, 6)).astype("f4"))
    assert_allclose(synthesiser(text)[0], by_hand(synthesiser, text[0]), atol=1e-4)


def test_the_name_of_a_class_becomes_its_classifier_where_the_softmax_is_sharp() -> None:
    synthesiser = known(sharpness=1000)
    assert_allclose(synthesiser(synthesiser.sentences), unit(synthesiser.classifiers), atol=1e-5)


def test_without_sharpness_every_text_is_the_mean_classifier() -> None:
    synthesiser = known(sharpness=0)
    mean = unit(synthesiser.classifiers.mean(axis=0, keepdims=True))
    assert_allclose(synthesiser(synthesiser.sentences), np.repeat(mean, 5, axis=0), atol=1e-5)
