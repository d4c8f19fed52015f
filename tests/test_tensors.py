import json
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_array_equal
from safetensors.numpy import save

from handful.errors import HeadError
from handful.tensors import pack, unpack

KINDS = (np.float16, np.float32, np.float64, np.int8, np.uint8, np.int64, np.bool_)


def error_of(data, kind="head", version=1):
    with pytest.raises(HeadError) as caught:
        unpack(kind, version, data)
    return str(caught.value)


def raw(header, body=b""):
    text = json.dumps(header).encode() if isinstance(header, dict) else header
    return len(text).to_bytes(8, "little") + text + body


def with_header(text):
    return save({"x": np.zeros(2, dtype=np.float32)}, metadata={"handful": text})


@given(
    st.sampled_from(KINDS).flatmap(
        lambda kind: hnp.arrays(kind, hnp.array_shapes(min_dims=0, max_dims=3, max_side=4))
    ),
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    ),
)
@settings(deadline=None)
def test_arrays_and_settings_come_back_exactly(array, setting):
    if np.issubdtype(array.dtype, np.floating):
        array = np.nan_to_num(array, posinf=1, neginf=-1)
    arrays, found = unpack("head", 1, pack("head", 1, {"x": array}, {"value": setting}))
    assert arrays["x"].dtype == array.dtype
    assert arrays["x"].shape == array.shape
    assert_array_equal(arrays["x"], array)
    assert found == {"value": setting}


def test_slices_and_foreign_byte_orders_come_back_by_value():
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    arrays, _ = unpack(
        "head", 1, pack("head", 1, {"turned": array.T, "part": array[:, ::2], "big": array.astype(">f4")}, {})
    )
    assert_array_equal(arrays["turned"], array.T)
    assert_array_equal(arrays["part"], array[:, ::2])
    assert_array_equal(arrays["big"], array)


def test_the_bytes_depend_on_the_content_alone():
    first = pack("head", 1, {"a": np.zeros(2), "b": np.ones(3)}, {"p": 1, "q": 2})
    assert pack("head", 1, {"b": np.ones(3), "a": np.zeros(2)}, {"q": 2, "p": 1}) == first


def test_older_versions_are_read_and_newer_ones_refused():
    data = pack("head", 3, {}, {})
    assert unpack("head", 4, data) == ({}, {})
    assert "format version 3, newer than 2, the newest that this build reads; upgrade Handful" in error_of(
        data, version=2
    )


def test_any_byte_that_changed_since_is_noticed():
    data = pack("head", 1, {"x": np.arange(3.0), "y": np.zeros((0, 2)), "z": np.int8(1)}, {"α": 0.1})
    for at in range(len(data)):
        error_of(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])


def test_files_from_before_there_was_a_digest_are_read():
    arrays, settings = unpack("head", 1, with_header('{"format": "handful.head/1", "settings": {"a": 1}}'))
    assert (list(arrays), settings) == (["x"], {"a": 1})


def test_another_kind_is_named():
    assert (
        error_of(pack("background", 1, {}, {}))
        == "these bytes hold a 'handful.background', not a 'handful.head'"
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(bad):
    assert "array 'x' of this head holds numbers that are not finite" in error_of(
        pack("head", 1, {"x": np.array([1, bad], dtype=np.float16)}, {})
    )


GOOD = pack("head", 1, {"x": np.zeros(4, dtype=np.float32)}, {"a": 1})
HEADER = {"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"abc",
        pickle.dumps({"x": 1}),
        GOOD[:-1],
        GOOD + b"\0",
        GOOD[:20],
        (2**63).to_bytes(8, "little") + GOOD[8:],
        raw(b"[" * 100_000),
        raw(HEADER, bytes(8)),
        raw({"__metadata__": {"handful": 1}}),
        raw({**HEADER, "y": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}}, bytes(12)),
        raw({"x": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 8]}}, bytes(8)),
        raw({"x": {"dtype": "F99", "shape": [2], "data_offsets": [0, 8]}}, bytes(8)),
        raw({"x": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}, bytes(4)),
        save({}),
        with_header("{"),
        with_header("[1]"),
        with_header("[" * 100_000),
        with_header('{"format": "handful.head/1"}'),
        with_header('{"format": "handful.head/one", "settings": {}}'),
        with_header('{"format": "", "settings": {}}'),
        with_header('{"format": 1, "settings": {}}'),
    ],
)
def test_damaged_and_hostile_bytes_end_in_one_error(data):
    text = error_of(data)
    assert f"these {len(data)} bytes are no head of Handful" in text
    assert "to_bytes()" in text


def test_settings_that_are_no_object_are_refused():
    assert "no JSON object" in error_of(pack("head", 1, {}, [1, 2]))


def test_other_types_than_bytes_are_refused():
    assert "no head" in error_of("text")
    assert unpack("head", 1, memoryview(GOOD))[1] == {"a": 1}
