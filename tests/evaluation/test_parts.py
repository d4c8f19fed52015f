"""Ensembles in a classifier: taught, kept, and judged part by part."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from handful import FewShotClassifier, load, load_encoder
from handful.encoders.cost import cost_of
from handful.encoders.ensemble import ensemble
from handful.evaluation import evaluate_classifier
from handful.evaluation.classifier import evaluate_on

CLIP = str(Path(__file__).parents[1] / "encoders/fixtures/clip-immich")
SPEC = f"builtin+{CLIP}"


@pytest.fixture(scope="module")
def taught(trashnet_shots):
    pictures, labels = trashnet_shots(5, classes=("glass", "metal", "paper"))
    return FewShotClassifier(SPEC, progress=False).fit(pictures, labels)


@pytest.fixture(scope="module")
def found(taught):
    return evaluate_classifier(taught)


def test_each_part_has_its_accuracy_and_the_whole_its_gain_picture_by_picture(found):
    parts = found.parts
    assert [part.name for part in parts.parts] == ["builtin", CLIP]
    assert parts.accuracy == found.held_out.estimates["accuracy"]
    assert sum(part.share for part in parts.parts) == pytest.approx(1)
    for part in parts.parts:
        assert part.gain.value == pytest.approx(parts.accuracy.value - part.accuracy.value)
        assert part.gain.low <= part.gain.value <= part.gain.high
    assert parts.parts[0].accuracy.value > parts.parts[1].accuracy.value  # of random weights


def test_a_part_alone_is_a_classifier_of_that_encoder(found, trashnet_shots):
    pictures, labels = trashnet_shots(5, classes=("glass", "metal", "paper"))
    alone = evaluate_classifier(FewShotClassifier("builtin", progress=False).fit(pictures, labels))
    assert alone.parts is None
    assert alone.held_out.estimates["accuracy"] == found.parts.parts[0].accuracy


def test_json_has_the_parts(found):
    told = found.as_dict()["parts"]
    assert told["accuracy"]["value"] == found.as_dict()["accuracy"]
    assert {"name", "share", "accuracy", "gain", "milliseconds"} == set(told["parts"][0])


def test_costs_are_those_of_this_machine(found):
    assert found.parts.milliseconds > 0
    assert all(part.milliseconds > 0 for part in found.parts.parts)


def test_other_pictures_are_asked_of_each_part_too(taught, trashnet_shots):
    pictures, labels = trashnet_shots(5, first=5, classes=("glass", "metal", "paper"))
    parts = evaluate_on(taught, pictures, labels).parts
    assert parts.accuracy.value == pytest.approx(taught.score(pictures, labels))
    alone = FewShotClassifier("builtin", progress=False).fit(
        *trashnet_shots(5, classes=("glass", "metal", "paper"))
    )
    assert parts.parts[0].accuracy.value == pytest.approx(alone.score(pictures, labels))


def test_a_saved_ensemble_answers_as_it_did_and_goes_on_learning(taught, trashnet_shots, tmp_path):
    pictures, labels = trashnet_shots(3, first=5, classes=("glass", "metal", "paper"))
    again = load(taught.save(tmp_path / "model"))
    assert_allclose(again.predict_proba(pictures), taught.predict_proba(pictures), atol=1e-6)
    (said,) = again.classify(pictures[:1], explain=2)
    assert said.neighbours
    more, afresh = load(tmp_path / "model"), FewShotClassifier(SPEC, progress=False)
    more.partial_fit(pictures[:1], labels[:1])
    first, named = trashnet_shots(5, classes=("glass", "metal", "paper"))
    afresh.fit([*first, pictures[0]], [*named, labels[0]])
    assert_allclose(more.predict_proba(pictures), afresh.predict_proba(pictures), atol=1e-4)
    assert evaluate_classifier(more).parts.parts[1].name == CLIP


def test_parts_are_judged_where_the_encoder_is_gone(taught, tmp_path):
    again = load(taught.save(tmp_path / "model"))
    again.encoder = "builtin+/nowhere/at/all"
    parts = evaluate_classifier(again).parts
    assert [part.name for part in parts.parts] == ["part 1", "part 2"]
    assert parts.milliseconds is None


def test_embeddings_from_an_ensemble_teach_it_too(trashnet_shots):
    encoder = load_encoder(SPEC)
    pictures, labels = trashnet_shots(4, classes=("glass", "metal"))
    rows = encoder.encode_images(pictures)
    by_rows = FewShotClassifier(encoder, progress=False).fit_embeddings(rows, labels)
    by_pictures = FewShotClassifier(encoder, progress=False).fit(pictures, labels)
    assert_allclose(by_rows.predict_proba_embeddings(rows), by_pictures.predict_proba(pictures), atol=1e-5)


def test_the_cost_of_one_encoder_is_its_own(tiny_encoder, tiny_encoder_class):
    alone = cost_of(tiny_encoder)
    assert alone.parts == (alone.whole,)
    both = cost_of(ensemble([tiny_encoder, tiny_encoder_class(fingerprint="tiny-2")]))
    assert len(both.parts) == 2
    assert np.isfinite(both.whole)
