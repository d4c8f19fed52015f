import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from handful.adapters import clip_adapter, fit_head, prototype
from handful.adapters.bottleneck import Bottleneck
from handful.adapters.clip_adapter import BottleneckTraining, ClipAdapterOptions, class_rows, own_rows
from handful.adapters.prototype import PrototypeOptions
from handful.adapters.training import without
from handful.errors import SupportError
from handful.rows import unit

LOUD = {"classes": 5, "shots": 12, "dim": 16, "noise": 0.8, "nuisance": 1.0}


@pytest.mark.parametrize("text", [None, (0, 2)])
def test_the_gradient_is_that_of_differences(scene, text):
    s = scene(shots=(3, 2, 1, 4), views=2, text=text).support
    training = BottleneckTraining.of(s, 0.5, ClipAdapterOptions(ratio=0.4, reduction=2), 7.0)
    random = np.random.default_rng(0)
    parameters = random.standard_normal((4, 8)), random.standard_normal((8, 4))
    rows = training.rows()
    _, gradients = training.loss_and_gradient(parameters, rows)
    for _ in range(5):
        ways = [random.standard_normal(p.shape) for p in parameters]
        up, down = (
            training.loss_and_gradient(tuple(p + e * w for p, w in zip(parameters, ways, strict=True)), rows)[
                0
            ]
            for e in (1e-6, -1e-6)
        )
        slope = sum((g * w).sum() for g, w in zip(gradients, ways, strict=True))
        assert slope == pytest.approx((up - down) / 2e-6, rel=1e-4, abs=1e-8)


def test_training_scores_are_those_of_the_scorer_but_for_the_own_class(scene):
    s = scene(shots=3).support
    training = BottleneckTraining.of(s, 0.0, ClipAdapterOptions(reduction=2), 1.0)
    random = np.random.default_rng(1)
    down, up = (random.standard_normal(shape).astype("f4") for shape in ((4, 8), (8, 4)))
    scorer = Bottleneck(down=down, up=up, rows=training.classes, ratio=0.2)
    logits = scorer.scores(s.X[:1])
    logits[0, s.y[0]] = scorer.adapted(s.X[:1])[0] @ training.own[0]
    wanted = np.log(np.exp(logits).sum()) - logits[0, s.y[0]]
    assert training.loss_and_gradient((down, up), np.array([0]))[0] == pytest.approx(wanted, abs=1e-5)


def test_the_adapted_row_is_the_papers_mixture_without_its_second_rectifier():
    scorer = Bottleneck(
        down=np.array([[1, 0], [0, -1]], "f4"),
        up=np.array([[0, 3], [2, 0]], "f4"),
        rows=np.eye(2, dtype="f4"),
        ratio=0.5,
    )
    q = np.array([[0.6, 0.8]], "f4")
    # hidden (0.6, 0): up gives (0, 1.2); half of each: (0.3, 1.0)
    assert_allclose(scorer.scores(q)[0], np.array([0.3, 1.0]) / np.hypot(0.3, 1.0), atol=1e-6)


def test_an_own_row_is_the_class_without_the_shot_and_its_views(scene):
    s = scene(shots=(1, 2, 4, 3), views=2, text=(0, 1)).support
    found = own_rows(s, 0.3)
    for i in range(len(s.y)):
        rest = without(s, s.groups == s.groups[i])
        assert_allclose(found[i], class_rows(rest, 0.3)[s.y[i]], atol=1e-6)


def test_without_text_training_starts_at_the_class_means(scene):
    case = scene(shots=1)
    start = prototype.fit(case.support, PrototypeOptions()).scorer.scores(case.Q)
    fitted = clip_adapter.fit(case.support, ClipAdapterOptions())
    assert fitted.found["epochs"] == 0
    assert_allclose(fitted.scorer.scores(case.Q), start, atol=1e-6)


def test_with_the_text_alone_training_starts_at_zero_shot(scene):
    case = scene(shots=1, text="fair")
    fitted = clip_adapter.fit(case.support, ClipAdapterOptions(text_share=1.0))
    assert_allclose(fitted.scorer.scores(case.Q), case.Q @ case.support.text.T, atol=1e-6)


