"""Make a tokenizer from text: `train_bpe` by our own trainer or the `tokenizers` package, with equal merges.

>>> tokenizer = train_bpe(["low lower lowest"] * 3, vocab_size=262)
>>> [tokenizer.token_bytes(id) for id in range(259, 262)]
[b'lo', b'low', b' low']
"""

from collections.abc import Callable, Iterable
from typing import Any, Literal

from core.config import TokenizerConfig
from core.errors import TextError
from core.tokenizer.base import Tokenizer, clean_text
from core.tokenizer.bpe import BPETokenizer
from core.tokenizer.bpe_train import Merge, count_chunks, learn_merges
from core.tokenizer.byte_map import from_visible
from core.tokenizer.char import CharTokenizer
from core.tokenizer.split import Splitter, unportable_part

SPECIAL_TOKENS = ("<pad>", "<s>", "</s>")


def train_bpe(
    texts: Iterable[str],
    vocab_size: int,
    *,
    pattern: str = "gpt2",
    special_tokens: Iterable[str] = SPECIAL_TOKENS,
    engine: Literal["ours", "tokenizers"] = "ours",
    min_frequency: int = 0,
    progress: Callable[[int, int, Merge, int], None] | None = None,
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
    splitter = Splitter(pattern)
    if part := unportable_part(pattern):
        raise TextError(f"The splitting pattern has {part!r}, which tokenizer.json cannot carry; write it without.")
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
    """Train with the `tokenizers` package and read its merges."""
    import json

    import tokenizers
    from tokenizers import pre_tokenizers, trainers

    model = tokenizers.Tokenizer(tokenizers.models.BPE())
    document = json.loads(model.to_str()) | {"pre_tokenizer": splitter.to_json()}
    model = tokenizers.Tokenizer.from_str(json.dumps(document))
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=names,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        min_frequency=min_frequency,
        show_progress=False,
    )
    model.train_from_iterator((clean_text(text) for text in texts), trainer)
    merges: list[Any] = json.loads(model.to_str())["model"]["merges"]
    return [(from_visible(left) or b"", from_visible(right) or b"") for left, right in merges]


def train_tokenizer(config: TokenizerConfig, texts: Iterable[str]) -> Tokenizer:
    """The tokenizer that a run's configuration asks for: trained on `texts`, or taken from `config.path`."""
    if config.path:
        from core.tokenizer.load import load_tokenizer

        return load_tokenizer(config.path)
    if config.kind == "char":
        return CharTokenizer.train(texts)
    return train_bpe(texts, config.vocab_size, pattern=config.pattern, engine="tokenizers")
