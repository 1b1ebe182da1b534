"""Make a tokenizer from text, as a `TrainingRequest` asks for.

>>> tokenizer = train_bpe(["low lower lowest"] * 3, vocab_size=262)
>>> [tokenizer.token_bytes(id) for id in range(259, 262)]
[b'lo', b'low', b' low']

Byte-level BPE is by our own trainer or the `tokenizers` package, with equal merges; WordPiece and Unigram are that
package's (pieces_train.py).
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from core.errors import ConfigError, RunError, TextError
from core.strict import from_dict
from core.tokenizer.base import Tokenizer, clean_text
from core.tokenizer.bpe import BPETokenizer
from core.tokenizer.bpe_train import Merge, count_chunks, learn_merges
from core.tokenizer.byte_map import from_visible
from core.tokenizer.char import UNK, CharTokenizer
from core.tokenizer.split import PATTERNS, Splitter, check_pattern

if TYPE_CHECKING:
    from core.config import TokenizerConfig

SPECIAL_TOKENS = ("<pad>", "<s>", "</s>")
KINDS = ("bpe", "wordpiece", "unigram", "char")
MAX_VOCAB = 500_000
MAX_SPECIAL = 1_000
_LONG_TEXT = 20_000  # characters of one chunk, from which our trainer is far quicker
_MAX_NAME = 100  # characters of a special token

Progress = Callable[[int, int, Merge, int], None]  # merges made, merges in all, the last one, its pair's count


@dataclass(frozen=True)
class TrainingRequest:
    """What is to be trained. ConfigError if it cannot be.

    pattern: "gpt2", "gpt4", "none" or, for bpe, a regular expression of one's own (see core.tokenizer.split); WordPiece
    has its own way to cut text, and characters need none. engine and min_frequency: of bpe and wordpiece;
    lowercase: of wordpiece.
    """

    kind: Literal["bpe", "wordpiece", "unigram", "char"] = "bpe"
    vocab_size: int = 4_000  # special tokens and bytes included; char: ignored
    pattern: str = "gpt2"
    special_tokens: tuple[str, ...] = SPECIAL_TOKENS
    engine: Literal["ours", "tokenizers"] = "ours"  # of bpe
    min_frequency: int = 0  # pairs that are rarer are not merged
    lowercase: bool = False

    def __post_init__(self) -> None:
        _check_names(self.special_tokens)
        least = self.smallest
        if self.kind != "char" and not least <= self.vocab_size <= MAX_VOCAB:
            raise ConfigError(
                f"The vocabulary must have {least:,} to {MAX_VOCAB:,} tokens (special tokens"
                f"{' and the 256 bytes' if self.kind != 'wordpiece' else ''} included), not {self.vocab_size:,}."
            )
        if not 0 <= self.min_frequency <= 1_000_000_000:
            raise ConfigError(f"The least frequency must lie between 0 and 1,000,000,000, not {self.min_frequency:,}.")
        if self.pattern not in ("none", *PATTERNS):
            if self.kind != "bpe":
                raise ConfigError("A regular expression of your own cuts text for BPE only; choose gpt2, gpt4 or none.")
            try:
                check_pattern(self.pattern)
            except TextError as error:
                raise ConfigError(str(error)) from None

    @property
    def smallest(self) -> int:
        """The least vocabulary size that is possible."""
        names = len(set(self.special_tokens))
        if self.kind == "bpe":
            return 256 + names
        names += UNK not in self.special_tokens
        return {"unigram": 256 + 64, "wordpiece": 64, "char": 0}[self.kind] + names

    @classmethod
    def from_values(cls, values: dict[str, Any]) -> "TrainingRequest":
        """Strictly, as from JSON. ConfigError naming what is wrong."""
        return from_dict(cls, values)

    def to_values(self) -> dict[str, Any]:
        return dataclasses.asdict(self) | {"special_tokens": list(self.special_tokens)}


def _check_names(names: tuple[str, ...]) -> None:
    if len(names) > MAX_SPECIAL:
        raise ConfigError(f"There are {len(names):,} special tokens; give up to {MAX_SPECIAL:,}.")
    for name in names:
        if len(name) < 2 or len(name) > _MAX_NAME:
            raise ConfigError(f"A special token has 2 to {_MAX_NAME} characters, not as {name[:40]!r} has.")
        if clean_text(name) != name or name != name.strip() or not name.isprintable():
            raise ConfigError(f"The special token {name!r} must be of visible characters, without spaces at its ends.")
    if double := next((name for name in names if names.count(name) > 1), None):
        raise ConfigError(f"The special token {double!r} is given twice.")


def train_by_request(request: TrainingRequest, texts: Iterable[str], *, progress: Progress | None = None) -> Tokenizer:
    """Train what is asked for. With the pattern "none" each line of the texts is cut by itself, so that a whole file is
    not one chunk. progress: told each merge of engine "ours". TextError if the texts have nothing to train on."""
    texts = _seen(texts)
    if request.kind == "char":
        return CharTokenizer.train(texts, request.special_tokens)
    if request.pattern == "none":
        texts = _lines(texts)
    if request.kind == "bpe":
        return train_bpe(
            texts,
            request.vocab_size,
            pattern=request.pattern,
            special_tokens=request.special_tokens,
            engine=request.engine,
            min_frequency=request.min_frequency,
            progress=progress,
        )
    from core.tokenizer.pieces_train import train_unigram, train_wordpiece

    if request.kind == "wordpiece":
        return train_wordpiece(
            texts,
            request.vocab_size,
            special_tokens=request.special_tokens,
            min_frequency=request.min_frequency,
            lowercase=request.lowercase,
        )
    return train_unigram(texts, request.vocab_size, pattern=request.pattern, special_tokens=request.special_tokens)


def _seen(texts: Iterable[str]) -> Iterator[str]:
    """The texts; TextError at their end if there was no character in them."""
    found = False
    for text in texts:
        found = found or bool(text)
        yield text
    if not found:
        raise TextError("There is no text to train on; type some, or choose a file or a data set.")


def _lines(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        start = 0
        while start < len(text):
            end = text.find("\n", start) + 1 or len(text)
            yield text[start:end]
            start = end


def train_bpe(
    texts: Iterable[str],
    vocab_size: int,
    *,
    pattern: str = "gpt2",
    special_tokens: Iterable[str] = SPECIAL_TOKENS,
    engine: Literal["ours", "tokenizers"] = "ours",
    min_frequency: int = 0,
    progress: Progress | None = None,
) -> BPETokenizer:
    """Byte-level BPE of at most `vocab_size` tokens, special tokens and the 256 bytes included.

    pattern: see core.tokenizer.split; with "none" each of the texts is one chunk. A text that has too few pairs gives a
    smaller vocabulary. progress(done, total, merge, count) is called after each merge (engine "ours" only).
    """
    names = list(dict.fromkeys(special_tokens))
    if single := next((name for name in names if len(name.encode("utf-8", "replace")) < 2), None):
        raise TextError(f"The special token {single!r} must be longer than a character.")
    smallest = 256 + len(names)
    if vocab_size < smallest:
        raise TextError(f"vocab_size must be at least {smallest} (256 bytes and the special tokens), not {vocab_size}.")
    splitter = check_pattern(pattern)
    specials = {name: id for id, name in enumerate(names)}
    forbidden = {name.encode("utf-8") for name in names}
    if engine == "tokenizers":
        if not splitter.is_known or any(len(splitter(name)) == 1 for name in names):
            texts = list(texts)  # may be needed twice, see below
        merges = _merges_by_tokenizers(texts, vocab_size, splitter, names, min_frequency)
        if not any(a + b in forbidden for a, b in merges):
            return BPETokenizer(merges, specials, pattern=splitter.name)
        # A special token's name arose from ordinary text. Typed text must never become it: ours leaves that merge out.
    elif engine != "ours":
        raise TextError(f"engine must be 'ours' or 'tokenizers', not {engine!r}.")
    merges = learn_merges(
        count_chunks(texts, splitter),
        vocab_size - smallest,
        min_frequency=min_frequency,
        forbidden=forbidden,
        progress=progress,
    )
    return BPETokenizer(merges, specials, pattern=splitter.name)


def _merges_by_tokenizers(
    texts: Iterable[str], vocab_size: int, splitter: Splitter, names: list[str], min_frequency: int
) -> list[Merge]:
    """Train with the `tokenizers` package and read its merges.

    Its engine of regular expressions has no time limit: a pattern of a user's own is matched by our splitter, and
    each chunk is given as a text that is cut no further.
    """
    import json

    import tokenizers
    from tokenizers import pre_tokenizers, trainers

    texts = (clean_text(text) for text in texts)
    cut = splitter if splitter.is_known else Splitter("none")
    if not splitter.is_known:
        texts = (chunk for text in texts for chunk in splitter(text))
    model = tokenizers.Tokenizer(tokenizers.models.BPE())
    document = json.loads(model.to_str()) | {"pre_tokenizer": cut.to_json()}
    model = tokenizers.Tokenizer.from_str(json.dumps(document))
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=names,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        min_frequency=min_frequency,
        show_progress=False,
    )
    model.train_from_iterator(texts, trainer)
    merges: list[Any] = json.loads(model.to_str())["model"]["merges"]
    return [(from_visible(left) or b"", from_visible(right) or b"") for left, right in merges]


def train_tokenizer(config: "TokenizerConfig", texts: Iterable[str]) -> Tokenizer:
    """The tokenizer that a run's configuration asks for: trained on `texts`, or taken from `config.path`."""
    if config.path:
        from core.tokenizer.load import load_tokenizer

        return load_tokenizer(config.path)
    if config.kind == "char":
        return CharTokenizer.train(texts)
    if config.kind == "bpe":  # with the pattern "none" each of the texts is a chunk
        texts = list(texts)
        # The package takes quadratic time for a chunk: half a minute for 200,000 characters.
        is_long = config.pattern == "none" and any(len(text) > _LONG_TEXT for text in texts)
        engine: Literal["ours", "tokenizers"] = "ours" if is_long else "tokenizers"
        return train_bpe(texts, config.vocab_size, pattern=config.pattern, engine=engine)
    return train_by_request(TrainingRequest(config.kind, config.vocab_size, config.pattern), texts)


def with_control_tokens(tokenizer: Tokenizer, pad: bool = True) -> Tokenizer:
    """The tokenizer as a run keeps it, with tokens for beginning, end and (pad) padding: those that it lacks are added
    behind its last id. RunError if it cannot be written as tokenizer.json, or they cannot be added."""
    from core.tokenizer.load import tokenizer_from_json

    kept = tokenizer_from_json(tokenizer.to_json())
    known = (kept.pad_id if pad else 0, kept.bos_id, kept.eos_id)
    missing = [name for name, id in zip(SPECIAL_TOKENS, known) if id is None]
    if not missing:
        return kept
    import tokenizers

    fast = tokenizers.Tokenizer.from_str(kept.to_json())
    fast.add_special_tokens(missing)  # one that is an ordinary token there keeps its id
    made = tokenizer_from_json(fast.to_str())
    vocab = fast.get_vocab(with_added_tokens=True)
    found = (made.pad_id if pad else 0, made.bos_id, made.eos_id)
    if None in found or len(set(vocab.values())) < len(vocab):
        raise RunError(
            f"The tokenizer has no {' and no '.join(missing)}, and they cannot be added to it; choose another one."
        )
    return made
