import pickle
import warnings
from io import BytesIO
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from handful import FewShotClassifier, load_encoder
from handful.adapters import METHODS
from handful.augment import views as augmented
from handful.encoders.cache import CachedEncoder
from handful.encoders.store import RowStore
from handful.errors import (
    DatasetError,
    EmbeddingError,
    EncoderError,
    ImageError,
    NotFittedError,
    SupportError,
)
from handful.images import decode

SHOTS_AND_TEXT = sorted(set(METHODS) - {"zero-shot"})


@pytest.fixture
def pictures(coloured) -> tuple[list[np.ndarray], list[str]]:
    images = coloured("red", 4) + coloured("green", 3) + coloured("blue", 2)
    return images, ["red"] * 4 + ["green"] * 3 + ["blue"] * 2


@pytest.fixture
def classifier(tiny_encoder) -> FewShotClassifier:
    return FewShotClassifier(tiny_encoder, "prototype")


@pytest.fixture
def taught(classifier, pictures) -> FewShotClassifier:
    return classifier.fit(*pictures)


# ---- teaching and asking


def test_it_names_the_class_of_new_pictures(taught, coloured):
    found = taught.predict(coloured("green", 2, seed=1) + coloured("red", 1, seed=1))
    assert found.tolist() == ["green", "green", "red"]


def test_probabilities_follow_classes_and_sum_to_one(taught, coloured):
    probabilities = taught.predict_proba(coloured("blue", 3, seed=1))
    assert taught.classes_.tolist() == ["blue", "green", "red"]
    assert probabilities.shape == (3, 3)
    assert_allclose(probabilities.sum(axis=1), 1)
    assert (probabilities.argmax(axis=1) == 0).all()


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        ([3, 3, 3, 3, 1, 1, 1, 2, 2], np.array([1, 2, 3])),
        (np.array([3, 3, 3, 3, 1, 1, 1, 2, 2], np.uint8), np.array([1, 2, 3], np.uint8)),
        ([np.int32(i) for i in (3, 3, 3, 3, 1, 1, 1, 2, 2)], np.array([1, 2, 3], np.int32)),
        ([True] * 4 + [False] * 5, np.array([False, True])),
        (pd.Series(list("ccccaaabb")), np.array(["a", "b", "c"])),
        (np.array(list("ccccaaabb"), dtype=object), np.array(["a", "b", "c"])),
        (np.array(list("ccccaaabb"), dtype=np.dtypes.StringDType()), np.array(["a", "b", "c"])),
        (pd.Categorical(list("ccccaaabb")), np.array(["a", "b", "c"])),
    ],
)
def test_labels_of_every_kind_keep_their_type(classifier, pictures, labels, classes):
    classifier.fit(pictures[0], labels)
    assert classifier.classes_.dtype.kind == classes.dtype.kind
    if classes.dtype.kind != "U":
        assert classifier.classes_.dtype == classes.dtype
    assert_array_equal(classifier.classes_, classes)
    assert_array_equal(classifier.predict(pictures[0][:1]), [classes[-1]])
    assert type(classifier.shots_[0].label) in (int, bool, str)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (None, "9 pictures and no labels"),
        (["red"] * 8, "9 pictures and 8 labels"),
        ("red", "one text, 'red'"),
        (7, "is a int"),
        (["red"] * 8 + [None], r"labels\[8\] is missing \(None\)"),
        (["red"] * 8 + [float("nan")], r"labels\[8\] is missing \(nan\)"),
        (["red"] * 8 + [pd.NA], r"labels\[8\] is missing"),
        (["red"] * 8 + [" "], r"labels\[8\] is missing"),
        (["red"] * 8 + [1], "mixes numbers and text"),
        ([0.5] * 9, "0.5; a label is no measurement"),
        ([("red",)] * 9, "2 dimensions"),
        ([b"red"] * 9, "bytes values"),
    ],
)
def test_wrong_labels_are_named(classifier, pictures, labels, message):
    with pytest.raises(SupportError, match=message):
        classifier.fit(pictures[0], labels)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"method": "magic"}, "no method 'magic'; choose one of"),
        ({"views": "many"}, "no policy of views is called 'many'"),
        ({"unknown_threshold": 5}, "unknown_threshold is 5"),
        ({"descriptions": {"rde": "It is red."}}, "description of 'rde', which is no class"),
        ({"templates": "poem"}, "no set of templates is called 'poem'"),
        ({"classes": ["red", 4]}, "classes mixes numbers and text"),
        ({"classes": [1, 2]}, "text here and whole numbers there"),
        ({"options": object()}, "takes PrototypeOptions"),
    ],
)
def test_wrong_parameters_are_named_when_fitting(classifier, pictures, parameters, message):
    with pytest.raises(SupportError, match=message):
        classifier.set_params(**parameters).fit(*pictures)


