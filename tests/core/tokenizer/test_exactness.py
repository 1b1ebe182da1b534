"""Nothing is lost: 10,000 generated strings on the main patterns, other parts of them on every other kind of tokenizer
that is here, and the nasty ones on all."""

import functools
import itertools
import json
import random

import pytest
import tiktoken
from tokenizers import Tokenizer

from core.tokenizer import BPETokenizer, CharTokenizer, HubTokenizer, load_tokenizer, train_bpe
from core.tokenizer.base import clean_text
from core.tokenizer.files.tiktoken_ranks import from_tiktoken
from core.tokenizer.inspect import count, token_rows
from core.tokenizer.split import PATTERNS
from tests.core.tokenizer.conftest import ALPHABETS, NASTY
from tests.core.tokenizer.kinds import KINDS, TEXTS, precompiled

SPECIAL = ["<s>", "</s>", "<pad>", "<|endoftext|>", "<s", "s>", "<|endof", "text|>", "[CLS]", "<unk>", "▁", "<0x0A>"]
PIECES = [
    "\r\n", "\r", "\n", "\t", "\x00", "\x1b[0m", "\x7f", "\x85", "\xa0", "\xad", "\u200b", "\u200d", "\u2028",
    "\ufeff", "\ufe0f", "\u202e", "\u2066", "\u2069", "e\u0301", "é", "が", "か\u3099", "ｶﾞ", "𝒳", "👩🏽\u200d🚀",
    "🇯🇵", "🇯", "☺️", "한국", "नि", "क्ष", "ไทย", "שלום", "مرحبا", "漢字", "\ud83d", "\ude00", "\udfff",
    "\ud800\udc00", "\ufffd", "\uffff", "\U0010ffff", "<b>", "&lt;", "'s", "'LL", "’", "“", "0000", "1234567", "½",
    "ⅷ", "aaaa", "hello", " world", "  ", "    ", " ", "__", "-->", "Ġ", "##",
]  # fmt: skip


def generated(n: int) -> list[str]:
    """Strings of one alphabet, of several, of odd pieces in a row, and of repetitions."""
    generator = random.Random(20)
    texts = []
    for i in range(n):
        length = generator.randint(1, 24)
        if i % 4 == 0:
            texts.append("".join(generator.choices(generator.choice(ALPHABETS), k=length)))
        elif i % 4 == 1:
            texts.append("".join(generator.choice(generator.choice(ALPHABETS)) for _ in range(length)))
        elif i % 4 == 2:
            texts.append("".join(generator.choices(PIECES + SPECIAL, k=generator.randint(1, 10))))
        else:
            unit = "".join(generator.choices(PIECES, k=generator.randint(1, 2)))
            texts.append(unit * generator.randint(1, 9) + generator.choice(SPECIAL + PIECES))
    return texts


@pytest.fixture(scope="module")
def ten_thousand() -> list[str]:
    return [*NASTY, *generated(10_000)]


def _tiktoken_like(base: BPETokenizer) -> BPETokenizer:
    first = len(base.special_tokens)
    ranks = {token: id - first for token, id in base.vocab.items()}
    special = {"<|endoftext|>": len(ranks), "<s>": len(ranks) + 1}
    return from_tiktoken(
        tiktoken.Encoding("x", pat_str=PATTERNS["gpt4"], mergeable_ranks=ranks, special_tokens=special)
    )


def _gpt2_like(base: BPETokenizer) -> HubTokenizer:
    """As GPT-2's own file, whose end of text is a special token, behind the package."""
    document = json.loads(base.to_json())
    document["pre_tokenizer"] |= {"trim_offsets": True}
    document["post_processor"] = {
        "type": "ByteLevel",
        "add_prefix_space": True,
        "trim_offsets": False,
        "use_regex": True,
    }
    return HubTokenizer(json.dumps(document))


BYTE_LEVEL = {
    "gpt2": lambda make: make("gpt2"),
    "gpt4": lambda make: make("gpt4"),
    "none": lambda make: make("none"),
    "own": lambda make: train_bpe(TEXTS, 400, pattern=r"\p{L}+|\d{1,2}|[\r\n]+"),
    "enja-transformer": lambda make: load_tokenizer("enja-transformer"),
    "shakespeare-gpt": lambda make: load_tokenizer("shakespeare-gpt"),
    "pydocs-llama": lambda make: load_tokenizer("pydocs-llama"),
    "tiktoken-like": lambda make: _tiktoken_like(make("gpt4")),
    "gpt2-like": lambda make: _gpt2_like(make("gpt2")),
    "added-tokens": lambda make: HubTokenizer(KINDS["byte_level"]().to_str()),
    "ignoring-merges": lambda make: HubTokenizer(KINDS["ignoring_merges"]().to_str()),
}


