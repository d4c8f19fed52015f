"""Cursors: opaque, and refused where they are none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handful.errors import RequestError
from handful.service.pages import behind, checked_limit, cursor_of, page
from handful.storage.ids import new_id


@given(st.text("0123456789abcdefghjkmnpqrstvwxyz", min_size=1, max_size=64))
def test_a_cursor_says_behind_what_to_go_on(name):
    assert behind(cursor_of(name)) == name


def test_without_a_cursor_a_list_begins_at_its_beginning():
    assert behind(None) is None


@pytest.mark.parametrize(
    "text",
    ["", "=", "a", "eA==", "eB", "é", "eA\n", "../..", "LQ", "a" * 2000, "\ud800", cursor_of("a" * 65)],
)
def test_a_text_that_is_no_cursor_is_refused_and_pointed_at(text):
    with pytest.raises(RequestError, match="is no cursor") as refused:
        behind(text)
    assert refused.value.pointer == "/cursor"


@given(st.text(max_size=40))
def test_any_text_is_a_cursor_that_gives_itself_again_or_is_refused(text):
    try:
        name = behind(text)
    except RequestError:
        return
    assert cursor_of(name) == text


def test_a_page_says_where_to_go_on_only_where_there_is_more():
    names = [new_id() for _ in range(4)]
    first = page(names, 3, names)
    assert first.items == tuple(names[:3])
    assert behind(first.next_cursor) == names[2]
    assert page(names[3:], 3, names[3:]).next_cursor is None
    assert page([], 3, []).items == ()


@pytest.mark.parametrize("limit", [-1, 0, 101])
def test_a_page_has_1_to_100_items(limit):
    with pytest.raises(RequestError, match="give 1 to 100") as refused:
        checked_limit(limit)
    assert refused.value.pointer == "/limit"
    assert [checked_limit(size) for size in (1, 100)] == [1, 100]
