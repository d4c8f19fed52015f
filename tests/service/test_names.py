"""Names that people give."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handful.errors import RequestError
from handful.service.names import checked_name, normal_name


@pytest.mark.parametrize("name", ["x", "red bin", "{}", "日本語", "7", "a" * 200, ".."])
def test_names_are_kept_as_they_are(name):
    assert checked_name(name, what="class") == name


def test_space_around_a_name_is_left_out_and_letters_are_composed():
    assert checked_name("  cafe\u0301\n", what="class") == "caf\u00e9"
    assert normal_name(" cafe\u0301") == "caf\u00e9"


@pytest.mark.parametrize("name", ["", " \t", "a" * 201, "a/b", "a\x00b", "a\x1fb", "a\x85b", "a\ud800"])
def test_names_that_nobody_could_read_or_ask_for_are_refused_where_they_stand(name):
    with pytest.raises(RequestError, match="of a class") as refused:
        checked_name(name, what="class", pointer="/name")
    assert refused.value.pointer == "/name"


@given(st.text(max_size=210))
def test_a_name_that_was_checked_is_checked_again_as_the_same(name):
    try:
        kept = checked_name(name, what="class")
    except RequestError:
        return
    assert checked_name(kept, what="class") == kept == normal_name(kept)
    assert unicodedata.is_normalized("NFC", kept)
    kept.encode()