@pytest.mark.parametrize("parse_special", [False, True])
@pytest.mark.parametrize("kind", BYTE_LEVEL)
def test_byte_level_tokenizers_lose_nothing(kind, parse_special, make_tokenizer, ten_thousand):
    tokenizer = BYTE_LEVEL[kind](make_tokenizer)
    theirs = Tokenizer.from_str(tokenizer.to_json())
    theirs.encode_special_tokens = not parse_special
    if kind in ("gpt2", "gpt4") and not parse_special:
        texts = ten_thousand
    else:
        first = 2 * list(BYTE_LEVEL).index(kind) + parse_special
        texts = [*NASTY, *ten_thousand[len(NASTY) + first :: 7]]
    cleaned = [clean_text(text) for text in texts]
    batch = theirs.encode_batch_fast(cleaned, add_special_tokens=False)
    special_ids, bytes_of = tokenizer.special_ids, functools.cache(tokenizer.token_bytes)
    for given, text, expected in zip(texts, cleaned, batch, strict=True):
        encoding = tokenizer.encode(given, parse_special=parse_special)
        assert encoding.ids == expected.ids, repr(text)
        data = text.encode("utf-8")
        assert b"".join(encoding.pieces) == data
        assert encoding.pieces == [bytes_of(id) for id in encoding.ids]
        edges = [0, *itertools.accumulate(map(len, encoding.pieces))]
        assert encoding.byte_spans == list(itertools.pairwise(edges))
        owner = [i for i, char in enumerate(text) for _ in char.encode("utf-8")]
        assert encoding.char_spans == [(owner[start], owner[end - 1] + 1) for start, end in encoding.byte_spans]
        assert encoding.special_mask == [id in special_ids for id in encoding.ids]
        assert parse_special or not any(encoding.special_mask)
        assert tokenizer.decode(encoding.ids, skip_special=False) == text
    if not parse_special:
        assert tokenizer.encode_batch(texts) == [found.ids for found in batch]


def test_what_is_shown_is_what_there_is(make_tokenizer, ten_thousand):
    """The page's rows and counts: as many as ids, and the hex is the text."""
    tokenizer = make_tokenizer("gpt4")
    for text in [*NASTY, *ten_thousand[len(NASTY) :: 7]]:
        encoding = tokenizer.encode(text, parse_special=True)
        rows = token_rows(encoding, text)
        assert len(rows) == len(encoding.ids) == count(encoding, text).tokens
        assert bytes.fromhex("".join(row.bytes_hex for row in rows)) == clean_text(text).encode()
        assert (
            "".join(row.characters for row in rows if not row.shares_with or row.index == row.shares_with[0])
            or not text
        )


@pytest.mark.parametrize("kind", [*KINDS, "precompiled", "characters"])
def test_other_tokenizers_never_lose_track(kind, ten_thousand, tmp_path):
    """Spans follow the text, and a piece is the bytes at its span, whatever normalisers do."""
    if kind == "characters":
        tokenizer = CharTokenizer.train(TEXTS)
    else:
        tokenizer = HubTokenizer((precompiled(tmp_path) if kind == "precompiled" else KINDS[kind]()).to_str())
    for parse_special in (False, True):
        for text in [*NASTY, *ten_thousand[len(NASTY) + parse_special :: 11]]:
            encoding = tokenizer.encode(text, parse_special=parse_special)
            text = clean_text(text)
            data = text.encode("utf-8")
            edges = [0, *itertools.accumulate(len(char.encode("utf-8")) for char in text)]
            last = (0, 0)
            for piece, (start, end), (first, after) in zip(
                encoding.pieces, encoding.byte_spans, encoding.char_spans, strict=True
            ):
                assert piece == data[start:end]
                assert edges[first] <= start <= end <= edges[after]
                assert first >= last[0] and after >= last[1], (text, encoding.char_spans)
                last = (first, after)
            assert len(encoding) == len(encoding.pieces) == len(encoding.special_mask)


@pytest.mark.parametrize("kind", ["digits_and_added", "byte_level_nfc"])
def test_bytes_are_exact_where_the_text_is_left_as_it_is(kind):
    """A space that is put in front is in no piece; a normalised character does not blur the others."""
    tokenizer = HubTokenizer(KINDS[kind]().to_str())
    for text in ["The 日本 🙂x", "日", " 🙂", "12345 日x", "", "naïve façade"]:
        encoding = tokenizer.encode(text)
        assert b"".join(encoding.pieces) == text.encode()
        assert [end for _, end in encoding.byte_spans[:-1]] == [start for start, _ in encoding.byte_spans[1:]]
    text = "🙂 e\u0301 🙂"
    assert [piece.hex() for piece in tokenizer.encode(text).pieces if piece[:1] >= b"\x80"][-4:] == [
        "f0",
        "9f",
        "99",
        "82",
    ]