def test_nothing_to_learn_from_says_what_to_do(classifier):
    with pytest.raises(SupportError, match="give pictures with their labels, or names as `classes`"):
        classifier.fit([], [])


def test_things_that_hold_no_pictures_are_refused(classifier):
    with pytest.raises(SupportError, match="a int holds no pictures"):
        classifier.fit(3, ["red"])


def test_a_picture_that_cannot_be_read_is_named(classifier, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"GIF89a, or not")
    with pytest.raises(ImageError, match=r"bad\.jpg"):
        classifier.fit([tmp_path / "bad.jpg"], ["red"])


def test_limits_on_pictures_are_those_of_the_settings(classifier, coloured, monkeypatch):
    (red,) = coloured("red", 1)
    buffer = BytesIO()
    Image.fromarray(red).save(buffer, "PNG")
    monkeypatch.setenv("HANDFUL_IMAGE_MAX_BYTES", "300")
    with pytest.raises(ImageError, match="over 300 bytes, the limit"):
        classifier.fit([buffer.getvalue()], ["red"])
    monkeypatch.setenv("HANDFUL_IMAGE_MAX_SIDE", "11")
    with pytest.raises(ImageError, match="11"):
        classifier.set_params(views="standard").fit([red], ["red"])


def test_a_failed_fit_leaves_what_was_known(taught, pictures):
    before = taught.head_
    with pytest.raises(SupportError):
        taught.fit(pictures[0], ["red"])
    assert taught.head_ is before
    assert len(taught.shots_) == 9


def test_one_class_is_enough(classifier, coloured):
    classifier.fit(coloured("red", 2), ["red", "red"])
    assert classifier.predict(coloured("blue", 1)).tolist() == ["red"]
    assert classifier.predict_proba(coloured("blue", 1)).tolist() == [[1.0]]


def test_one_picture_needs_no_list(taught, coloured):
    (picture,) = coloured("blue", 1, seed=3)
    buffer = BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    for one in (picture, buffer.getvalue(), Image.fromarray(picture), buffer):
        assert taught.predict(one).tolist() == ["blue"]


def test_no_picture_has_no_answer(taught):
    assert taught.predict([]).shape == (0,)
    assert taught.predict_proba([]).shape == (0, 3)
    assert taught.classify([]) == []


def test_an_array_of_pictures_is_many(taught, coloured):
    assert taught.predict(np.stack(coloured("red", 2))).tolist() == ["red", "red"]


def test_names_of_files_may_come_in_arrays_and_frames(classifier, trashnet_shots):
    paths, labels = trashnet_shots(2, classes=["glass", "paper"])
    named = [str(path) for path in paths]
    classifier.fit(pd.Series(named), labels)
    expected = classifier.predict(paths)
    assert_array_equal(classifier.predict(np.array(named, dtype=object)[:, None]), expected)
    assert_array_equal(classifier.predict(pd.DataFrame({"anything": named})), expected)
    assert_array_equal(classifier.predict(pd.DataFrame({"path": named, "size": 3})), expected)
    with pytest.raises(DatasetError, match="name that of the pictures one of: path"):
        classifier.predict(pd.DataFrame({"a": named, "b": named}))


