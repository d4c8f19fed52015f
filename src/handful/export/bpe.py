"""The tokenizers of open_clip as tokenizers files, its cleaning of texts included."""

import json
from typing import Protocol

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from handful.errors import EncoderError

_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
_ENTITIES = {"&lt;": "<", "&gt;": ">", "&quot;": '"', "&#39;": "'", "&nbsp;": " ", "&amp;": "&"}
_PUNCTUATION = r"[!-/:-@\[-`{-~]"  # of ASCII, as string.punctuation
_REPAIRED = (range(0x2018, 0x2020), range(0xFB00, 0xFB07), range(0xFF01, 0xFF5F))
CLEANINGS = ("lower", "whitespace", "canonicalize")


class BytePairs(Protocol):
    """What is read of open_clip.tokenizer.SimpleTokenizer."""

    encoder: dict[str, int]
    bpe_ranks: dict[tuple[str, str], int]
    all_special_ids: list[int]


def converted(reference: BytePairs, *, clean: str) -> bytes:
    """tokenizer.json with the vocabulary and merges of open_clip's SimpleTokenizer.

    clean : one of `CLEANINGS`, as open_clip names them. Raises EncoderError for another.
    """
    by_id = {place: token for token, place in reference.encoder.items()}
    start, end = (by_id[place] for place in reference.all_special_ids[:2])
    tokenizer = Tokenizer(
        models.BPE(
            vocab=reference.encoder,
            merges=sorted(reference.bpe_ranks, key=reference.bpe_ranks.__getitem__),
            end_of_word_suffix="</w>",
            continuing_subword_prefix="",
        )
    )
    tokenizer.normalizer = normalizers.Sequence(_cleaning(clean))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}",
        pair=f"{start} $A {end} $B {end}",
        special_tokens=[(start, reference.encoder[start]), (end, reference.encoder[end])],
    )
    tokenizer.decoder = decoders.ByteLevel()
    return _written(tokenizer)


def cleaning_first(tokenizer_json: bytes, *, clean: str) -> bytes:
    """A tokenizers file that cleans a text as open_clip does before its own normaliser sees it."""
    tokenizer = Tokenizer.from_buffer(tokenizer_json)
    before = _cleaning(clean)
    own = tokenizer.normalizer
    tokenizer.normalizer = normalizers.Sequence([*before, own] if own is not None else before)
    return _written(tokenizer)


def _written(tokenizer: Tokenizer) -> bytes:
    return json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False, separators=(",", ":")).encode()


def _cleaning(clean: str) -> list[normalizers.Normalizer]:
    """open_clip's basic_clean and what follows it.

    ftfy's repairs of single characters (curly quotes, ligatures, full-width letters) are among them; its
    guesses at text that somebody decoded wrongly cannot be.
    """
    if clean not in CLEANINGS:
        raise EncoderError(f"a tokenizer cleans texts by {clean!r}; the export knows {', '.join(CLEANINGS)}")
    steps: list[normalizers.Normalizer] = [normalizers.NFC()]
    steps += [normalizers.Replace(found, instead) for found, instead in _ENTITIES.items()]
    steps += [normalizers.Replace(found, instead) for found, instead in _repairs().items()]
    if clean == "canonicalize":
        steps += [normalizers.Replace("_", " "), normalizers.Replace(Regex(_PUNCTUATION), "")]
    steps += [normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    if clean != "whitespace":
        steps.append(normalizers.Lowercase())
    return steps


def _repairs() -> dict[str, str]:
    import ftfy

    return {chr(code): ftfy.fix_text(chr(code)) for codes in _REPAIRED for code in codes}
