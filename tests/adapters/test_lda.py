"""Shrunk discriminants, checked against scikit-learn and against refitting."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from handful.adapters import fit_head, lda
from handful.adapters.lda import LdaOptions
from handful.errors import SupportError


def test_scores_are_those_of_scikit_learns_shrunk_discriminants(scene, fit):
    support = scene(classes=4, shots=6, dim=8).support
    head = fit("lda", support)
    X, y = support.X.astype(float), support.y
    residuals = X - np.array([X[y == c].mean(axis=0) for c in range(4)])[y]
    scatter, d = residuals.T @ residuals, X.shape[1]
    ridge = d * head.found["within_variance"]
    # Shrinkage a with (1 − a)·S/N + a·tr(S)/(N·d)·I in proportion to S + ridge·I.
    a = ridge / (ridge + np.trace(scatter) / d)
    sklearn = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=a, priors=[0.25] * 4).fit(X, y)
    theirs = sklearn.decision_function(X)
    ours = head.scores(X)
    ours, theirs = ours - ours.mean(axis=1)[:, None], theirs - theirs.mean(axis=1)[:, None]
    factor = (ours * theirs).sum() / (theirs * theirs).sum()
    assert_allclose(ours, factor * theirs, atol=1e-3 * np.abs(ours).max())


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("text", [None, "fair"])
def test_growing_by_one_rank_equals_refitting(scene, fit, background, text, monkeypatch):
    made = scene(classes=4, shots=[1, 2, 3, 5], dim=12, background=background, text=text)
    head = fit("lda", made.support)
    fits = []
    whole_fit = lda.fit
    monkeypatch.setattr(lda, "fit", lambda *given: fits.append(1) or whole_fit(*given))
    for step, label in enumerate([0, 1, 3, 2]):
        head = head.add(made.Q[step], label, f"new {step}")
        afresh = fit("lda", head.support)
        assert_allclose(head.scores(made.Q), afresh.scores(made.Q), atol=1e-4)
        assert_allclose(head.known(made.Q), afresh.known(made.Q), atol=1e-4)
    for shot in ("new 0", "4", "new 3"):
        head = head.remove(shot)
        assert_allclose(head.scores(made.Q), fit("lda", head.support).scores(made.Q), atol=1e-4)
    assert len(fits) <= 2, "only where the rounded variance changes is the whole fitted again"


def test_left_out_scores_equal_those_of_heads_fitted_without_the_shot(scene):
    support = scene(classes=3, shots=4, dim=10).support
    fitted = lda.fit(support, LdaOptions())
    t, s = fitted.found["sharpness"], fitted.found["within_variance"]
    X = support.X.astype(float)
    for row in range(0, 12, 3):
        kept = np.arange(12) != row
        y = support.y[kept]
        means = np.array([X[kept][y == c].mean(axis=0) for c in range(3)])
        residuals = X[kept] - means[y]
        metric = np.linalg.inv(residuals.T @ residuals + 10 * s * np.eye(10))
        scores = X[row] @ metric @ means.T - 0.5 * ((means @ metric) * means).sum(axis=1)
        assert_allclose(fitted.held_out.scores[row], t * (10 + 12 - 3) * scores, atol=1e-6)


def test_views_of_a_shot_leave_together(scene, fit):
    head = fit("lda", scene(classes=3, shots=3, views=4, dim=10).support)
    assert head.known_test.count == 36
    assert head.add(np.eye(10)[:2], 1, "two views").remove("two views").scores(np.eye(10)) == pytest.approx(
        head.scores(np.eye(10)), abs=1e-4
    )


def test_a_class_of_words_only_is_found(scene, fit):
    made = scene(classes=4, shots=[4, 4, 4, 0], dim=32, text="fair", background=True, noise=0.3)
    head = fit("lda", made.support)
    asked = made.labels == 3
    assert (head.scores(made.Q[asked]).argmax(axis=1) == 3).mean() > 0.5


def test_more_strength_is_more_of_the_background(scene):
    support = scene(classes=3, shots=5, dim=8).support
    given = {"class_count": 3, "options": LdaOptions(strength=1e6)}
    stiff = fit_head("lda", support.X, support.y, **given)
    means = np.array([support.X[support.y == c].mean(axis=0) for c in range(3)]).astype(float)
    nearest = -((support.X[:, None, :] - means) ** 2).sum(axis=2)
    assert (stiff.scores(support.X).argmax(axis=1) == nearest.argmax(axis=1)).all()
    with pytest.raises(SupportError, match="takes LdaOptions"):
        fit_head("lda", support.X, support.y, class_count=3, options=object())


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_one_picture_once_or_again_beside_classes_of_words_leaves_scores_their_size(scene, classes):
    text = scene(classes=classes, shots=1, text="fair", seed=3).support.text
    row = scene(classes=1, shots=1, seed=5).support.X
    asked = scene(classes=4, shots=1, seed=7).Q
    largest = [
        np.abs(
            fit_head("lda", np.repeat(row, copies, 0), [0] * copies, class_count=classes, text=text).scores(
                asked
            )
        ).max()
        for copies in (1, 2, 3)
    ]
    assert max(largest) < 2 * min(largest)  # each copy makes the head a little surer
    assert largest[0] < 1e4
