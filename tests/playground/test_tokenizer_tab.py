"""The Tokenizer tab on small models: what is shown is what the tokenizer did, for any text."""

import html
import re

import pytest

from playground import models
from playground.tabs import tokenizer as tab


def shown_ids(table: str) -> list[int]:
    return [int(id) for id in re.findall(r'<th scope="row">\d+</th><td class="number">(\d+)</td>', table)]


def shown_bytes(table: str) -> bytes:
    return bytes.fromhex("".join(re.findall(r'<td class="hex">([0-9A-F ]*)</td>', table)))


FAMILY = "\U0001f469\u200d\U0001f469\u200d\U0001f467"  # three people joined into one sign
NASTY = [
    "", " ", "\t\r\n\r\n", "a\x00b", "\ud83d alone", FAMILY + "🇯🇵👍🏽", "か\u3099が", "<s>x</s>",
    "<script>alert('x')</script>", "&lt;b&gt; \"quoted\"", "\u200b\ufeff\u202eabc", "Z\u0337\u0327a\u0334",
    "コーヒーを一杯", "a" * 3000, "\u2028line",
]  # fmt: skip


@pytest.mark.parametrize("text", NASTY)
@pytest.mark.parametrize("name", ["tiny-gpt", "tiny-transformer"])
def test_ids_bytes_and_counts_are_the_tokenizers_own(runs, name, text):
    message, counts, strip, table, ids, _ = tab.tokenize(name, text, False)
    encoding = models.get_run(name).tokenizer.encode(text)
    assert b"".join(encoding.pieces).decode() == re.sub("[\ud800-\udfff]", "\ufffd", text)
    assert shown_ids(table) == encoding.ids[: tab.PAGE]
    assert shown_bytes(table) == b"".join(encoding.pieces[: tab.PAGE])
    assert f"<dd>{len(encoding):,}</dd><dt>token" in counts
    assert f"<dd>{len(b''.join(encoding.pieces)):,}</dd><dt>byte" in counts
    assert strip.count('role="listitem"') == min(len(encoding), tab.PAGE)
    assert "<script" not in strip + table + ids + message
    if encoding.ids:
        assert html.unescape(ids).startswith('<code class="ids"') and str(encoding.ids[0]) in ids
    else:
        assert "empty" in strip


def test_half_surrogates_are_said_to_be_replaced(runs):
    assert "U+FFFD" in tab.tokenize("tiny-gpt", "a\ud800", False)[0]
    assert tab.tokenize("tiny-gpt", "a", False)[0] == ""


def test_special_tokens_are_text_unless_asked_for(runs):
    plain = tab.tokenize("tiny-gpt", "<s>hi", False)
    parsed = tab.tokenize("tiny-gpt", "<s>hi", True)
    assert shown_ids(plain[3])[0] != 1 and shown_ids(parsed[3])[0] == 1
    assert "<td>special</td>" in parsed[3] and "<td>special</td>" not in plain[3]


def test_a_long_text_is_shown_in_parts_and_counted_whole(runs):
    text = "The function returns 東京 nothing. " * 3000  # about 100 kB
    message, counts, _, table, _, page = tab.tokenize("tiny-gpt", text, False)
    ids = models.get_run("tiny-gpt").tokenizer.encode(text).ids
    assert f"<dd>{len(ids):,}</dd>" in counts and f"{len(ids):,}" in message
    assert page == {"maximum": -(-len(ids) // tab.PAGE), "visible": True}
    assert shown_ids(table) == ids[: tab.PAGE]
    last = tab.other_page(("tiny-gpt", text), False, page["maximum"])
    assert shown_ids(last[3]) == ids[(page["maximum"] - 1) * tab.PAGE :]
    assert sum(map(len, (counts, *last))) < 2_000_000


def test_a_bad_model_is_a_sentence(runs):
    message, *rest, page = tab.tokenize("no-such-run", "x", False)
    assert 'role="alert"' in message and rest == ["", "", "", ""] and not page["visible"]
    assert 'role="alert"' in tab.tokenize(None, "x", False)[0]
