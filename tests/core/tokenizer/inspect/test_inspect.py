"""What views show of a tokenisation: visible signs, rows, counts, stages, merges."""

import csv
import io
import json
import sys
import time

import pytest
from tokenizers import Tokenizer

from core.errors import TextError
from core.tokenizer import CharTokenizer, HubTokenizer, train_bpe
from core.tokenizer.base import clean_text
from core.tokenizer.inspect import as_csv, as_json, count, merge_steps, stages, token_rows
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


def test_merge_steps_end_in_the_encoders_tokens(make_tokenizer, nasty_texts):
    tokenizer = make_tokenizer("gpt2")
    for text in nasty_texts[:300]:
        for chunk in tokenizer.splitter(clean_text(text)):
            if len(chunk) > 200:
                continue
            pieces = [bytes([b]) for b in chunk.encode()]
            for step in merge_steps(tokenizer, chunk):
                assert tokenizer.merges[step.rank] == (step.left, step.right)
                assert pieces[step.position : step.position + 2] == [step.left, step.right]
                pieces[step.position : step.position + 2] = [step.merged]
                assert pieces == step.pieces
            assert pieces == tokenizer.encode(chunk).pieces or len(tokenizer.splitter(chunk)) > 1


def test_merges_that_cannot_be_shown_are_sentences(make_tokenizer):
    with pytest.raises(TextError, match="Only byte-pair encoding"):
        merge_steps(CharTokenizer.train(["a"]), "a")
    with pytest.raises(TextError, match="at most 1000 bytes"):
        merge_steps(make_tokenizer("gpt2"), "a" * 1001)


@pytest.mark.parametrize("pattern", ["gpt2", "gpt4", "none"])
def test_stages_equal_the_packages(make_tokenizer, nasty_texts, pattern):
    tokenizer = make_tokenizer(pattern)
    theirs = Tokenizer.from_str(tokenizer.to_json())
    theirs.encode_special_tokens = True
    for text in map(clean_text, nasty_texts[:600]):
        seen = stages(tokenizer, text)
        encoded = theirs.encode(text)
        assert seen.normalized == text
        if text:
            assert seen.pre_tokens == theirs.pre_tokenizer.pre_tokenize_str(text)
        columns = zip(encoded.tokens, encoded.ids, encoded.offsets, strict=True)
        assert [(token.text, token.id, token.span) for token in seen.tokens] == list(columns)
        assert [token.id for token in seen.tokens] == tokenizer.encode(text).ids
        assert seen.post_processed == seen.tokens


def test_stages_of_a_tokenizer_with_all_four():
    from tokenizers import models, normalizers, pre_tokenizers, processors

    theirs = Tokenizer(models.WordLevel({"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "cafe": 3}, unk_token="[UNK]"))
    theirs.normalizer = normalizers.BertNormalizer(lowercase=True)
    theirs.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    theirs.add_special_tokens(["[CLS]", "[SEP]"])
    theirs.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    seen = stages(HubTokenizer(theirs.to_str()), "Café x")
    assert seen.normalized == "cafe x" == theirs.normalizer.normalize_str("Café x")
    assert seen.pre_tokens == [("cafe", (0, 4)), ("x", (5, 6))]
    assert [(token.text, token.id) for token in seen.tokens] == [("cafe", 3), ("[UNK]", 0)]
    processed = [(token.text, token.id) for token in seen.post_processed]
    assert processed == [("[CLS]", 1), ("cafe", 3), ("[UNK]", 0), ("[SEP]", 2)]
    char = stages(CharTokenizer.train(["ab"]), "ab")
    assert char.pre_tokens == [("ab", (0, 2))] and [token.id for token in char.tokens] == [4, 5]


def test_100_kb_to_rows_is_quick(make_tokenizer, corpus):
    tokenizer, text = make_tokenizer("gpt2"), "".join(corpus)[:100_000]
    start = time.process_time()
    encoding = tokenizer.encode(text)
    rows = token_rows(encoding, text)
    counts = count(encoding, text)
    assert time.process_time() - start < 60  # a slip in the algorithm takes minutes
    assert counts.tokens == len(rows)


def test_importing_the_room_imports_nothing_heavy():
    import subprocess

    code = "import sys, core.tokenizer; print([m for m in ('torch', 'tokenizers', 'gradio') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


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
