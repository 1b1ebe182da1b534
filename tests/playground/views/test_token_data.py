"""The tokens as the page draws them: the data says what the encoding says, and nothing in it is HTML by chance."""

import json
import random
from html import unescape

import pytest

from core.tokenizer import train_bpe
from core.tokenizer.inspect import count
from core.tokenizer.visible import visible
from playground.views.tokens import counts_line, piece_html, token_data

TOKENIZER = train_bpe(["hello world コーヒー hello"], 275)
NASTY = [
    "", " ", "a", "か", "かき", "hé か\n", "\t\r\n\r\n", "a\x00b", "<script>alert('x')</script>",
    "&lt;b&gt; \"quoted\"",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467🇯🇵", "Z\u0337\u0327a\u0334", "hello <s> world</s>", "a" * 500,
]  # fmt: skip


def spans(steps: list[int], first: int) -> list[tuple[int, int]]:
    """The inverse of what the view does, as the page's script has it."""
    found, at = [], first
    for step, size in zip(steps[::2], steps[1::2]):
        at += step
        found.append((at, at + size))
    return found


def some_texts():
    letters = random.Random(3)
    alphabet = "ab <>&\"'\n\t語か\u3099é\u200b\ufeff😀\u202e<s>"
    return ["".join(letters.choices(alphabet, k=letters.randrange(60))) for _ in range(200)]


@pytest.mark.parametrize("parse_special", [False, True])
def test_the_data_is_the_encoding(parse_special):
    for text in NASTY + some_texts():
        encoding = TOKENIZER.encode(text, parse_special=parse_special)
        n = len(encoding)
        for start, stop in {(0, n), (n // 3, n // 2 + 1), (n - n // 4, n)}:
            stop = min(stop, n)
            data = json.loads(token_data(encoding, text, start, stop, name="x"))
            types = [data["types"][k] for k in data["tokens"]]
            assert [t[0] for t in types] == encoding.ids[start:stop]
            assert [bytes.fromhex(t[2]) for t in types] == encoding.pieces[start:stop]
            assert [bool(t[5]) for t in types] == encoding.special_mask[start:stop]
            assert spans(data["chars"], data["first"][0]) == encoding.char_spans[start:stop]
            assert spans(data["bytes"], data["first"][1]) == encoding.byte_spans[start:stop]
            assert (data["total"], data["start"]) == (n, start)
            first, chars = data["first"][0], data["text"]
            assert all(chars[a - first : b - first] == text[a:b] for a, b in encoding.char_spans[start:stop])
            for (_, html, _, shown, partial, _, whole), piece in zip(types, encoding.pieces[start:stop]):
                assert html == piece_html(piece) and shown == visible(piece)
                assert "<" not in html.replace("<i class=", "").replace("</i>", "")
                assert bool(partial) == bool(whole) == (piece.decode(errors="replace").encode() != piece)
        if n and not parse_special:
            assert json.loads(token_data(encoding, text, 0, n, name="x"))["text"] == text


def test_a_token_that_is_part_of_a_character_says_of_which():
    encoding = TOKENIZER.encode("aき")
    data = json.loads(token_data(encoding, "aき", 0, len(encoding), name="x"))
    assert [data["types"][k][6] for k in data["tokens"]] == ["", *["き"] * (len(encoding) - 1)]


def test_a_long_text_of_few_tokens_is_small():
    text = "hello world\n" * 5_000
    encoding = TOKENIZER.encode(text)
    data = token_data(encoding, text, 0, len(encoding), name="x")
    assert len(json.loads(data)["types"]) < 12 and len(data) < 20 * len(encoding) + len(text)


def test_what_cannot_be_seen_is_written_out():
    assert piece_html("\u200b<\x00".encode()) == '<i class="zero-width">ZWSP</i>&lt;<i class="control">\u2400</i>'
    assert unescape(piece_html(b" a\n")).count("<i") == 2


def test_counts():
    text = "hello world か"
    html = counts_line(count(TOKENIZER.encode(text), text))
    assert "<dd>13</dd><dt>characters</dt>" in html and "<dd>15</dd><dt>bytes</dt>" in html
    assert "<dd>–</dd><dt>characters per token</dt>" in counts_line(count(TOKENIZER.encode(""), ""))
