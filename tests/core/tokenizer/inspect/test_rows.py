"""Rows of a token table, counts, and the table as a file."""

import csv
import io
import json
import time

from core.tokenizer import train_bpe
from core.tokenizer.base import clean_text
from core.tokenizer.inspect import as_csv, as_json, count, token_rows


def test_rows_link_parts_of_a_character():
    tokenizer = train_bpe(["plain text"], 259)
    text = "aé🙂<s>"
    encoding = tokenizer.encode(text, parse_special=True)
    rows = token_rows(encoding, text)
    assert [row.text for row in rows] == ["a", "<C3>", "<A9>", "<F0>", "<9F>", "<99>", "<82>", "<s>"]
    assert [row.shares_with for row in rows] == [(), (1, 2), (1, 2), *[(3, 4, 5, 6)] * 4, ()]
    assert [row.characters for row in rows] == ["a", "é", "é", *["🙂"] * 4, "<s>"]
    assert rows[-1].is_special and rows[-1].id == 1 and rows[-1].byte_span == (7, 10) and rows[-1].char_span == (3, 6)
    assert rows[3].bytes_hex == "F0" and rows[3].is_partial and not rows[0].is_partial
    assert token_rows(encoding, text, 2, 4) == rows[2:4]
    assert token_rows(encoding, text, -5, 99) == rows


def test_rows_of_all_nasty_texts(make_tokenizer, nasty_texts):
    tokenizer = make_tokenizer("gpt2")
    for text in nasty_texts[:800]:
        encoding = tokenizer.encode(text)
        rows = token_rows(encoding, text)
        assert [row.id for row in rows] == encoding.ids
        assert bytes.fromhex("".join(row.bytes_hex for row in rows)) == clean_text(text).encode()
        assert all(row.index in row.shares_with for row in rows if row.is_partial)


def test_counts():
    tokenizer = train_bpe(["x"], 259)
    text = "two words 👩🏽‍🚀"
    counts = count(tokenizer.encode(text), text)
    assert (counts.characters, counts.graphemes, counts.bytes, counts.words) == (14, 11, 25, 3)
    assert counts.tokens == 25 and counts.bytes_per_token == 1 and counts.tokens_per_word == 25 / 3
    nothing = count(tokenizer.encode(""), "")
    assert nothing.tokens == 0 and nothing.chars_per_token == 0 and nothing.tokens_per_word == 0


def test_100_kb_to_rows_is_quick(make_tokenizer, corpus):
    tokenizer, text = make_tokenizer("gpt2"), "".join(corpus)[:100_000]
    start = time.process_time()
    encoding = tokenizer.encode(text)
    rows = token_rows(encoding, text)
    counts = count(encoding, text)
    assert time.process_time() - start < 60  # a slip in the algorithm takes minutes
    assert counts.tokens == len(rows)


def test_tables_as_files_say_the_same_as_the_rows(make_tokenizer, nasty_texts):
    tokenizer = make_tokenizer("gpt2")
    for text in [*nasty_texts[:300], "", 'a,b"c\n<s>']:
        encoding = tokenizer.encode(text, parse_special=True)
        lines = list(csv.DictReader(io.StringIO(as_csv(encoding, text))))
        assert [int(line["id"]) for line in lines] == encoding.ids
        assert bytes.fromhex("".join(line["bytes"] for line in lines)) == clean_text(text).encode()
        assert [(int(line["byte_start"]), int(line["byte_end"])) for line in lines] == encoding.byte_spans
        assert [(int(line["char_start"]), int(line["char_end"])) for line in lines] == encoding.char_spans
        assert [bool(int(line["special"])) for line in lines] == encoding.special_mask
        document = json.loads(as_json(encoding, text))
        assert document["text"] == clean_text(text) and document["ids"] == encoding.ids
        rows = token_rows(encoding, text)
        assert [token["text"] for token in document["tokens"]] == [row.text for row in rows]
        assert [token["characters"] for token in document["tokens"]] == [row.characters for row in rows]
