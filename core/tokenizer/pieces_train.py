"""Train WordPiece and Unigram with the `tokenizers` package, each the way its users know it.

WordPiece as BERT has it (Schuster and Nakajima 2012; Devlin et al. 2019): words are cut at whitespace and punctuation,
Chinese characters stand alone, "##" marks a piece within a word. Which whitespace there was is lost, and a word with an
unseen character is <unk>.

Unigram (Kudo 2018) as today's language models use SentencePiece: nothing is normalised, a space is "▁", line breaks are
kept, and a character that is no piece falls back to the tokens of its bytes. So text comes back as it was, but for a
"▁" in it, which is read as a space. With the patterns "gpt2" and "gpt4" pieces keep to their chunks; with "none" a
piece may hold several words.
"""

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

from core.errors import TextError
from core.tokenizer.base import clean_text, special_token_entries, tokenizer_json
from core.tokenizer.char import UNK
from core.tokenizer.files.sentencepiece_model import BYTE_SCORE, SPACE
from core.tokenizer.hub import HubTokenizer
from core.tokenizer.split import Splitter

_BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
_ASCII = [chr(code) for code in range(33, 127)]


def train_wordpiece(
    texts: Iterable[str],
    vocab_size: int,
    *,
    special_tokens: Iterable[str],
    min_frequency: int = 0,
    lowercase: bool = False,
) -> HubTokenizer:
    """lowercase: as bert-base-uncased, which also drops accents. TextError if there is nothing to train on."""
    import tokenizers
    from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

    names = _names(special_tokens)
    fast = tokenizers.Tokenizer(models.WordPiece(unk_token=UNK))
    fast.normalizer = normalizers.BertNormalizer(lowercase=lowercase, strip_accents=lowercase)
    fast.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    fast.decoder = decoders.WordPiece()
    words: Counter[str] = Counter()
    for text in texts:
        cut = fast.pre_tokenizer.pre_tokenize_str(fast.normalizer.normalize_str(clean_text(text)))
        words.update(word for word, _ in cut)
    if not words:
        raise TextError("The text has no words to train on; give more text.")
    # The package numbers characters within words as its hash table brings them, another way each time, and ties between
    # pairs go by number: so their numbers are given, the most frequent characters first.
    room = (vocab_size - len(names)) // 2  # the other half is for longer pieces
    inner, outer = Counter[str](), Counter[str]()
    for word, count in words.items():
        outer[word[0]] += count
        for character in word[1:]:
            inner["##" + character] += count
    ranked = sorted([*inner.items(), *outer.items()], key=lambda item: (-item[1], item[0]))
    kept = {piece for piece, _ in ranked[:room]}
    alphabet = sorted({piece[-1] for piece in kept})
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        special_tokens=[*names, *sorted(kept & inner.keys())],
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        show_progress=False,
    )
    _train(fast, (word for word, count in sorted(words.items()) for _ in range(count)), trainer)
    document = json.loads(fast.to_str())
    document["added_tokens"] = [token for token in document["added_tokens"] if token["content"] in names]
    return HubTokenizer(json.dumps(document, ensure_ascii=False))


def train_unigram(
    texts: Iterable[str], vocab_size: int, *, pattern: str = "gpt2", special_tokens: Iterable[str]
) -> HubTokenizer:
    """Of at most `vocab_size` tokens, the 256 bytes and the special tokens included."""
    import tokenizers
    from tokenizers import models, trainers

    names = _names(special_tokens)
    # Metaspace alone would cut before every space, which the pattern decides here.
    metaspace = {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": "never", "split": False}
    cut: dict[str, Any] = metaspace
    if pattern != "none":
        regex = {"Regex": Splitter(pattern).expression}
        split = {"type": "Split", "pattern": regex, "behavior": "Isolated", "invert": False}
        cut = {"type": "Sequence", "pretokenizers": [split, metaspace]}
    fast = tokenizers.Tokenizer(models.Unigram())
    fast = tokenizers.Tokenizer.from_str(json.dumps(json.loads(fast.to_str()) | {"pre_tokenizer": cut}))
    trainer = trainers.UnigramTrainer(
        vocab_size=vocab_size - 256,
        special_tokens=names,
        unk_token=UNK,
        initial_alphabet=_ASCII,
        show_progress=False,
    )
    _train(fast, texts, trainer)
    trained = json.loads(fast.to_str())["model"]
    pieces = [[name, 0.0] for name in names]
    pieces += [[byte, BYTE_SCORE] for byte in _BYTES]
    known = {*names, *_BYTES}
    learned = [piece for piece in trained["vocab"] if piece[0] not in known]
    if not learned or any(score is None for _, score in learned):
        raise TextError("The text is too short to learn pieces from; give more text.")
    pieces += _settled(learned)
    ids = {name: id for id, name in enumerate(names)}
    decoders = [
        {"type": "Replace", "pattern": {"String": SPACE}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
    ]  # fmt: skip
    return HubTokenizer(
        tokenizer_json(
            added_tokens=special_token_entries(ids),
            pre_tokenizer=cut,
            decoder={"type": "Sequence", "decoders": decoders},
            model={"type": "Unigram", "unk_id": ids[UNK], "vocab": pieces[:vocab_size], "byte_fallback": True},
        )
    )


def _settled(learned: list[list[Any]]) -> list[list[Any]]:
    """Pieces and their scores, the same each time. The package adds up in the order of its hash table, so scores differ
    in their last digits; and characters that no piece of its model has get scores 0.0001 apart, in that order too."""
    lowest = min(score for _, score in learned)
    steps = {piece: (score - lowest) * 10_000 for piece, score in learned if len(piece) == 1}
    added = {piece for piece, step in steps.items() if abs(step - round(step)) < 1e-6 and step < len(steps)}
    scores = dict(zip(sorted(added), sorted((score for piece, score in learned if piece in added), reverse=True)))
    settled = [(piece, round(scores.get(piece, score), 6)) for piece, score in learned]
    return [list(item) for item in sorted(settled, key=lambda item: (-item[1], item[0]))]


def _names(special_tokens: Iterable[str]) -> list[str]:
    """The special tokens, with one for what is not known."""
    return list(dict.fromkeys([*special_tokens, UNK]))


def _train(fast: Any, texts: Iterable[str], trainer: Any) -> None:
    """TextError if the package cannot make anything of the texts; its panics are no Exceptions."""
    try:
        fast.train_from_iterator((clean_text(text) for text in texts), trainer)
    except TextError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        said = " ".join(str(error).split())[:160].rstrip(".")
        raise TextError(f"The tokenizers package cannot train on this text ({said}); give more text.") from None
