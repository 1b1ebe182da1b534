"""Signs for what is invisible: spaces, controls, zero-width characters, bytes that are no character."""

import pytest

from core.tokenizer.base import clean_text
from core.tokenizer.visible import Segment, segments, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (" a b", "·a·b"),
        ("\n\r\n\t", "⏎␍⏎⇥"),
        ("\0\x1b\x7f", "␀␛␡"),
        ("a\u200db\ufeff", "a<ZWJ>b<BOM>"),
        ("\xad\u202e\ufe0f", "<SHY><RLO><VS16>"),
        ("\xa0", "<NBSP>"),
        ("\u0301a\u0301", "◌\u0301a\u0301"),
        ("\ue000", "U+E000"),
        ("<b>&", "<b>&"),
        ("日本", "日本"),
    ],
)
def test_invisible_characters_are_shown(text, shown):
    assert visible(text.encode()) == shown


def test_parts_of_characters_are_hex():
    emoji = "🙂".encode()
    assert segments(b"a" + emoji[:3]) == [Segment("a", "text"), Segment("F0 9F 99", "bytes")]
    assert segments(emoji[3:] + b" x") == [Segment("82", "bytes"), Segment("·", "space"), Segment("x", "text")]
    assert visible(emoji[1:]) == "<9F 99 82>"


def test_nothing_stays_invisible(nasty_texts):
    for text in nasty_texts:
        shown = visible(clean_text(text).encode())
        assert not any(c.isspace() or ord(c) < 32 or c in "\u200b\u200c\u200d\u2060\ufeff\xad" for c in shown)
        assert bool(shown) == bool(text)