def test_of_two_classes_the_decision_is_how_far_the_second_is_ahead(classifier, coloured):
    images = coloured("red", 2) + coloured("blue", 2)
    decision = classifier.fit(images, ["red", "red", "blue", "blue"]).decision_function(images)
    assert (decision > 0).tolist() == [True, True, False, False]


def test_of_three_classes_the_decision_has_a_column_each(taught, pictures):
    assert_array_equal(taught.decision_function(pictures[0]).argmax(axis=1), [2] * 4 + [1] * 3 + [0] * 2)


def test_the_score_is_the_share_of_right_answers(taught, pictures, coloured):
    assert taught.score(*pictures) == 1
    images = coloured("red", 3, seed=1)
    assert taught.score(images, ["red", "red", "blue"]) == pytest.approx(2 / 3)
    assert taught.score(images, ["red", "red", "blue"], sample_weight=[1, 1, 6]) == pytest.approx(1 / 4)
    with pytest.raises(SupportError, match="0 pictures"):
        taught.score([], [])


# ---- words


def test_names_alone_make_a_classifier(tiny_encoder, coloured):
    classifier = FewShotClassifier(tiny_encoder, "prototype", classes=["red", "blue"]).fit()
    assert classifier.predict(coloured("red", 1) + coloured("blue", 1)).tolist() == ["red", "blue"]
    assert classifier.shots_ == ()
    assert classifier.classify(coloured("red", 1), explain=True)[0].neighbours == ()


def test_a_class_may_have_words_only_beside_classes_with_pictures(tiny_encoder, coloured):
    classifier = FewShotClassifier(tiny_encoder, "prototype", classes=["blue"])
    classifier.fit(coloured("red", 2), ["red", "red"])
    assert classifier.classes_.tolist() == ["blue", "red"]
    assert classifier.predict(coloured("blue", 1)).tolist() == ["blue"]


def test_descriptions_give_numbers_a_meaning(tiny_encoder, coloured):
    classifier = FewShotClassifier(
        tiny_encoder, "prototype", classes=[1, 2], descriptions={1: "All red.", 2: ["All blue.", " "]}
    ).fit()
    assert classifier.predict(coloured("red", 1) + coloured("blue", 1)).tolist() == [1, 2]


def test_names_without_a_letter_say_nothing(classifier, tiny_encoder, pictures):
    classifier.fit(pictures[0], ["0"] * 4 + ["1"] * 5)
    assert tiny_encoder.texts_read == 0
    assert classifier.head_.support.text is None


def test_text_can_be_switched_off(tiny_encoder, pictures):
    classifier = FewShotClassifier(tiny_encoder, "prototype", use_text=False).fit(*pictures)
    assert tiny_encoder.texts_read == 0
    assert classifier.head_.support.text is None
    with pytest.raises(SupportError, match="class 'dent' has no shot and no text"):
        classifier.set_params(classes=["dent"]).fit(*pictures)


def test_text_is_on_by_default_and_read_once(classifier, tiny_encoder, pictures):
    classifier.fit(*pictures)
    read = tiny_encoder.texts_read
    assert classifier.head_.support.text.shape == (3, tiny_encoder.dimension)
    classifier.partial_fit(pictures[0][:1], ["red"]).fit(*pictures)
    assert tiny_encoder.texts_read == read > 0


# ---- learning more, forgetting


@pytest.mark.parametrize("method", SHOTS_AND_TEXT)
@pytest.mark.parametrize("steps", [[0, 3, 9], [0, 8, 9], [0, 1, 2, 6, 7, 9]])
def test_learning_in_steps_equals_learning_at_once(tiny_encoder, pictures, method, steps):
    order = np.random.default_rng(0).permutation(9)
    images, labels = [pictures[0][i] for i in order], [pictures[1][i] for i in order]
    in_steps = FewShotClassifier(tiny_encoder, method)
    for first, last in pairwise(steps):
        in_steps.partial_fit(images[first:last], labels[first:last])
    at_once = FewShotClassifier(tiny_encoder, method).fit(images, labels)
    assert_array_equal(in_steps.classes_, at_once.classes_)
    assert in_steps.shots_ == at_once.shots_
    assert_allclose(in_steps.predict_proba(images), at_once.predict_proba(images), atol=1e-4)