def test_a_class_that_lacks_text_or_shots_is_placed_as_its_other_side_lies(scene):
    s = scene(shots=(3, 0, 3, 3), text=(1, 2, 3)).support
    mean = [unit(s.X[s.y == c].astype(float).sum(axis=0)) if c != 1 else None for c in range(4)]
    centre = (mean[0] + mean[2] + mean[3]) / 3
    texts = s.text[1:].mean(axis=0)
    assert_allclose(class_rows(s, 0.0)[1], unit(centre + s.text[1] - texts), atol=1e-6)
    others = (mean[2] + mean[3]) / 2
    assert_allclose(class_rows(s, 1.0)[0], unit(texts + mean[0] - others), atol=1e-6)


def test_left_out_shots_take_more_of_a_text_that_is_worth_it(scene):
    shares = {
        kind: clip_adapter.fit(
            scene(shots=6, classes=8, dim=24, noise=1.5, text=kind).support, ClipAdapterOptions(epochs=0)
        ).found["text_share"]
        for kind in ("fair", "random")
    }
    assert shares["fair"] > shares["random"]


def test_training_names_more_new_pictures_rightly_where_pictures_differ_in_what_does_not_matter(scene):
    gains = []
    for seed in range(3):
        case = scene(**LOUD, seed=seed)
        fitted = clip_adapter.fit(case.support, ClipAdapterOptions(learning_rate=1e-2))
        start = prototype.fit(case.support, PrototypeOptions())
        right = [(f.scorer.scores(case.Q).argmax(axis=1) == case.labels).mean() for f in (fitted, start)]
        gains.append(right[0] - right[1])
    assert np.mean(gains) > 0.03


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(scene):
    s = scene(**LOUD).support
    one, two, three = (
        fit_head("clip-adapter", s.X, s.y, class_count=5, options=ClipAdapterOptions(seed=seed)).to_bytes()
        for seed in (0, 0, 1)
    )
    assert one == two
    assert one != three


def test_without_any_shot_it_is_the_texts_at_the_encoders_sharpness(scene):
    case = scene(shots=0, text="fair")
    head = fit_head("clip-adapter", [], [], class_count=4, text=case.support.text)
    assert head.sharpness == 100
    assert_allclose(head.scores(case.Q), case.Q @ case.support.text.T, atol=1e-6)


def test_reasons_are_cosines_of_adapted_rows(scene):
    s = scene(**LOUD).support
    head = fit_head("clip-adapter", s.X, s.y, class_count=5)
    q = scene(**LOUD).Q[:1]
    own = np.flatnonzero(s.y == head.scores(q).argmax())
    cosines = np.maximum(head.scorer.adapted(s.X[own]) @ head.scorer.adapted(q)[0], 0)
    shares = [n.share for n in head.explain(q, k=len(own))]
    assert_allclose(shares, np.sort(cosines / cosines.sum())[::-1], atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reduction": 0}, "reduction is 0; give 1 or more"),
        ({"ratio": 1.5}, "ratio is 1.5; give a share between 0 and 1"),
        ({"text_share": -1.0}, "text_share is -1.0"),
        ({"batch": 0}, "batch is 0"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, message):
    with pytest.raises(SupportError, match=message):
        ClipAdapterOptions(**options)


def test_matrices_that_do_not_fit_each_other_are_refused():
    arrays = {"down": np.ones((2, 4), "f4"), "up": np.ones((4, 3), "f4"), "rows": np.ones((3, 4), "f4")}
    with pytest.raises(ValueError, match="do not fit"):
        Bottleneck.restore(arrays, {"ratio": 0.2}, None)


def test_zero_epochs_train_nothing(scene):
    s = scene(**LOUD).support
    fitted = clip_adapter.fit(s, ClipAdapterOptions(epochs=0))
    assert_array_equal(fitted.scorer.up, 0)
