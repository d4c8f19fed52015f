"""Evaluating classifiers of pictures: by their own shots, and by others."""

import numpy as np
import pytest

from handful import FewShotClassifier
from handful.errors import EncoderError, SupportError
from handful.evaluation import evaluate_classifier, evaluate_on, settings_of


def taught(encoder, coloured, colours=("red", "green", "blue"), count=6, **options):
    pictures = [picture for colour in colours for picture in coloured(colour, count)]
    labels = [colour for colour in colours for _ in range(count)]
    classifier = FewShotClassifier(encoder, "prototype", progress=False, **options)
    return classifier.fit(pictures, labels)


def test_a_classifier_is_judged_by_its_own_shots(tiny_encoder, coloured):
    classifier = taught(tiny_encoder, coloured)
    found = evaluate_classifier(classifier)
    assert found.class_names == ("blue", "green", "red")
    assert found.picture_names == tuple(shot.source for shot in classifier.shots_)
    assert found.held_out.judged.sum() == 18
    assert found.as_dict()["accuracy"] == 1.0
    assert found.curve is None


def test_judging_looks_at_no_picture_again(tiny_encoder, coloured):
    classifier = taught(tiny_encoder, coloured)
    seen = tiny_encoder.pictures_seen
    evaluate_classifier(classifier, shots=[1, 2], seeds=2)
    assert tiny_encoder.pictures_seen == seen


def test_the_curve_starts_at_words_where_all_classes_have_them(tiny_encoder, coloured):
    found = evaluate_classifier(taught(tiny_encoder, coloured), shots=[0, 1, 2], seeds=2)
    assert found.curve.shots == (0, 1, 2)
    assert found.curve.estimate("handful", 0).value == 1.0
    without = evaluate_classifier(taught(tiny_encoder, coloured, use_text=False), shots=[0, 1], seeds=2)
    assert without.curve.shots == (1,)
    only_words = evaluate_classifier(taught(tiny_encoder, coloured, use_text=False), shots=[0], seeds=2)
    assert only_words.curve is None


def test_views_leave_with_their_shot_and_are_not_asked(tiny_encoder, coloured):
    classifier = taught(tiny_encoder, coloured, views="standard")
    found = evaluate_classifier(classifier, shots=[1, 3], seeds=2)
    assert len(found.held_out.y) == 18
    assert found.curve.estimate("handful", 3).value == 1.0


def test_equal_pictures_leave_together(tiny_encoder, coloured):
    pictures = [p for colour in ("red", "green") for p in coloured(colour, 4)]
    pictures[1] = pictures[0]
    classifier = FewShotClassifier(tiny_encoder, "prototype", progress=False)
    found = evaluate_classifier(classifier.fit(pictures, ["red"] * 4 + ["green"] * 4))
    assert found.held_out.fold[0] == found.held_out.fold[1]


def test_policies_of_views_are_compared_on_the_same_draws(tiny_encoder, coloured):
    plain, views = (taught(tiny_encoder, coloured, views=policy) for policy in ("none", "standard"))
    found = evaluate_classifier(plain, shots=[1], seeds=3, rivals={"views": views})
    assert found.curve.contenders == ("handful", "views")
    assert len(found.curve.values("views", 1)) == 3


def test_a_rival_taught_other_pictures_is_refused(tiny_encoder, coloured):
    with pytest.raises(SupportError, match="'other' was taught other pictures"):
        evaluate_classifier(
            taught(tiny_encoder, coloured),
            shots=[1],
            rivals={"other": taught(tiny_encoder, coloured, count=5)},
        )


def test_words_alone_cannot_be_left_out(tiny_encoder):
    classifier = FewShotClassifier(tiny_encoder, "zero-shot", classes=["red", "blue"]).fit()
    with pytest.raises(SupportError, match="taught no pictures"):
        evaluate_classifier(classifier)


def test_other_pictures_are_asked_and_foreign_labels_ought_to_be_unknown(tiny_encoder, coloured):
    classifier = taught(tiny_encoder, coloured, count=8)
    asked = [(c, p) for c in ("red", "blue", "yellow") for p in coloured(c, 5, seed=1)]
    found = evaluate_on(classifier, [p for _, p in asked], [c for c, _ in asked])
    assert found.held_out.judged.sum() == 10
    assert found.as_dict()["accuracy"] == 1.0
    assert found.held_out.estimates["auroc"].value > 0.95
    assert len(found.held_out.foreign) == 5
    assert "24 other pictures" in found.how
    near = found.held_out.nearest(found.X, 24, 0)
    assert all(i < 24 for i, _ in near)


def test_pictures_of_no_class_at_all_are_refused(tiny_encoder, coloured):
    with pytest.raises(SupportError, match="no label of these 2 pictures is a class"):
        evaluate_on(taught(tiny_encoder, coloured), coloured("red", 2), ["yellow", "yellow"])


def test_a_classifier_without_an_encoder_cannot_be_asked_pictures(coloured):
    classifier = FewShotClassifier(None, "prototype").fit_embeddings(np.eye(4), ["a", "a", "b", "b"])
    with pytest.raises(EncoderError, match="has no encoder"):
        evaluate_on(classifier, coloured("red", 1), ["a"])


def test_settings_say_how_it_was_made(tiny_encoder, coloured):
    said = settings_of(taught(tiny_encoder, coloured, domain="colour"))
    assert said["encoder"] == "tiny"
    assert said["domain"] == "colour"
    assert said["method"].startswith("prototype")


def test_labels_that_are_numbers_are_classes_as_well(coloured, tiny_encoder):
    pictures = coloured("red", 3) + coloured("blue", 3)
    classifier = FewShotClassifier(tiny_encoder, "prototype", progress=False).fit(
        pictures, [7, 7, 7, 8, 8, 8]
    )
    found = evaluate_on(classifier, coloured("red", 1, seed=2), [7])
    assert found.as_dict()["accuracy"] == 1.0