def test_a_new_label_makes_a_class_in_its_place(taught, coloured):
    taught.partial_fit(coloured("yellow", 1) + coloured("yellow", 1, seed=1), ["gold", "gold"])
    assert taught.classes_.tolist() == ["blue", "gold", "green", "red"]
    assert taught.predict(coloured("yellow", 1, seed=2)).tolist() == ["gold"]


def test_classes_may_be_named_later(taught, coloured):
    taught.partial_fit(classes=["yellow"])
    assert taught.predict(coloured("yellow", 1)).tolist() == ["yellow"]
    assert FewShotClassifier(taught.encoder, "prototype").partial_fit(classes=["red"]).classes_ == ["red"]


def test_labels_of_another_kind_are_refused_later(taught, coloured):
    with pytest.raises(SupportError, match="text here and whole numbers there"):
        taught.partial_fit(coloured("red", 1), [3])


@pytest.mark.parametrize("method", SHOTS_AND_TEXT)
@pytest.mark.parametrize("gone", [[1], [0, 4, 5]])
def test_forgetting_equals_never_having_learnt(tiny_encoder, pictures, method, gone):
    images, labels = pictures
    classifier = FewShotClassifier(tiny_encoder, method).fit(images, labels)
    classifier.forget([classifier.shots_[i].id for i in gone])
    kept = [i for i in range(9) if i not in gone]
    never = FewShotClassifier(tiny_encoder, method).fit([images[i] for i in kept], [labels[i] for i in kept])
    assert classifier.shots_ == never.shots_
    assert_allclose(classifier.predict_proba(images), never.predict_proba(images), atol=1e-4)


def test_a_class_goes_with_its_last_shot_unless_it_is_named(tiny_encoder, coloured):
    images = coloured("red", 1) + coloured("blue", 1)
    classifier = FewShotClassifier(tiny_encoder, "prototype").fit(images, ["red", "blue"])
    assert classifier.forget(classifier.shots_[0].id).classes_.tolist() == ["blue"]
    classifier = FewShotClassifier(tiny_encoder, "prototype", classes=["red"]).fit(images, ["red", "blue"])
    assert classifier.forget(classifier.shots_[0].id).classes_.tolist() == ["blue", "red"]


def test_an_unknown_shot_cannot_be_forgotten(taught):
    with pytest.raises(SupportError, match="no shot 'x' among 9"):
        taught.forget("x")
    with pytest.raises(SupportError, match="no shot 'x'"):
        taught.thumbnail("x")


# ---- shots


def test_equal_pictures_are_separate_shots_left_out_together(classifier, coloured):
    (red,) = coloured("red", 1)
    classifier.fit([red, red, *coloured("blue", 1)], ["red", "red", "blue"])
    first, second, third = classifier.shots_
    assert (second.id, second.sha256) == (f"{first.id}-2", first.sha256)
    assert first.group == second.group != third.group
    classifier.partial_fit([red], ["red"])
    assert classifier.shots_[3].id == f"{first.id}-3"
    assert len(set(classifier.head_.support.groups.tolist())) == 2


def test_shots_tell_where_they_come_from(classifier, trashnet_shots):
    from hashlib import sha256

    (path,), labels = trashnet_shots(1, classes=["glass"])
    (shot,) = classifier.fit([path], labels).shots_
    assert (shot.label, shot.source, shot.sha256) == (
        "glass",
        path.name,
        sha256(path.read_bytes()).hexdigest(),
    )
    assert shot.id == shot.sha256[:12]


