"""Texts to train on and texts to be afraid of, shared by the tokenizer tests. No file outside the package is needed."""

import random
import unicodedata
from collections.abc import Callable

import pytest

from core.tokenizer import BPETokenizer, train_bpe

JAPANESE = (
    "私はコーヒーを一杯飲みたいです。彼女は私にすぐ来いとの便りをよこした。私は少しも泳げない。"
    "吾輩は猫である。名前はまだ無い。ｶﾀｶﾅとひらがな、漢字を混ぜたEnglishの文。今日は2024年5月1日です。\n"
)
NASTY = [
    "",
    " ",
    "   leading and trailing   ",
    "\t\ttabs\tinside\t",
    "CR\rCRLF\r\nLF\n\n\nend\r\n\r\n",
    "no\xa0break\u202fspaces\u3000wide",
    "zero\u200bwidth\u200c\u200d\u2060",
    "\ufeffBOM first",
    "soft\xadhyphen",
    "NUL\x00in\x00side",
    "".join(map(chr, range(32))) + "\x7f\x80\x85\x9f",
    "👨‍👩‍👧‍👦 👩🏽‍🚀 🏳️‍🌈",
    "🇯🇵🇫🇷🇩🇪🇯",
    "👍🏻👍🏼👍🏽👍🏾👍🏿",
    "☺︎☺️✈︎✈️",
    unicodedata.normalize("NFC", "é ñ ü ガ ハ゜ 한국어"),
    unicodedata.normalize("NFD", "é ñ ü ガ ハ゜ 한국어"),
    "Z̵̢̧a̷͎͝l̶̰͐g̸̱̈́o̴̠͒ t̸e̷x̵t̶",
    "नमस्ते दुनिया क्षत्रिय",
    "ｶﾞｷﾞｸﾞ ﾊﾟﾋﾟ ガギグ",
    "日本語mixedと中文and한국어123",
    "\u202bעברית\u202c \u2067العربية\u2069 abc \u202eevil\u202c",
    "lone \ud83d high, \ude00 low, \ud83d\ude00 as a pair of halves, \udfff",
    "<|endoftext|> <s> </s> <pad> <unk> [CLS] <|im_start|>",
    "▁ Ġ Ċ ## <0x0A> � ##ing ▁the Ġthe",
    "0" * 1000,
    "1234567890 3.14159 1,000,000 ½ ² Ⅷ ٣ 一",
    "“curly” ‘quotes’ it’s it's IT'S I'LL we'VE 'ſ",
    "<script>alert(1)</script><b onclick='x'>&amp;&lt;</b>",
    "a" * 1000,
    "ab" * 500 + "a",
    "\n" * 200,
    " " * 200 + "x",
    "\U0010ffff\U000e0001\ue000\uffff\ufffe",
    "https://example.org/a?b=c&d=%20#e  C:\\dir\\file.txt  snake_case camelCase",
]


def _assigned(first: int, last: int) -> str:
    """Characters that any Unicode version of the last years knows: the packages carry different ones."""
    return "".join(chr(c) for c in range(first, last) if unicodedata.category(chr(c)) not in ("Cn", "Cs"))


ALPHABETS = [
    "abc ",
    "aA' stdml\n\r\t",
    _assigned(0, 0x250),
    _assigned(0x300, 0x370) + "aeo ",
    _assigned(0x900, 0x980) + " ",
    _assigned(0x590, 0x700) + " \u200f\u202b",
    _assigned(0x2000, 0x2070) + "ab",
    _assigned(0x3040, 0x3100) + "漢字日本語、。 a",
    _assigned(0xFE00, 0xFE10) + _assigned(0x1F1E6, 0x1F200) + _assigned(0x1F300, 0x1F650) + "\u200d ",
    "".join(chr(c) for c in range(0xD800, 0xE000, 64)) + "ab ",
    "<s>/pad|endoftx_ ",
    _assigned(0, 0x3000),
]


@pytest.fixture(scope="session")
def nasty_texts() -> list[str]:
    """The list above and 1,500 generated strings."""
    generator = random.Random(6)
    words = [w for text in NASTY for w in text.split(" ") if len(w) < 60]
    texts = list(NASTY)
    for i in range(1500):
        if i % 3 == 0:
            texts.append(" ".join(generator.choices(words, k=generator.randint(1, 8))))
        else:
            alphabet = ALPHABETS[i % len(ALPHABETS)]
            texts.append("".join(generator.choices(alphabet, k=generator.randint(1, 50))))
    return texts


@pytest.fixture(scope="session")
def corpus() -> list[str]:
    """About 400 kB of English, code and some Japanese, by lines."""
    from pydoc_data.topics import topics

    text = "".join(topics[name] for name in sorted(topics))[:400_000]
    return [*text.splitlines(keepends=True), *[JAPANESE] * 20]


@pytest.fixture(scope="session")
def make_tokenizer(corpus: list[str]) -> Callable[[str], BPETokenizer]:
    """A tokenizer of 1,500 tokens by the name of its pattern."""
    made: dict[str, BPETokenizer] = {}

    def make(pattern: str = "gpt2") -> BPETokenizer:
        if pattern not in made:
            made[pattern] = train_bpe(corpus, 1500, pattern=pattern, engine="tokenizers")
        return made[pattern]

    return make
