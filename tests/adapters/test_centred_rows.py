import numpy as np
from numpy.testing import assert_array_equal

from handful.adapters.centred_rows import CentredRows, restored_rows
from handful.adapters.quantised import QuantisedRows


def embeddings_with_a_large_common_column(seed=0):
    random = np.random.default_rng(seed)
    rows = 0.05 * random.standard_normal((20, 32)) + 0.8 * np.eye(32)[3]
    return rows.astype(np.float32)


def test_a_large_common_column_does_not_coarsen_the_others():
    rows = embeddings_with_a_large_common_column()
    plain = np.abs(QuantisedRows.of(rows).restored() - rows).mean()
    assert np.abs(CentredRows.of(rows).restored() - rows).mean() < plain / 4


def test_rounded_rows_are_saved_exactly():
    rounded = CentredRows.of(embeddings_with_a_large_common_column())
    again, kept = restored_rows(rounded.arrays("keys"), "keys")
    assert_array_equal(again, rounded.restored())
    assert kept is not None
    assert_array_equal(kept.deviations.values, rounded.deviations.values)


def test_rows_of_full_precision_are_saved_as_they_are():
    rows = embeddings_with_a_large_common_column()
    again, kept = restored_rows({"keys": rows}, "keys")
    assert_array_equal(again, rows)
    assert kept is None


def test_no_rows_round_to_no_rows():
    assert CentredRows.of(np.zeros((0, 5), np.float32)).restored().shape == (0, 5)
