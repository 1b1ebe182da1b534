"""Outputs side by side: which lines come first, what is marked as common with the reference, and the tables of it."""

import csv
import io
import json
import random
import re
import time

import pytest

from core.errors import DataError
from core.evaluate.scores import sentence_scores
from core.evaluate.side_by_side import (
    MARKED,
    common_subsequence,
    csv_text,
    difference,
    json_text,
    marked,
    rows,
    side_by_side,
)

SOURCES = ["eins", "zwei", "drei", "vier <b>"]
REFERENCES = ["the cat sat on the mat", "a dog", "it is here today", "yes"]
OUTPUTS = {
    "greedy": ["the cat sat on the mat", "a dog", "it was there", "no, \"maybe\""],
    "beam 5": ["a cat sits", "a dog", "it is here", "yes"],
}  # fmt: skip


def numbers(lines):
    return [line.number for line in lines]


def test_lines_hold_what_was_given_and_the_sentence_scores():
    lines = side_by_side(SOURCES, REFERENCES, OUTPUTS, "en", order="input", metrics=["bleu", "ter"])
    assert numbers(lines) == [1, 2, 3, 4] and [line.source for line in lines] == SOURCES
    for name, outputs in OUTPUTS.items():
        scored = sentence_scores(outputs, REFERENCES, "en", ["chrf", "bleu", "ter"])
        for place, line in enumerate(lines):
            assert line.reference == REFERENCES[place] and line.outputs[name] == outputs[place]
            assert line.scores[name] == {metric: values[place] for metric, values in scored.items()}


def test_orders():
    by_difference = side_by_side(SOURCES, REFERENCES, OUTPUTS, "en")
    apart = [difference(line, "chrf") for line in by_difference]
    assert apart == sorted(apart, reverse=True) and numbers(by_difference)[0] == 1 and numbers(by_difference)[-1] == 2
    assert numbers(side_by_side(SOURCES, REFERENCES, OUTPUTS, "en", order="length")) == [1, 3, 2, 4]
    best = side_by_side(SOURCES, REFERENCES, OUTPUTS, "en", order="best")
    assert best[0].number == 2
    for metric, high_is_good in (("chrf", True), ("ter", False)):
        worst = side_by_side(SOURCES, REFERENCES, OUTPUTS, "en", metric, "worst")
        means = [sum(scores[metric] for scores in line.scores.values()) / 2 for line in worst]
        assert means == sorted(means, reverse=not high_is_good)
    alone = {"greedy": OUTPUTS["greedy"]}
    assert numbers(side_by_side(SOURCES, REFERENCES, alone, "en")) == numbers(
        side_by_side(SOURCES, REFERENCES, alone, "en", order="worst")
    )
    ties = side_by_side(["s"] * 5, ["r"] * 5, {"a": ["r"] * 5, "b": ["x"] * 5}, "en")
    assert numbers(ties) == [1, 2, 3, 4, 5]


def test_a_filter_looks_in_all_texts_whatever_the_case():
    def found(text):
        return sorted(numbers(side_by_side(SOURCES, REFERENCES, OUTPUTS, "en", contains=text)))

    assert found("ZWEI") == [2] and found("TODAY") == [3] and found("maybe") == [4] and found("cat") == [1]
    assert found("  ") == [1, 2, 3, 4] and found("nowhere") == [] and found(".*") == [] and found("<b>") == [4]


def test_scores_that_are_known_are_not_computed_again():
    known = {name: {"chrf": [float(i) for i in range(4)]} for name in OUTPUTS}
    lines = side_by_side(SOURCES, REFERENCES, OUTPUTS, "en", order="best", scores=known, metrics=["exact"])
    assert numbers(lines) == [4, 3, 2, 1] and lines[0].scores["beam 5"] == {"chrf": 3.0, "exact": 100.0}


