"""Tokenizers."""

from tests.benchmarks.measure import Row, against

TEXT_WORDS = 120_000


def some_text() -> str:
    """The language reference that every Python carries: real text, the same everywhere of one version."""
    from pydoc_data.topics import topics

    words = "\n".join(topics[name] for name in sorted(topics)).split(" ")
    return " ".join(words[:TEXT_WORDS])


def tokenizer_training() -> list[Row]:
    """2,000 merges on about 600 kB."""
    from core.tokenizer import train_bpe

    text = some_text()
    return against(
        "train a BPE of 2,000 merges", "bytes/s", len(text.encode()),
        lambda: train_bpe([text], 2_259, engine="ours"),
        [("tokenizers", lambda: train_bpe([text], 2_259, engine="tokenizers"))],
    )  # fmt: skip


def tokenizer_encoding() -> list[Row]:
    """The same text, with pieces and spans on both sides."""
    from tokenizers import Tokenizer

    from core.tokenizer import train_bpe

    text = some_text()
    mine = train_bpe([text], 2_259, engine="tokenizers")
    theirs = Tokenizer.from_str(mine.to_json())
    return against(
        "encode text, with spans", "bytes/s", len(text.encode()),
        lambda: mine.encode(text), [("tokenizers", lambda: theirs.encode(text))],
    )  # fmt: skip
