"""Tokenizers: training, encoding, what a page of tokens takes, lines without end, vocabularies, whole files."""

import functools
import random
import sysconfig
from pathlib import Path
from typing import Any

from tests.benchmarks.measure import Row, against

MEGABYTE = 1_100_000  # about the size of the well-known tiny Shakespeare


@functools.cache
def some_text(size: int = MEGABYTE) -> str:
    """Real text, the same everywhere of one version of Python: its language reference, then its library's modules."""
    from pydoc_data.topics import topics

    text = "\n".join(topics[name] for name in sorted(topics))
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        if len(text) >= size:
            break
        text += path.read_text(encoding="utf-8", errors="replace")
    return text[:size]


@functools.cache
def pair() -> tuple[Any, Any]:
    """A tokenizer of 2,000 merges: ours, and as the package reads it."""
    from tokenizers import Tokenizer

    from core.tokenizer import train_bpe

    mine = train_bpe([some_text()], 2_259, engine="tokenizers")
    return mine, Tokenizer.from_str(mine.to_json())


def training() -> list[Row]:
    """2,000 merges on 1.1 MB."""
    from core.tokenizer import train_bpe

    text = some_text()
    return against(
        "train a BPE of 2,000 merges", "bytes/s", len(text.encode()),
        lambda: train_bpe([text], 2_259, engine="ours"),
        [("tokenizers", lambda: train_bpe([text], 2_259, engine="tokenizers"))],
    )  # fmt: skip


def encoding() -> list[Row]:
    """With pieces and spans on both sides; ids only against tiktoken, which has no spans."""
    import tiktoken

    from core.tokenizer.split import PATTERNS

    text = some_text(600_000)
    mine, theirs = pair()
    ranks = {token: id - 3 for token, id in mine.vocab.items()}
    openai = tiktoken.Encoding("bench", pat_str=PATTERNS["gpt2"], mergeable_ranks=ranks, special_tokens={})
    size = len(text.encode())
    return [
        *against(
            "encode text, with spans", "bytes/s", size,
            lambda: mine.encode(text), [("tokenizers", lambda: theirs.encode(text))],
        ),
        *against(
            "encode text, ids only", "bytes/s", size,
            lambda: mine.encode_ids(text), [("tiktoken", lambda: openai.encode_ordinary(text))],
        ),
    ]  # fmt: skip


def page() -> list[Row]:
    """100 kB of prose as the page shows it: tokens, a row for each, counts. The peer only encodes."""
    from core.tokenizer.inspect import count, token_rows

    mine, theirs = pair()
    text = some_text(100_000)

    def whole() -> None:
        found = mine.encode(text)
        token_rows(found, text)
        count(found, text)

    return against("100 kB to rows and counts", "pages/s", 1, whole, [("tokenizers", lambda: theirs.encode(text))])


def long_lines() -> list[Row]:
    """Lines without a space, which are one word to most: the same bytes repeated, and letters, signs or emoji drawn."""
    from core.tokenizer import CharTokenizer, HubTokenizer
    from tests.core.tokenizer.kinds import KINDS

    draw = random.Random(0).choices
    lines = {
        "a × 100,000": "a" * 100_000,
        "a × 1,000,000": "a" * 1_000_000,
        "1,000,000 letters": "".join(draw("abcdefghijklmnopqrstuvwxyz", k=1_000_000)),
        "1,000,000 Chinese characters": "".join(draw("日本語漢字東京大学生先私名前猫犬", k=1_000_000)),
    }
    mine, theirs = pair()
    rows = []
    for name, line in lines.items():
        rows += against(
            f"BPE: {name}", "lines/s", 1, lambda line=line: mine.encode(line),
            [("tokenizers", lambda line=line: theirs.encode(line))], rounds=1,
        )  # fmt: skip
    others = {kind: HubTokenizer(KINDS[kind]().to_str()) for kind in KINDS}
    others["characters"] = CharTokenizer.train(["abcdefghijklmnopqrstuvwxyz"])
    for name, tokenizer in others.items():
        for line in ("1,000,000 letters", "1,000,000 Chinese characters"):
            text, fast = lines[line], tokenizer.fast()
            rows += against(
                f"{name}: {line.removeprefix('1,000,000 ')}", "lines/s", 1, lambda t=tokenizer, x=text: t.encode(x),
                [("tokenizers", lambda t=fast, x=text: t.encode(x, add_special_tokens=False))], rounds=1,
            )  # fmt: skip
    return rows


def large_vocabulary() -> Any:
    """50,000 tokens of made-up words."""
    from core.tokenizer import train_bpe

    draw = random.Random(1)
    syllables = [a + b for a in "bcdfghklmnprstvwz" for b in ["a", "e", "i", "o", "u", "ei", "au", "ö", "語", "か"]]
    words = ["".join(draw.choices(syllables, k=draw.randint(1, 4))) for _ in range(60_000)]
    return train_bpe([" ".join(draw.choices(words, k=500_000))], 50_257, engine="tokenizers")


def vocabularies() -> list[Row]:
    """Answers about 50,000 tokens. The peer, where there is one: the same question as a plain loop over get_vocab()."""
    from core.tokenizer.inspect import vocabulary

    tokenizer = large_vocabulary()
    words = vocabulary(tokenizer)
    theirs = tokenizer.fast()
    questions = {
        "search by text": (lambda: words.search("sch"), lambda: [t for t in theirs.get_vocab() if "sch" in t]),
        "search by expression": (lambda: words.search("^[a-z]+ö", by="regex"), None),
        "search by bytes": (lambda: words.search("E8 AA", by="bytes"), None),
        "the longest": (lambda: words.search(order="longest"), None),
        "histogram of lengths": (words.length_histogram, None),
        "histogram of scripts": (words.script_histogram, None),
        "make it": (lambda: vocabulary(tokenizer), None),
        "tokens that cannot be reached": (lambda: vocabulary(tokenizer).unreachable, None),
    }
    rows = []
    for name, (ask, peer) in questions.items():
        rows += against(f"50k tokens: {name}", "answers/s", 1, ask, [("get_vocab", peer)] if peer else [])
    return rows


def files() -> list[Row]:
    """Two tokenizers over the lines of a file, counted by script; the peer only encodes them."""
    from core.tokenizer.inspect import compare_texts, script_of

    lines = some_text().splitlines() * 8
    mine, theirs = pair()
    both = {"one": mine, "other": mine}

    def alone() -> None:
        for _ in both:
            theirs.encode_batch_fast(lines)

    return against(
        f"{len(lines):,} lines by two tokenizers", "lines/s", len(lines),
        lambda: compare_texts(((script_of(line), line) for line in lines), both), [("tokenizers", alone)], rounds=2,
    )  # fmt: skip