def test_groups_are_left_out_together(classifier, pictures):
    groups = ["film 1", "film 1", None, float("nan"), 5, 5, "film 2", "film 2", "film 1"]
    classifier.fit(*pictures, groups=groups)
    parts = classifier.head_.support.groups
    assert parts[0] == parts[1] == parts[8]
    assert parts[4] == parts[5]
    assert len(set(parts.tolist())) == 5
    classifier.partial_fit(pictures[0][3:4], ["red"], groups=["film 2"])
    parts = classifier.head_.support.groups
    assert parts[9] == parts[6]
    with pytest.raises(SupportError, match="9 pictures and 2 groups"):
        classifier.fit(*pictures, groups=["a", "b"])


def test_views_belong_to_their_shot(tiny_encoder, pictures):
    classifier = FewShotClassifier(tiny_encoder, "prototype", views="standard").fit(*pictures)
    support = classifier.head_.support
    assert tiny_encoder.pictures_seen == 9 * 12
    assert support.ids == tuple(shot.id for shot in classifier.shots_ for _ in range(12))
    assert len(set(support.groups.tolist())) == 9
    classifier.forget(classifier.shots_[0].id)
    assert len(classifier.head_.support.X) == 8 * 12
    assert {near.share <= 1 for near in classifier.classify(pictures[0][1], explain=9)[0].neighbours} == {
        True
    }


@pytest.mark.parametrize("method", SHOTS_AND_TEXT)
def test_views_are_made_for_methods_that_are_trained(tiny_encoder, pictures, method):
    classifier = FewShotClassifier(tiny_encoder, method).fit(*pictures)
    rows = 12 if method in ("tip-f", "clip-adapter") else 1
    assert len(classifier.head_.support.X) == 9 * rows


@pytest.mark.parametrize(("views", "each"), [("none", 1), ("flip", 2), ("five", 5)])
def test_a_picture_is_answered_by_the_mean_of_its_views(tiny_encoder, taught, trashnet, views, each):
    photos = [trashnet / "glass" / "003.jpg", trashnet / "paper" / "004.jpg"]
    seen = tiny_encoder.pictures_seen
    found = taught.classify(photos, top_k=3, views=views)
    assert tiny_encoder.pictures_seen - seen == 2 * each
    rows = [tiny_encoder.encode_images(augmented(decode(photo), views)).mean(axis=0) for photo in photos]
    expected = taught.classify_embeddings(rows, top_k=3)
    assert [one.known for one in found] == pytest.approx([one.known for one in expected], abs=1e-5)
    probabilities = taught.predict_proba(photos, views=views)
    assert_allclose(probabilities, taught.predict_proba_embeddings(rows), atol=1e-5)
    assert taught.predict(photos, views=views).tolist() == [one.label for one in found]


def test_pictures_are_asked_by_few_policies_only(taught, pictures):
    with pytest.raises(SupportError, match="not asked by views 'strong'; choose one of: none, flip, five"):
        taught.classify(pictures[0], views="strong")


@pytest.mark.parametrize("views", ["none", "standard"])
def test_fitting_again_encodes_nothing(tiny_encoder, pictures, trashnet_shots, views):
    cached = CachedEncoder(tiny_encoder, RowStore(None))
    classifier = FewShotClassifier(cached, "prototype", views=views).fit(*pictures).fit(*trashnet_shots(1))
    seen, read = tiny_encoder.pictures_seen, tiny_encoder.texts_read
    again = FewShotClassifier(cached, "prototype", views=views).fit(*pictures).fit(*trashnet_shots(1))
    assert (tiny_encoder.pictures_seen, tiny_encoder.texts_read) == (seen, read)
    assert seen == 15 * (12 if views == "standard" else 1)
    assert_array_equal(again.head_.support.X, classifier.head_.support.X)


def test_the_builtin_encoder_is_remembered_between_classifiers(trashnet_shots, monkeypatch):
    paths, labels = trashnet_shots(1, classes=["glass", "paper"])
    first = FewShotClassifier(method="prototype").fit(paths, labels)

    def never(*args: object, **kwargs: object) -> None:
        raise AssertionError("a picture was encoded twice")

    monkeypatch.setattr(type(load_encoder(cached=False)), "encode_images", never)
    again = FewShotClassifier(method="prototype").fit(paths, labels)
    assert_array_equal(again.predict_proba(paths), first.predict_proba(paths))


