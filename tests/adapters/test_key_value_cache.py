import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from handful.adapters.key_value_cache import ClassOrder, KeyValueCache, kernel, kernel_blocks


def cache(seed=0, *, text=True, labels=(2, 0, 2, 1, 0), classes=4, dim=6):
    random = np.random.default_rng(seed)
    keys = random.standard_normal((len(labels), dim)).astype("f4")
    keys /= np.linalg.norm(keys, axis=1, keepdims=True)
    return KeyValueCache(
        keys=keys,
        labels=np.array(labels),
        beta=2.5,
        weights=random.uniform(0.5, 2, classes),
        offsets=random.standard_normal(classes),
        text=random.standard_normal((classes, dim)).astype("f4") if text else None,
    )


def test_the_kernel_is_one_at_the_key_and_falls_by_half_every_ln_2_over_beta():
    q = np.array([[1.0, 0.0]])
    cosine = 1 - np.log(2) / 5.5
    keys = np.array([[1.0, 0.0], [cosine, np.sqrt(1 - cosine**2)], [0.0, 1.0]])
    assert_allclose(kernel(q, keys, 5.5), [[1, 0.5, np.exp(-5.5)]])


@pytest.mark.parametrize("text", [True, False])
def test_scores_are_the_formula_written_out_in_loops(text):
    scorer, Q = cache(text=text), cache(seed=5).keys
    for q, row in zip(Q, scorer.scores(Q), strict=True):
        for c in range(scorer.class_count):
            total = sum(
                np.exp(-scorer.beta * (1 - float(q @ key)))
                for key, label in zip(scorer.keys, scorer.labels, strict=True)
                if label == c
            )
            said = 0.0 if scorer.text is None else float(q @ scorer.text[c])
            assert row[c] == pytest.approx(scorer.offsets[c] + said + scorer.weights[c] * total, abs=1e-5)


def test_rows_in_many_blocks_score_as_in_one(monkeypatch):
    scorer, Q = cache(), cache(seed=5).keys
    whole = scorer.scores(Q)
    monkeypatch.setattr("handful.adapters.key_value_cache._BLOCK", 7)
    assert [block.start for block in kernel_blocks(len(Q), len(scorer.keys))] == [0, 1, 2, 3, 4]
    assert_allclose(scorer.scores(Q), whole, atol=1e-6)


def test_a_class_without_keys_has_a_sum_of_nothing():
    order = ClassOrder.of(np.array([2, 0, 2]), 4)
    values = np.array([[1.0, 2.0, 4.0]], "f4")[:, order.order]
    assert_array_equal(order.sums(values), [[2, 0, 5, 0]])


@pytest.mark.parametrize("text", [True, False])
def test_a_cache_and_a_compact_one_come_back_as_they_were_saved(text):
    for scorer in (cache(text=text), cache(text=text).compact()):
        again = KeyValueCache.restore(scorer.arrays(), scorer.settings(), None)
        Q = cache(seed=3).keys
        assert_array_equal(again.scores(Q), scorer.scores(Q))
        assert again.arrays().keys() == scorer.arrays().keys()


def test_a_compact_cache_holds_a_byte_for_each_number_and_label():
    compact = cache().compact()
    arrays = compact.arrays()
    assert arrays["keys"].dtype == arrays["text"].dtype == np.int8
    assert arrays["labels"].dtype == np.uint8
    assert_allclose(compact.scores(cache(seed=3).keys), cache().scores(cache(seed=3).keys), atol=0.1)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("labels", np.array([0, 1]), "do not fit"),
        ("labels", np.array([0, 1, 2, 3, 4]), "outside 0 to 3"),
        ("offsets", np.zeros(3), "do not fit"),
        ("text", np.zeros((3, 6), "f4"), "does not fit 4 classes"),
        ("keys", np.zeros(6, "f4"), "not that of a matrix"),
    ],
)
def test_arrays_that_do_not_fit_each_other_are_refused(name, value, message):
    scorer = cache()
    with pytest.raises(ValueError, match=message):
        KeyValueCache.restore(scorer.arrays() | {name: value}, scorer.settings(), None)


def test_affinity_is_each_keys_own_part_of_the_sum():
    scorer = cache(text=False)
    q = cache(seed=9).keys[:1]
    rows = np.flatnonzero(scorer.labels == 2)
    parts = scorer.affinity(q, scorer.keys, rows)
    assert_allclose(scorer.weights[2] * parts.sum() + scorer.offsets[2], scorer.scores(q)[0, 2], rtol=1e-6)


def test_scales_of_another_length_are_refused():
    scorer = cache().compact()
    with pytest.raises(ValueError, match=r"scales \(4,\) and centre \(6,\) do not fit keys"):
        KeyValueCache.restore(scorer.arrays() | {"keys_scales": np.ones(4, "f4")}, scorer.settings(), None)
