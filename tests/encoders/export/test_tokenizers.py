"""Tokenizer files of exported folders beside the tokenizers of the original models."""

import json

import open_clip
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kinds import KINDS
from originals import original
from tokenizers import Tokenizer

from handful.errors import EncoderError
from handful.export import bpe

_ALPHABET = (
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,:;!?'\"()-_/+*#\n\täöüßéèñçøåÄÖÉжшя猫写"
)
_FULL = open_clip.tokenizer.SimpleTokenizer()
TEXTS = [
    "a photo of a cat",
    "  two   spaces\tand a tab ",
    "IT'S 3 o'clock; we'll SEE: they've left (it) — “perhaps”…",
    "ein schönes Café am Fluß",
    "ﬁne ﬂowers and Ｆｕｌｌ width",
    "fish &amp; chips, 1 &lt; 2",
    "snake_case and 100% of #tags",
    "猫の写真 и фото кошки 🐈",
    "word " * 300,
]


def _reader(tokenizer_json: bytes, context: int, pad: str) -> Tokenizer:
    tokenizer = Tokenizer.from_buffer(tokenizer_json)
    tokenizer.enable_truncation(context)
    tokenizer.enable_padding(length=context, pad_id=tokenizer.token_to_id(pad), pad_token=pad)
    return tokenizer


@pytest.fixture(scope="module")
def full() -> Tokenizer:
    """CLIP's whole vocabulary."""
    return _reader(bpe.converted(_FULL, clean="lower"), 77, "!")


@pytest.mark.parametrize("text", TEXTS)
def test_the_whole_vocabulary_of_clip_gives_the_ids_of_open_clip(full, text) -> None:
    assert full.encode(text).ids == _FULL([text])[0].tolist()


@settings(max_examples=300, deadline=None)
@given(text=st.text(_ALPHABET, min_size=1, max_size=60).filter(str.strip))
def test_any_text_gives_the_ids_of_open_clip(text) -> None:
    reader = _reader_of_all()
    assert reader.encode(text).ids == _FULL([text])[0].tolist()


_KEPT: list[Tokenizer] = []


def _reader_of_all() -> Tokenizer:
    if not _KEPT:
        _KEPT.append(_reader(bpe.converted(_FULL, clean="lower"), 77, "!"))
    return _KEPT[0]


@pytest.mark.parametrize("text", TEXTS)
def test_punctuation_goes_where_open_clip_drops_it(text) -> None:
    reference = open_clip.tokenizer.SimpleTokenizer(clean="canonicalize")
    reader = _reader(bpe.converted(reference, clean="canonicalize"), 77, "!")
    assert reader.encode(text).ids == reference([text])[0].tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_exported_tokenizers_give_the_ids_of_the_original(export, kind) -> None:
    made = export(kind)
    config = json.loads((made.folder / "textual" / "tokenizer_config.json").read_text())
    reader = _reader(
        (made.folder / "textual" / "tokenizer.json").read_bytes(),
        config["model_max_length"],
        config["pad_token"],
    )
    reference = original(kind, made.source)
    for text in TEXTS:
        assert reader.encode(text).ids == reference.ids([text])[0].tolist(), text


def test_a_cleaning_that_is_not_known_is_named() -> None:
    with pytest.raises(EncoderError, match=r"'scrub'.*lower, whitespace, canonicalize"):
        bpe.converted(_FULL, clean="scrub")
