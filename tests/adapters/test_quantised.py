import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_array_equal

from handful.adapters.quantised import QuantisedRows

matrices = hnp.arrays(
    np.float32, st.tuples(st.integers(1, 5), st.integers(1, 6)), elements=st.floats(-1e6, 1e6, width=32)
)


@given(matrices)
def test_no_number_is_off_by_more_than_half_a_level(rows):
    q = QuantisedRows.of(rows)
    assert q.values.dtype == np.int8
    assert q.scales.dtype == np.float32
    half = q.scales[:, None] / 2
    assert (np.abs(q.restored() - rows) <= half * (1 + 1e-3)).all()


@given(matrices)
def test_each_row_uses_its_own_full_range_and_negation_is_exact(rows):
    q, mirrored = QuantisedRows.of(rows), QuantisedRows.of(-rows)
    assert_array_equal(
        np.abs(q.values).max(axis=1),
        np.where(np.abs(rows).max(axis=1) > 1e-35, 127, np.abs(q.values).max(axis=1)),
    )
    assert_array_equal(mirrored.restored(), -q.restored())


def test_golden_values():
    q = QuantisedRows.of(np.array([[254.0, -127.0, 1.0], [0.0, 0.0, 0.0]]))
    assert_array_equal(q.values, [[127, -64, 0], [0, 0, 0]])  # −63.5 rounds to even
    assert_array_equal(q.scales, np.float32([2, 1 / 127]))
    assert_array_equal(q.restored(), [[254, -128, 0], [0, 0, 0]])
