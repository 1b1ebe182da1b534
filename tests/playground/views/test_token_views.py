"""Tokens as HTML, notices, and the line of facts."""

import re
from html import unescape

import pytest

from core.config import RunConfig
from core.tokenizer import train_bpe
from core.tokenizer.inspect import count, token_rows
from playground.views.facts import fact_rows, facts
from playground.views.notice import notice
from playground.views.tokens import counts_line, piece_html, token_strip, token_table

TOKENIZER = train_bpe(["hello world"], 262)


def strip_of(text: str) -> str:
    encoding = TOKENIZER.encode(text)
    return token_strip(token_rows(encoding, text), encoding.pieces)


def test_tokens_in_text_and_table_carry_the_same_numbers():
    text = "hé か\n"
    encoding = TOKENIZER.encode(text)
    rows = token_rows(encoding, text)
    numbers = [str(i) for i in range(len(encoding))]
    for html in (token_strip(rows, encoding.pieces), token_table(rows, encoding.pieces)):
        assert re.findall(r'data-i="(\d+)"', html) == numbers
        assert "data-tokens" in html


def test_parts_of_a_character_stand_together_under_it():
    html = strip_of("aか")
    assert html.count('class="shared"') == 1 and '<span class="shared-whole" aria-hidden="true">か</span>' in html
    assert re.findall(r'data-kin="(\d+)"', html) == ["1", "1", "1"]
    assert '<i class="bytes">E3</i>' in html
    assert html.count("<span") == html.count("</span>")


def test_two_characters_in_parts_have_a_frame_each():
    html = strip_of("かき")
    assert html.count('class="shared"') == 2
    assert re.findall(r'data-kin="(\d+)"', html) == ["0", "0", "0", "3", "3", "3"]


def test_a_page_that_ends_within_a_character_closes_its_frame():
    encoding = TOKENIZER.encode("aか")
    html = token_strip(token_rows(encoding, "aか", 0, 2), encoding.pieces[:2])
    assert html.count("<span") == html.count("</span>") and "shared-whole" in html


def test_whitespace_is_visible_and_lines_break():
    html = strip_of("a \n\tb")
    assert all(sign in html for sign in ("·", "⏎", "⇥")) and html.count("<br>") == 1
    assert piece_html("\u200b<\x00".encode()) == '<i class="zero-width">ZWSP</i>&lt;<i class="control">\u2400</i>'


def test_one_token_is_reached_by_tab_and_each_says_what_it_is():
    html = strip_of("hello world")
    assert html.count('tabindex="0"') == 1
    labels = [unescape(label) for label in re.findall(r'aria-label="(Token [^"]*)"', html)]
    assert labels[0].startswith("Token 0: ") and "bytes 68" in labels[0]


def test_counts():
    text = "hello world か"
    html = counts_line(count(TOKENIZER.encode(text), text))
    assert "<dd>13</dd><dt>characters</dt>" in html and "<dd>15</dd><dt>bytes</dt>" in html
    assert "<dd>–</dd><dt>characters per token</dt>" in counts_line(count(TOKENIZER.encode(""), ""))


def test_notices_are_escaped_and_announced():
    html = notice("No run '<b>x</b>' & co.")
    assert 'role="alert"' in html and "<b>" not in html and "&lt;b&gt;" in html
    assert 'role="status"' in notice("by the way", "info") and notice("") == ""
    with pytest.raises(ValueError, match="kind"):
        notice("x", "shout")


def test_facts_say_what_a_model_is():
    config = RunConfig.from_dict(
        {
            "model": {"family": "llama", "d_model": 64, "n_heads": 8, "n_kv_heads": 2, "vocab_size": 2048},
            "data": {"name": "/home/someone/secret place/notes<1>.txt"},
        }
    )
    rows = dict(
        fact_rows(config, 5_312_000, {"loss_per_token": 1.23456, "bits_per_byte": 1.5, "note": "x", "ok": True})
    )
    assert rows["Heads"] == "8 (2 key-value)" and rows["Parameters"] == "5.3 M" and rows["Vocabulary"] == "2,048"
    assert rows["Trained on"] == "notes<1>.txt" and rows["Loss per token"] == "1.235" and "note" not in rows
    html = facts(config, 5_312_000, {})
    assert "notes&lt;1&gt;.txt" in html and "secret" not in html


def test_a_translators_layers_are_named_by_side():
    config = RunConfig.from_dict({"model": {"family": "transformer", "n_layers": 3, "n_encoder_layers": 2}})
    rows = dict(fact_rows(config, 1, {}))
    assert rows["Layers"] == "2 encoder + 3 decoder" and rows["Trained on"] == "built-in English-Japanese"