def test_what_cannot_be_set_side_by_side_is_said():
    for arguments, options, sentence in (
        ((SOURCES, REFERENCES, {}), {}, "no outputs"),
        ((SOURCES[:2], REFERENCES, OUTPUTS), {}, "2 sources but 4 references"),
        ((SOURCES, REFERENCES, {"a": ["x"]}), {}, "1 outputs but 4 references"),
        ((SOURCES, REFERENCES, OUTPUTS), {"order": "random"}, "no order 'random'"),
        ((SOURCES, REFERENCES, OUTPUTS), {"metric": "wer"}, "no metric 'wer'"),
    ):
        with pytest.raises(DataError, match=sentence):
            side_by_side(*arguments, **options)


def test_tables_hold_everything_and_names_cannot_collide():
    outputs = {"source": OUTPUTS["greedy"], "number": ["a,b", "line\nend", '"quoted"', "=1+1"]}
    lines = side_by_side(SOURCES, REFERENCES, outputs, "en", metrics=["bleu"])
    table = rows(lines)
    columns = ["number", "source", "reference"]
    columns += [f"{name} {what}" for name in outputs for what in ("text", "chrf", "bleu")]
    assert list(table[0]) == columns and [row["number"] for row in table] == numbers(lines)
    read = list(csv.DictReader(io.StringIO(csv_text(lines), newline="")))
    formulas = [row | {"number text": "'=1+1"} if row["number text"] == "=1+1" else row for row in table]
    assert [{key: str(value) for key, value in row.items()} for row in formulas] == read != table
    assert json.loads(json_text(lines))[0] == {
        "number": lines[0].number, "source": lines[0].source, "reference": lines[0].reference,
        "outputs": lines[0].outputs, "scores": lines[0].scores,
    }  # fmt: skip
    assert csv_text([]) == "" and json.loads(json_text([])) == []


# ------------------------------------------------------------------------------------------------------- differences


def longest(first, second):
    """The length of a longest common subsequence by the usual table."""
    table = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for i, one in enumerate(first):
        for j, other in enumerate(second):
            table[i + 1][j + 1] = table[i][j] + 1 if one == other else max(table[i][j + 1], table[i + 1][j])
    return table[-1][-1]


def test_common_subsequences_are_common_and_longest():
    chance = random.Random(3)
    for _ in range(2_000):
        first, second = ("".join(chance.choices("abcd", k=chance.randrange(12))) for _ in range(2))
        found = sorted(common_subsequence(first, second))
        rest = iter(second)
        assert all(first[place] in rest for place in found) and len(found) == longest(first, second)


def test_marks_are_by_words_or_by_characters():
    assert marked("the cat", "the cat", "en") == [("the cat", True)]
    assert marked("The cat, sat!", "the cat sat!", "en") == [
        ("The ", False), ("cat", True), (", ", False), ("sat!", True),
    ]  # fmt: skip
    assert marked("猫が好き", "犬が好き", "ja") == [("猫", False), ("が好き", True)]
    assert marked("", "a") == [] and marked("  ", "a") == [("  ", True)] and marked("a", "") == [("a", False)]


def test_segments_joined_are_the_text():
    chance = random.Random(4)
    letters = ["a", "b", " ", "\n", "\t", "、", "猫", "<b>", "&", "\u0301", "\u2028", "👩‍👧", "\ud800", ""]
    for language in ("en", "ja"):
        for _ in range(300):
            text, reference = ("".join(chance.choices(letters, k=chance.randrange(20))) for _ in range(2))
            segments = marked(text, reference, language)
            assert "".join(segment for segment, _ in segments) == text and all(segment for segment, _ in segments)
            assert all(first[1] != second[1] for first, second in zip(segments, segments[1:]))


def test_long_texts_are_marked_quickly_and_very_long_ones_not_at_all():
    chance = random.Random(5)
    first, second = ("".join(chance.choices("abcdefgh", k=MARKED)) for _ in range(2))
    began = time.monotonic()
    common = sum(len(re.sub(r"\s", "", segment)) for segment, same in marked(first, second, "ja") if same)
    assert common > MARKED / 2 and time.monotonic() - began < 60  # a guard against a table cell by cell
    assert marked(first + "a", second, "ja") == [(first + "a", True)]
