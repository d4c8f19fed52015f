"""The judge is scikit-learn itself."""

import joblib
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone, is_classifier
from sklearn.exceptions import FitFailedWarning
from sklearn.exceptions import NotFittedError as SklearnNotFitted
from sklearn.inspection import permutation_importance
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score, cross_validate
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from handful import FewShotClassifier, load_encoder


@pytest.fixture
def shots(coloured) -> tuple[list[np.ndarray], list[str]]:
    return coloured("red", 6) + coloured("blue", 6), ["red"] * 6 + ["blue"] * 6


@pytest.fixture
def classifier(tiny_encoder) -> FewShotClassifier:
    return FewShotClassifier(tiny_encoder, "prototype", views="none")


def test_parameters_are_stored_untouched_and_cloned():
    given = {
        "encoder": "builtin",
        "method": "prototype",
        "views": "strong",
        "classes": ["b", "a"],
        "descriptions": {"a": "An a."},
        "templates": ["a {}."],
        "domain": "letter",
        "use_text": False,
        "unknown_threshold": 0.1,
        "options": None,
        "progress": False,
    }
    classifier = FewShotClassifier(**given)
    assert all(classifier.get_params()[name] is value for name, value in given.items())
    assert classifier.get_params().keys() == given.keys()
    assert clone(classifier).get_params() == given


def test_a_clone_has_learnt_nothing(classifier, shots):
    check_is_fitted(classifier.fit(*shots))
    with pytest.raises(SklearnNotFitted):
        check_is_fitted(clone(classifier))


def test_a_clone_shares_the_encoder_and_nothing_else():
    encoder, classes = load_encoder("builtin"), ["a"]
    encoder.encode_texts(["a tower in memory"])
    copy = clone(FewShotClassifier(encoder, "prototype", classes=classes))
    assert copy.encoder is encoder
    assert copy.classes == classes
    assert copy.classes is not classes


def test_parameters_are_set_by_name(classifier):
    assert classifier.set_params(method="zero-shot", domain="x") is classifier
    assert (classifier.method, classifier.domain) == ("zero-shot", "x")
    with pytest.raises(ValueError, match="no parameter 'metod'; it has encoder, method"):
        classifier.set_params(metod="x")


def test_its_tags_say_classifier_of_texts_or_anything(classifier):
    assert is_classifier(classifier)
    tags = get_tags(classifier)
    assert (tags.no_validation, tags.target_tags.required, tags.input_tags.string) == (True, True, True)
    assert tags.input_tags.two_d_array is False


def test_it_ends_a_pipeline(classifier, shots):
    brighter = FunctionTransformer(lambda images: [np.minimum(image, 250) for image in images])
    pipeline = Pipeline([("brighter", brighter), ("classifier", classifier)]).fit(*shots)
    assert pipeline.predict(shots[0]).tolist() == shots[1]
    assert pipeline.score(*shots) == 1
    assert_array_equal(pipeline.classes_, ["blue", "red"])


@pytest.mark.parametrize(
    "scoring", [None, "accuracy", "f1_macro", "roc_auc", "neg_log_loss", "neg_brier_score"]
)
def test_cross_validation_scores_it(classifier, shots, scoring):
    labels = shots[1] if scoring != "neg_brier_score" else [label == "red" for label in shots[1]]
    found = cross_val_score(classifier, shots[0], labels, cv=3, scoring=scoring, error_score="raise")
    assert found.shape == (3,)
    assert np.isfinite(found).all()
    if scoring in (None, "accuracy", "roc_auc"):
        assert found.min() > 0.7


def test_three_classes_are_scored_one_against_the_rest(classifier, shots, coloured):
    images, labels = shots[0] + coloured("green", 6), shots[1] + ["green"] * 6
    found = cross_val_score(classifier, images, labels, cv=3, scoring="roc_auc_ovr", error_score="raise")
    assert found.min() > 0.7


def test_paths_are_scored_in_two_processes(trashnet_shots):
    paths, labels = trashnet_shots(4, classes=["glass", "paper"])
    classifier = FewShotClassifier(method="prototype")
    in_two = cross_val_score(classifier, paths, labels, cv=2, n_jobs=2, error_score="raise")
    assert_array_equal(in_two, cross_val_score(classifier, paths, labels, cv=2))


def test_out_of_fold_probabilities_follow_classes(classifier, shots):
    probabilities = cross_val_predict(classifier, *shots, cv=3, method="predict_proba")
    assert probabilities.shape == (12, 2)
    assert_array_equal(np.array(["blue", "red"])[probabilities.argmax(axis=1)], shots[1])


def test_a_grid_is_searched(classifier, shots):
    grid = {"method": ["prototype", "zero-shot"], "use_text": [True, False], "templates": ["plain", "photo"]}
    search = GridSearchCV(classifier, grid, cv=2, error_score=0.0)
    with pytest.warns(FitFailedWarning, match="fits failed"):  # zero-shot without text
        search.fit(*shots)
    assert search.best_score_ > 0.7
    assert search.best_estimator_.predict(shots[0]).tolist() == shots[1]


def test_several_scores_and_times_are_measured(classifier, shots):
    measured = cross_validate(classifier, *shots, cv=2, scoring=["accuracy", "neg_log_loss"])
    assert measured.keys() >= {"test_accuracy", "test_neg_log_loss", "fit_time"}


def test_importance_of_embeddings_can_be_asked_for(classifier, shots, tiny_encoder):
    X = tiny_encoder.encode_images(shots[0])
    classifier.fit_embeddings(X, shots[1])
    importance = permutation_importance(
        classifier, X, shots[1], scoring=lambda c, X, y: np.mean(c.predict_embeddings(X) == y), n_repeats=2
    )
    assert importance.importances_mean.shape == (tiny_encoder.dimension,)


def test_joblib_keeps_it(classifier, shots, tmp_path):
    joblib.dump(classifier.fit(*shots), tmp_path / "classifier.joblib")
    again = joblib.load(tmp_path / "classifier.joblib")
    assert_array_equal(again.predict_proba(shots[0]), classifier.predict_proba(shots[0]))