# ---- answers


def test_an_answer_says_all_there_is(taught, coloured):
    (answer,) = taught.classify(coloured("red", 1, seed=5), top_k=2, coverage=0.5, explain=True)
    assert answer.label == "red"
    assert answer.classes[0].label == "red"
    assert len(answer.classes) == 2
    assert answer.probability == answer.classes[0].probability >= answer.classes[1].probability
    assert 0 <= answer.known <= 1
    assert answer.unknown == (answer.known < 0.05)
    assert "red" in answer.set
    ids = [shot.id for shot in taught.shots_ if shot.label == "red"]
    assert sorted(near.shot for near in answer.neighbours) == sorted(ids)
    assert sum(near.share for near in answer.neighbours) == pytest.approx(1)
    assert list(answer.as_dict()) == [
        "label", "probability", "known", "unknown", "classes", "neighbours", "set",
    ]  # fmt: skip
    assert answer.as_dict()["neighbours"][0] == {
        "shot": answer.neighbours[0].shot,
        "label": "red",
        "share": answer.neighbours[0].share,
        "image": "an array (12, 12, 3) of uint8",
    }
    assert answer.confidences == {entry.label: entry.probability for entry in answer.classes}


def test_what_is_not_asked_for_is_not_there(taught, coloured):
    (answer,) = taught.classify(coloured("red", 1))
    assert (answer.neighbours, answer.set) == (None, None)
    assert list(answer.as_dict()) == ["label", "probability", "known", "unknown", "classes"]
    assert len(answer.classes) == 3
    assert len(taught.classify(coloured("red", 1), explain=2)[0].neighbours) == 2


def test_an_answer_is_json_whatever_the_labels_are(classifier, pictures):
    import json

    classifier.fit(pictures[0], np.array([3, 3, 3, 3, 1, 1, 1, 2, 2]))
    (answer,) = classifier.classify(pictures[0][0], coverage=0.5, explain=1)
    assert json.loads(json.dumps(answer.as_dict()))["label"] == 3


@pytest.mark.parametrize(
    ("asked", "message"),
    [({"top_k": 0}, "top_k is 0"), ({"coverage": 2}, "coverage"), ({"explain": -1}, "at least one shot")],
)
def test_questions_without_an_answer_are_refused(taught, pictures, asked, message):
    with pytest.raises(SupportError, match=message):
        taught.classify(pictures[0], **asked)


def test_the_threshold_decides_what_is_unknown(taught, coloured):
    images = coloured("yellow", 1)
    taught.set_params(unknown_threshold=1.0)
    assert taught.classify(images)[0].unknown
    taught.set_params(unknown_threshold=0.0)
    assert not taught.classify(images)[0].unknown


ASKING = {
    "predict": lambda classifier: classifier.predict([]),
    "predict_proba": lambda classifier: classifier.predict_proba([]),
    "decision_function": lambda classifier: classifier.decision_function([]),
    "score": lambda classifier: classifier.score([np.zeros((2, 2), np.uint8)], ["a"]),
    "classify": lambda classifier: classifier.classify([]),
    "predict_embeddings": lambda classifier: classifier.predict_embeddings([[1.0]]),
    "predict_proba_embeddings": lambda classifier: classifier.predict_proba_embeddings([[1.0]]),
    "classify_embeddings": lambda classifier: classifier.classify_embeddings([[1.0]]),
    "forget": lambda classifier: classifier.forget("x"),
    "save": lambda classifier: classifier.save("nowhere"),
    "thumbnail": lambda classifier: classifier.thumbnail("x"),
    "classes_": lambda classifier: classifier.classes_,
    "shots_": lambda classifier: classifier.shots_,
    "head_": lambda classifier: classifier.head_,
}


@pytest.mark.parametrize("asked", ASKING)
def test_an_untaught_classifier_says_so(classifier, asked):
    with pytest.raises(NotFittedError, match="call fit with pictures and labels first"):
        ASKING[asked](classifier)


