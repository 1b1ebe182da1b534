"""Compare: what the ruler is told is what the tokenizers did; tables, chart and CSV of a file hold the counts."""

import csv
import io
import json
import random
import re
from itertools import accumulate

import pytest

from core.tokenizer import train_bpe
from core.tokenizer.char import CharTokenizer
from core.tokenizer.inspect import compare
from playground.file_counts import Counted, Group
from playground.views import compare as view
from playground.views import compare_file

FEW = train_bpe(["hello world, hello there"] * 3, 270)
MANY = train_bpe(["hello world, hello there", "かな", "東京"] * 3, 300)
NASTY = [
    "", "hello world", "a\tb\r\n\n c", "か\u3099が 東京",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467🇯🇵", "\x00\x7f\u202eabc",
    "<script>alert('x')</script> & \"q\"", "Z\u0337\u0327a\u0334", "\ud800 alone", "a" * 500, "\u2028\u2029\ufeff",
]  # fmt: skip


def pieces_of(lane: dict) -> list[bytes]:
    return [bytes.fromhex(lane["types"][token][2]) for token in lane["tokens"]]


def starts_of(steps: list[int]) -> list[tuple[int, int]]:
    starts = accumulate(steps[::2])
    return [(start, start + length) for start, length in zip(starts, steps[1::2])]


@pytest.mark.parametrize("text", NASTY)
def test_the_ruler_is_told_all_tokens_and_where_they_lie(text):
    comparison = compare(text, {"few": FEW, "many": MANY})
    made = view.ruler_data(comparison)
    data = json.loads(made)
    assert "<" not in made  # whatever the text holds, the value is no tag
    assert data["text"] == comparison.text
    for lane, tokenizer in zip(data["lanes"], (FEW, MANY)):
        encoding = tokenizer.encode(text)
        assert b"".join(pieces_of(lane)).decode() == comparison.text
        assert [lane["types"][token][0] for token in lane["tokens"]] == encoding.ids
        assert starts_of(lane["chars"]) == [tuple(span) for span in encoding.char_spans]
        assert starts_of(lane["bytes"]) == [tuple(span) for span in encoding.byte_spans]
    differing = list(zip(data["differing"][::2], data["differing"][1::2]))
    assert differing == sorted(differing) and all(0 <= a < b <= len(comparison.text) for a, b in differing)


def test_random_texts_outside_the_stretches_are_cut_alike():
    draw = random.Random(0)
    for _ in range(60):
        text = "".join(draw.choice("helo wrd,か東🙂\n") for _ in range(draw.randint(1, 60)))
        comparison = compare(text, {"few": FEW, "many": MANY})
        data = json.loads(view.ruler_data(comparison))
        apart = set()
        for a, b in zip(data["differing"][::2], data["differing"][1::2]):
            apart.update(range(a, b))
        ends = [{end for _, end in starts_of(lane["bytes"])} for lane in data["lanes"]]
        byte = 0
        for place, char in enumerate(text):
            size = len(char.encode())
            if place not in apart:
                inner = range(byte + 1, byte + size + 1)
                assert len({frozenset(end & set(inner)) for end in ends}) == 1, (text, place)
            byte += size


def test_cells_say_what_cannot_be_seen_and_how_wide_it_is():
    cells = view.cells("a \n\t\u200bか\u0301\U0001f600")
    assert "a" not in cells
    assert cells[" "] == ("·", "space", 1) and cells["\n"] == ("⏎", "newline", 1)
    assert cells["\u200b"] == ("ZWSP", "zero-width", 2) and cells["か"][2] == cells["\U0001f600"][2] == 2
    assert cells["\u0301"] == ("◌\u0301", "mark", 1)


