"""A vocabulary as HTML: every entry that was found with all that is known of it; bars that add up."""

import re

import pytest

from core.tokenizer import HubTokenizer, train_bpe
from core.tokenizer.inspect import vocabulary
from playground.views import vocabulary as view
from tests.core.tokenizer.kinds import KINDS, TEXTS

WORDS = vocabulary(train_bpe(TEXTS, vocab_size=400))


def rows(out):
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall("<tr>(.*?)</tr>", out)][1:]


def test_every_entry_is_a_row():
    found = WORDS.search(limit=1000)
    out = view.results_html(found.entries, found.total, 0, "", "place in the list of merges")
    shown = rows(out)
    assert [int(row[0]) for row in shown] == [entry.id for entry in found.entries]
    assert [bytes.fromhex(row[2].rstrip(" …")) for row in shown] == [entry.bytes[: view.HEX] for entry in found.entries]
    assert [row[4] for row in shown] == ["" if e.rank is None else f"{e.rank:,}" for e in found.entries]
    assert [row[7] == '<span class="reachable">yes</span>' for row in shown] == [
        e.reachable and e.kind != "special" for e in found.entries
    ]
    assert f"{found.total} tokens" in out and "Score" not in out


def test_a_page_says_which_it_is():
    found = WORDS.search(offset=100, limit=50)
    out = view.results_html(found.entries, found.total, 100, "", "")
    assert f"101 to 150 of {found.total} tokens" in out and "Rank" not in out and len(rows(out)[0]) == 7
    assert "No token fits" in view.results_html([], 0, 0, "zzz", "")


def test_scores_are_shown_where_there_are_any():
    words = vocabulary(HubTokenizer(KINDS["unigram"]().to_str()))
    found = words.search("e", limit=5)
    out = view.results_html(found.entries, found.total, 0, "e", "")
    assert [row[4] for row in rows(out)] == [f"{entry.score:.3f}" for entry in found.entries]


@pytest.mark.parametrize(
    ("data", "query", "expected"),
    [
        (b" the", "th", '<i class="space">·</i><mark>th</mark>e'),
        (b"<<", "<", "<mark>&lt;</mark><mark>&lt;</mark>"),
        (b"the", "", "the"),
        (b"the", "x", "the"),
        (b"\xe3\x81", "\u3042", '<i class="bytes">E3 81</i>'),
        (b"a", "\ud800", "a"),
    ],
)
def test_what_was_looked_for_is_marked(data, query, expected):
    assert view.marked(data, query) == expected


def test_bars_add_up_and_can_be_pressed():
    lengths, scripts = WORDS.length_histogram(), WORDS.script_histogram()
    out = view.overview_html([*lengths, (40, 3), (99, 2)], scripts, WORDS.longest(3), "script:Latin")
    bars = re.findall(r'data-narrow="length:(\d+\+?)" aria-pressed="(\w+)" aria-label="[^"]*: ([\d,]+) tokens?"', out)
    counts = {name: int(count.replace(",", "")) for name, _, count in bars}
    assert counts.pop(f"{view.BARS + 1}+") == 5 + sum(n for length, n in lengths if length > view.BARS)
    assert counts == {str(length): n for length, n in lengths if length <= view.BARS}
    assert re.findall(r'data-narrow="script:([^"]*)" aria-pressed="true"', out) == ["Latin"]
    assert out.count('aria-pressed="true"') == 1
    assert re.findall(r'<span class="count">(\d+)</span>', out) == [str(n) for _, n in scripts]
    assert re.findall(r"(\d+) bytes · id (\d+)", out) == [(str(len(e.bytes)), str(e.id)) for e in WORDS.longest(3)]
    assert "more</summary>" in view.overview_html([], [(f"S{i}", 1) for i in range(20)], [], "")
    assert view.overview_html([], [], [], "")


def test_what_the_search_is_limited_to_can_be_taken_away():
    assert view.narrowed_html("") == ""
    assert "script: &lt;b&gt;" in view.narrowed_html("script:<b>") and 'data-narrow=""' in view.narrowed_html(
        "length:3"
    )
    assert "length: 25+ bytes" in view.narrowed_html("length:25+") and "1 byte " in view.narrowed_html("length:1")


def test_unreachable_tokens_are_counted_in_a_sentence():
    assert "data-pending" in view.reach_html(None, 300) and "Every token" in view.reach_html(0, 300)
    assert "1 token of 300</b> is" in view.reach_html(1, 300) and "2 tokens of 1,300</b> are" in view.reach_html(
        2, 1300
    )
