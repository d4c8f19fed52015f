"""Small vocabularies of the real families."""

import gzip
from pathlib import Path

import open_clip
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

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
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Lowercase(),
            normalizers.Replace(Regex(r"[!-/:-@\[-`{-~]"), ""),
            normalizers.Replace(Regex(r"\s+"), " "),
            normalizers.Strip(),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=vocabulary,
        special_tokens=["<pad>", "</s>", "<unk>"],
        unk_token="<unk>",
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    return tokenizer


def multilingual_pieces(*, vocabulary: int) -> Tokenizer:
    """XLM-R's: sentence pieces of text as it is, between a start and an end."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=vocabulary,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>"],
        unk_token="<unk>",
        show_progress=False,
    )
    tokenizer.train_from_iterator([*_texts(), *_OTHER * 20], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return tokenizer


def word_pieces(*, vocabulary: int) -> Tokenizer:
    """BERT's: words without capitals and accents, and parts of them."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocabulary,
        special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"],
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return tokenizer


def _texts() -> list[str]:
    return [f"a photo of a {line}" for line in _CORPUS.read_text().splitlines()]