def test_counts_are_the_lanes_and_the_best_is_marked():
    text = "hello world, hello there 東京"
    comparison = compare(text, {"few <b>": FEW, "many": MANY, "chars": CharTokenizer.train([text])})
    html = view.counts_table(comparison, [FEW.vocab_size, MANY.vocab_size, 20])
    rows = re.findall(r"<tr style.*?</tr>", html)
    assert len(rows) == 3 and "few &lt;b&gt;" in rows[0] and "<b>many" not in html
    for row, lane in zip(rows, comparison.lanes):
        assert f">{lane.counts.tokens:,}</td>" in row
        assert f">{lane.counts.characters / lane.counts.tokens:.2f}</td>" in row
    fewest = min(lane.counts.tokens for lane in comparison.lanes)
    assert [row.count('class="best"') for row in rows] == [
        4 if lane.counts.tokens == fewest else 0 for lane in comparison.lanes
    ]


def test_agreement_is_said_in_numbers():
    assert view.agreement(compare("hello", {"a": FEW})) == ""
    assert view.agreement(compare("hello hello", {"a": FEW, "b": FEW})) == "All cut this text alike."
    comparison = compare("hello 東京", {"a": FEW, "b": MANY})
    said = view.agreement(comparison)
    assert f"{len(comparison.differing)} stretch" in said


def counted(by="script", groups=None, **more) -> Counted:
    groups = groups or {"Latin": Group(3, 100, 100, 20, [40, 50]), "Han": Group(1, 10, 30, 1, [30, 12])}
    return Counted(["one", "two & <i>"], by, "done", "", 4, 4, 0.5, [], groups, **more)


def test_the_table_of_a_file_holds_all_groups_and_marks_the_best():
    html = compare_file.groups_table(counted(), "character")
    assert "two &amp; &lt;i&gt;" in html and "<i>" not in html
    latin, han = (re.search(rf'<th scope="row">{name}</th>.*?</tr>', html)[0] for name in ("Latin", "Han"))
    assert "<td class=best>0.40</td><td>0.50</td>" in latin and "<td>3.00</td><td class=best>1.20</td>" in han
    assert "<td>70</td><td class=best>62</td>" in html  # the whole file
    assert compare_file.groups_table(Counted(["one"]), "word") == ""


def test_lines_are_listed_with_the_dearest_first():
    groups = {str(i): Group(1, 10, 10, 2, [i, i]) for i in range(1, 300)}
    html = compare_file.groups_table(counted("line", groups), "character")
    assert re.findall(r"line (\d+)", html)[:2] == ["299", "298"] and html.count("<tr>") == 3 + compare_file.SHOWN_GROUPS


def test_the_chart_shows_the_numbers_of_the_table():
    figure = compare_file.chart(counted(), "byte")
    assert [list(bar.y) for bar in figure.data] == [[0.4, 1.0], [0.5, 0.4]]
    assert figure.data[1].name == "two &amp; &lt;i>"
    lines = compare_file.chart(counted("line", {str(i): Group(1, i, i, 1, [i, 2]) for i in range(9_000)}), "character")
    assert len(lines.data[0].x) <= compare_file.POINTS and list(lines.data[0].y)[:2] == [0, 5]
    assert compare_file.chart(Counted(["one"]), "byte") is None


def test_csv_has_every_group():
    groups = {'a "quoted", one': Group(1, 2, 3, 4, [5, 6]), **{str(i): Group(tokens=[0, 0]) for i in range(500)}}
    rows = list(csv.reader(io.StringIO(compare_file.as_csv(counted("column:lang", groups)))))
    assert rows[0] == ["lang", "lines", "characters", "bytes", "words", "tokens one", "tokens two & <i>"]
    assert rows[1] == ['a "quoted", one', "1", "2", "3", "4", "5", "6"] and len(rows) == 502


def test_what_is_cut_is_said():
    known = counted()
    known.notes = ["The first 10 lines."]
    assert "4 of 4 lines in 0.5 s. The first 10 lines." in compare_file.progress_line(known)
    known.state, known.doing = "stopped", "It was stopped"
    assert "It was stopped: 4 of 4 lines are counted." in compare_file.progress_line(known)
    known.state, known.doing = "failed", "It <b>broke</b>."
    assert "&lt;b&gt;" in compare_file.progress_line(known)
