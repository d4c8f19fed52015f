"""Small vocabularies of the real families."""

import gzip
import math
from collections import Counter
from pathlib import Path

import open_clip
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

MERGES = 100  # of CLIP's list, from its start
_CORPUS = Path(__file__).parents[2] / "src" / "handful" / "encoders" / "data" / "classes.txt"
_OTHER = ["ein Foto einer Katze, schön und groß", "une photo d'un chat", "猫の写真", "фото кошки"]


def byte_pairs(folder: Path) -> Path:
    """open_clip's file of merges, cut short."""
    with gzip.open(open_clip.tokenizer.default_bpe()) as whole:
        lines = whole.read().decode().split("\n")[: MERGES + 1]
    file = folder / "merges.txt.gz"
    with gzip.GzipFile(file, "wb", mtime=0) as cut:
        cut.write("\n".join(lines).encode())
    return file


def pieces(*, vocabulary: int) -> Tokenizer:
    """SigLIP's: sentence pieces of text without capitals and punctuation, an end and no start."""
    normaliser = normalizers.Sequence(
        [
            normalizers.Lowercase(),
            normalizers.Replace(Regex(r"[!-/:-@\[-`{-~]"), ""),
            normalizers.Replace(Regex(r"\s+"), " "),
            normalizers.Strip(),
        ]
    )
    special = ["<pad>", "</s>", "<unk>"]
    tokenizer = _unigram(_texts(), normaliser, special=special, vocabulary=vocabulary)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    return tokenizer


def multilingual_pieces(*, vocabulary: int) -> Tokenizer:
    """XLM-R's: sentence pieces of text as it is, between a start and an end."""
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    tokenizer = _unigram(
        [*_texts(), *_OTHER * 20], normalizers.NFKC(), special=special, vocabulary=vocabulary
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return tokenizer


def word_pieces(*, vocabulary: int) -> Tokenizer:
    """BERT's: words without capitals and accents, and parts of them."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = Counter(word for text in _texts() for word in text.lower().split())
    letters = sorted({letter for word in words for letter in word})
    known = [*special, *letters, *(f"##{letter}" for letter in letters)]
    known += [word for word in _commonest(words) if word not in known][: vocabulary - len(known)]
    tokenizer = Tokenizer(
        models.WordPiece(vocab={piece: place for place, piece in enumerate(known)}, unk_token="[UNK]")
    )
    tokenizer.add_special_tokens(special)
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return tokenizer


def _unigram(
    texts: list[str], normaliser: normalizers.Normalizer, *, special: list[str], vocabulary: int
) -> Tokenizer:
    """The commonest words and all letters. What tokenizers' own trainers find differs from run to run."""
    split = pre_tokenizers.Metaspace()
    words = Counter(
        word for text in texts for word, _ in split.pre_tokenize_str(normaliser.normalize_str(text))
    )
    letters = Counter(letter for word in words.elements() for letter in word)
    known = {letter: float(count) for letter, count in sorted(letters.items())}
    for word in _commonest(words):
        if len(known) + len(special) >= vocabulary:
            break
        known.setdefault(word, 100.0 * words[word])
    total = sum(known.values())
    scored = [(piece, math.log(count / total)) for piece, count in known.items()]
    tokenizer = Tokenizer(
        models.Unigram([*((piece, 0.0) for piece in special), *scored], unk_id=special.index("<unk>"))
    )
    tokenizer.add_special_tokens(special)
    tokenizer.normalizer = normaliser
    tokenizer.pre_tokenizer = split
    return tokenizer


def _commonest(words: Counter[str]) -> list[str]:
    return sorted(words, key=lambda word: (-words[word], word))


def _texts() -> list[str]:
    return [f"a photo of a {line}" for line in _CORPUS.read_text().splitlines()]
