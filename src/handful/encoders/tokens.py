"""Texts → the numbers that a CLIP-like text tower reads."""

import re
import string
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handful.encoders.growth import check_growth
from handful.errors import EncoderError

_PUNCTUATION = str.maketrans("", "", string.punctuation)


class TextTokens:
    """The tokenizer of a model: texts are cut to `length` tokens, end mark included, and padded to it.

    tokenizer : content of tokenizer.json.    told : of tokenizer_config.json, which names the pad token.
    canonical : whether texts are lower-cased without punctuation first, as open_clip does for SigLIP.
    Raises EncoderError for a tokenizer that cannot be read.
    """

    def __init__(
        self, tokenizer: bytes, told: Mapping[str, Any], *, length: int, canonical: bool = False
    ) -> None:
        from tokenizers import Tokenizer  # here, so that importing handful does not load it

        check_growth(tokenizer)
        try:
            self._tokenizer = Tokenizer.from_buffer(tokenizer)
        except BaseException as exc:
            raise _refused(exc, "read") from exc
        pad = _pad_token(told) or (self._tokenizer.padding or {}).get("pad_token")
        number = None if pad is None else self._tokenizer.token_to_id(pad)
        if number is None:
            pad, number = "", 0  # as CLIP's own code pads
        self._tokenizer.no_truncation()
        self._tokenizer.enable_truncation(length)
        self._tokenizer.enable_padding(length=length, pad_id=number, pad_token=pad)
        self._clean: Callable[[str], str] = _canonical if canonical else str
        self.length = length

    def __call__(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(M, length) token ids, and a mask that is 1 where there is one. Raises EncoderError."""
        try:
            encodings = self._tokenizer.encode_batch([self._clean(text) for text in texts])
        except BaseException as exc:
            raise _refused(exc, "used") from exc
        if odd := {len(encoding.ids) for encoding in encodings} - {self.length}:
            raise EncoderError(
                f"tokenizer.json gives {max(odd)} tokens where the model reads {self.length}; "
                "it is of another model"
            )
        ids = np.array([encoding.ids for encoding in encodings], np.int64)
        mask = np.array([encoding.attention_mask for encoding in encodings], np.int64)
        return ids.reshape(len(texts), self.length), mask.reshape(len(texts), self.length)


def _refused(exc: BaseException, done: str) -> BaseException:
    """What its Rust code raises has no type of its own, and its panics are no Exception."""
    if not isinstance(exc, Exception) and type(exc).__name__ != "PanicException":
        return exc
    return EncoderError(f"tokenizer.json cannot be {done}: {exc}; fetch or export it again")


def _pad_token(told: Mapping[str, Any]) -> str | None:
    """It stands there as text, or as an object with its content."""
    pad = told.get("pad_token")
    content = pad.get("content") if isinstance(pad, Mapping) else pad
    return content if isinstance(content, str) else None


def _canonical(text: str) -> str:
    """As open_clip's `canonicalize_text`: _ are spaces, no punctuation, lower case, single spaces."""
    bare = text.replace("_", " ").translate(_PUNCTUATION).lower()
    return re.sub(r"\s+", " ", bare).strip()
