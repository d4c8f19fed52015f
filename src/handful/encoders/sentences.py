"""Texts → sentence rows: tokenizer and transformer of the builtin text tower."""

from collections.abc import Sequence

import numpy as np

from handful.encoders.session import SessionOptions, open_session
from handful.errors import EncoderError
from handful.rows import Rows

_BATCH_TOKENS = (
    512  # padding included: a batch takes the same memory for long and short texts, and fits caches
)


class SentenceTower:
    """all-MiniLM-L6-v2 (Reimers and Gurevych, EMNLP 2019): a text's mean token, at unit length.

    Reads at most `max_tokens` of a text (256, about 190 words of English) and leaves out the rest.
    """

    def __init__(self, model: bytes, tokenizer: bytes, *, max_tokens: int, options: SessionOptions) -> None:
        from tokenizers import Tokenizer  # here, so that importing handful does not load it

        self._tokenizer = Tokenizer.from_buffer(tokenizer)
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_tokens)
        self._session = open_session(model, options, name="the text tower")

    def __call__(self, texts: Sequence[str]) -> Rows:
        """(M, 384) unit rows."""
        encodings = self._tokenizer.encode_batch(list(texts))
        lengths = np.array([len(encoding) for encoding in encodings], dtype=np.int64)
        rows: list[Rows] = []
        order = np.argsort(lengths, kind="stable")
        for batch in _batches(order, lengths):
            tokens = np.zeros((len(batch), lengths[batch].max()), dtype=np.int64)
            mask = np.zeros_like(tokens)
            for row, index in enumerate(batch):
                tokens[row, : lengths[index]] = encodings[index].ids
                mask[row, : lengths[index]] = 1
            rows.append(self._session.run(["sentence"], {"tokens": tokens, "mask": mask})[0])
        found = np.empty((len(texts), rows[0].shape[1]), dtype=np.float32)
        found[order] = np.concatenate(rows)
        return found


def _batches(order: np.ndarray, lengths: np.ndarray) -> list[np.ndarray]:
    """Cut `order`, which runs from short to long, so that no batch holds more than _BATCH_TOKENS."""
    batches, start = [], 0
    for end in range(1, len(order) + 1):
        if end == len(order) or (end + 1 - start) * lengths[order[end]] > _BATCH_TOKENS:
            batches.append(order[start:end])
            start = end
    return batches


def checked_texts(texts: Sequence[str]) -> list[str]:
    """As a list. Raises EncoderError for one string in place of several, and for an empty text."""
    if isinstance(texts, str):
        raise EncoderError(
            f"encode_texts wants a list of texts, got the single text {texts[:40]!r}; put it in a list"
        )
    for index, text in enumerate(texts):
        if not isinstance(text, str) or not text.strip():
            raise EncoderError(
                f"text {index} of {len(texts)} is {text!r}; a text holds at least one character"
            )
    return list(texts)
