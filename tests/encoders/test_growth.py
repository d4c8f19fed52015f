import json

import pytest

from handful.encoders.growth import check_growth
from handful.errors import EncoderError


def replaced(*pairs):
    steps = [{"type": "Replace", "pattern": pattern, "content": content} for pattern, content in pairs]
    return json.dumps({"normalizer": {"type": "Sequence", "normalizers": steps}}).encode()


def test_replacements_beside_each_other_do_not_add_up() -> None:
    ligatures = "ﬀﬁﬂﬃﬄﬅﬆ"
    check_growth(replaced(*(({"String": one}, "abc") for one in ligatures * 10)))
    check_growth(replaced(({"Regex": r"\s+"}, " "), ({"String": " "}, "▁")))
    check_growth(b'{"normalizer": null}')


def test_what_is_written_and_replaced_again_and_again_is_refused() -> None:
    chain = [({"String": letter}, following * 4) for letter, following in ("ab", "bc", "cd", "de")]
    check_growth(replaced(*chain[:3]))  # 4³
    check_growth(replaced(*chain[::-1]))  # none comes after what writes its letter
    with pytest.raises(EncoderError, match="256 times as long"):
        check_growth(replaced(*chain))
    with pytest.raises(EncoderError, match="times as long"):
        check_growth(replaced(({"Regex": "."}, "x" * 100)))


def test_a_tokenizer_that_is_no_object_cannot_be_read() -> None:
    with pytest.raises(EncoderError, match="cannot be read"):
        check_growth(b"[]")