def test_what_it_does_not_have_is_no_attribute(classifier):
    with pytest.raises(AttributeError, match="has no attribute 'coef_'"):
        _ = classifier.coef_


# ---- embeddings


def test_embeddings_are_as_good_as_pictures(tiny_encoder, pictures):
    images, labels = pictures
    X = tiny_encoder.encode_images(images)
    of_rows = FewShotClassifier(tiny_encoder, "prototype").fit_embeddings(X, labels)
    of_pictures = FewShotClassifier(tiny_encoder, "prototype").fit(images, labels)
    assert_allclose(of_rows.predict_proba(images), of_pictures.predict_proba(images), atol=1e-6)
    assert_array_equal(of_rows.predict_embeddings(X), labels)
    assert_allclose(of_rows.predict_proba_embeddings(X), of_rows.predict_proba(images), atol=1e-6)
    assert [answer.label for answer in of_rows.classify_embeddings(X)] == labels
    assert of_rows.thumbnail(of_rows.shots_[0].id) is None


def test_embeddings_of_elsewhere_need_no_encoder(coloured):
    X = np.random.default_rng(0).normal(size=(4, 7))
    classifier = FewShotClassifier(None, "prototype").fit_embeddings(X, [0, 0, 1, 1])
    assert_array_equal(classifier.predict_embeddings(X), [0, 0, 1, 1])
    with pytest.raises(EncoderError, match="encoder is None, so pictures cannot be seen"):
        classifier.predict(coloured("red", 1))
    with pytest.raises(EncoderError, match="give embeddings to fit_embeddings"):
        classifier.fit(coloured("red", 1), ["red"])


def test_embeddings_that_do_not_fit_are_refused(classifier, tiny_encoder):
    with pytest.raises(
        EmbeddingError, match=r"X has 7 columns, and those of encoder 'tiny' 28.*encoder=None"
    ):
        classifier.fit_embeddings(np.ones((2, 7)), ["a", "b"])
    with pytest.raises(SupportError, match="2 rows and 1 labels"):
        classifier.fit_embeddings(np.ones((2, tiny_encoder.dimension)), ["a"])
    with pytest.raises(SupportError, match="nothing to learn from"):
        classifier.fit_embeddings([], [])


def test_no_embedding_but_names_make_a_classifier(tiny_encoder, coloured):
    classifier = FewShotClassifier(tiny_encoder, "prototype", classes=["red", "blue"]).fit_embeddings([], [])
    assert classifier.predict(coloured("red", 1)).tolist() == ["red"]


def test_rows_of_two_encoders_are_never_mixed(taught, tiny_encoder_class, coloured):
    taught.set_params(encoder=tiny_encoder_class(fingerprint="tiny-2"))
    for act in (
        lambda: taught.predict(coloured("red", 1)),
        lambda: taught.partial_fit(coloured("red", 1), ["red"]),
        lambda: taught.forget(taught.shots_[0].id),
    ):
        with pytest.raises(EncoderError, match=r"seen by 'tiny' \(fingerprint tiny-1\), and now .*tiny-2"):
            act()


# ---- folders and tables


def test_a_folder_teaches(classifier, trashnet):
    classifier.fit(trashnet)
    assert classifier.classes_.tolist() == ["cardboard", "glass", "metal", "paper", "plastic", "trash"]
    assert len(classifier.shots_) == 360


def test_a_table_teaches_with_its_groups(classifier, tmp_path, coloured):
    for at, picture in enumerate(coloured("red", 2) + coloured("blue", 2)):
        Image.fromarray(picture).save(tmp_path / f"{at}.png")
    table = tmp_path / "shots.csv"
    table.write_text("path,label,group\n0.png,red,a\n1.png,red,a\n2.png,blue,b\n3.png,blue,\n")
    parts = classifier.fit(table).head_.support.groups
    assert parts[0] == parts[1] != parts[2] != parts[3]
    frame = pd.read_csv(table).assign(path=lambda f: str(tmp_path) + "/" + f.path)
    assert FewShotClassifier(classifier.encoder, "prototype").fit(frame).shots_ == classifier.shots_


def test_what_a_folder_holds_besides_is_told(classifier, tmp_path, coloured):
    (tmp_path / "red").mkdir()
    Image.fromarray(coloured("red", 1)[0]).save(tmp_path / "red" / "1.png")
    (tmp_path / "red" / "notes.txt").write_text("about red")
    with pytest.warns(UserWarning, match=r"Left out what is no picture: notes\.txt") as told:
        classifier.fit(tmp_path)
    assert told[0].filename == __file__


def test_a_data_set_that_was_read_teaches_without_telling_again(classifier, tmp_path, coloured):
    from handful.datasets import read_dataset

    (tmp_path / "red").mkdir()
    (tmp_path / "blue").mkdir()
    Image.fromarray(coloured("red", 1)[0]).save(tmp_path / "red" / "1.png")
    dataset = read_dataset(tmp_path)
    assert dataset.notes
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert classifier.fit(dataset).classes_.tolist() == ["red"]


# ---- how it looks


def test_thumbnails_show_the_shots(classifier, coloured, tmp_path, trashnet_shots):
    (path,), _ = trashnet_shots(1, classes=["glass"])
    copy = tmp_path / "copy.jpg"
    copy.write_bytes(path.read_bytes())
    large = np.zeros((40, 900, 3), np.uint8)
    classifier.fit([copy, large, *coloured("red", 1)], ["glass", "black", "red"])
    sizes = [Image.open(BytesIO(classifier.thumbnail(shot.id))).size for shot in classifier.shots_]
    assert sizes[1:] == [(256, 11), (12, 12)]
    assert max(sizes[0]) == 256
    copy.write_bytes(b"something else")
    assert classifier.thumbnail(classifier.shots_[0].id) is None
    copy.unlink()
    assert classifier.thumbnail(classifier.shots_[0].id) is None


def test_progress_is_shown_where_asked(tiny_encoder, coloured, capsys):
    images = coloured("red", 40)
    FewShotClassifier(tiny_encoder, "prototype", progress=True).fit(images, ["red"] * 40)
    shown = capsys.readouterr()
    assert "40/40" in shown.err
    assert shown.out == ""
    for quiet in (False, "auto"):
        FewShotClassifier(tiny_encoder, "prototype", progress=quiet).fit(images, ["red"] * 40)
        assert capsys.readouterr() == ("", "")


def test_progress_is_shown_on_a_terminal(tiny_encoder, coloured, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes it for a terminal
    images = coloured("red", 40)
    FewShotClassifier(tiny_encoder, "prototype").fit(images, ["red"] * 40)
    assert "40/40" in capsys.readouterr().err


def test_a_notebook_sees_classes_and_shots_and_runs_no_label(tiny_encoder, coloured):
    classifier = FewShotClassifier(tiny_encoder, "prototype", use_text=False)
    assert "not taught yet" in classifier._repr_html_()
    labels = ["<script>alert(1)</script>", "b&b"] + [f"class {i}" for i in range(20)]
    html = classifier.fit(coloured("red", 22), labels)._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "b&amp;b" in html
    assert "and 2 more" in html
    assert "http" not in html


def test_its_text_names_what_differs_from_the_defaults():
    assert repr(FewShotClassifier()) == "FewShotClassifier()"
    text = repr(FewShotClassifier(method="prototype", classes=["a"]))
    assert text == "FewShotClassifier(method='prototype', classes=['a'])"


def test_it_survives_pickling(taught, coloured):
    again = pickle.loads(pickle.dumps(taught))
    images = coloured("red", 2, seed=4)
    assert_allclose(again.predict_proba(images), taught.predict_proba(images))
    assert again.partial_fit(images[:1], ["red"]).shots_[:9] == taught.shots_
    untaught = pickle.loads(pickle.dumps(FewShotClassifier("builtin", "prototype")))
    assert untaught.get_params() == FewShotClassifier("builtin", "prototype").get_params()
