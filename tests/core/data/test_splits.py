"""Splits: nothing of the validation part is in the training part, whatever documents, case and spacing are like."""

import json
import math
from collections import Counter

import pytest

from core.config import DataConfig
from core.data import load_corpus
from core.data.corpus import Pair
from core.data.readers import document_values
from core.data.splits import hold_out, key, split_pairs, split_texts
from core.errors import DataError


def jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.mark.parametrize("kind", ["pairs", "text"])
def test_lines_of_a_dialogue_stay_together(kind, tmp_path):
    rows = [
        {"dialogue_id": d, "no": i, "src": f"line {i} of {d}", "tgt": f"t{d} {i}"} for d in range(30) for i in range(6)
    ]
    name = jsonl(tmp_path / "a.jsonl", rows)
    for seed in range(4):
        corpus = load_corpus(DataConfig(name=name, text_column="src", val_fraction=0.2), kind, seed)
        train, val = (
            {(item.src if kind == "pairs" else item).split()[-1] for item in part}
            for part in (corpus.train, corpus.val)
        )
        assert not train & val and len(val) == 6 and len(corpus.val) == 36
        assert corpus.documents == 30


def test_the_same_line_in_two_dialogues_is_not_seen_in_training(tmp_path):
    rows = [
        {"doc_id": f"d{d}", "src": text, "tgt": f"{d}"} for d in range(20) for text in (f"own {d}", "  YES. ", "Yes.")
    ]
    corpus = load_corpus(DataConfig(name=jsonl(tmp_path / "a.jsonl", rows), text_column="src"), "pairs", 1)
    assert not {key(p.src) for p in corpus.train} & {key(p.src) for p in corpus.val}
    assert corpus.dropped == {"in the validation data too": len(corpus.train) * 2}
    corpus = load_corpus(DataConfig(name=jsonl(tmp_path / "a.jsonl", rows), text_column="src"), "text", 1)
    assert not set(map(key, corpus.train)) & set(map(key, corpus.val)) and len(corpus.train) == 19


@pytest.mark.parametrize(
    "column, values, expected",
    [
        ("document", [1, "1", 1.0, 2, "2", None], ["1", "1", "1", "2", "2", ""]),  # mixed types
        ("document", ["a", "a", math.nan, None, "", "b"], ["a", "a", "", "", "", "b"]),  # missing ones
        ("id", [1, 2, 3, 4, 5, 6], [""] * 6),  # the row's number
        ("id", [1, 2, 3, 4, 5, 5], [""] * 6),  # two data sets joined
        ("id", ["x", "x", "y", "y", "z", "z"], ["x", "x", "y", "y", "z", "z"]),
        ("document", ["only"] * 6, [""] * 6),
        ("document", [["a"], ["a"], ["b"], ["b"], ["c"], ["c"]], [""] * 6),  # names nothing
        ("document", [None] * 6, [""] * 6),
        ("other", ["x", "x", "y", "y", "z", "z"], [""] * 6),
    ],
)
def test_what_counts_as_a_document(column, values, expected):
    assert document_values([{column: value} for value in values]) == expected


def test_a_column_that_some_rows_lack():
    rows = [{"document": "a"}, {"document": "a"}, {}, {"document": "b"}]
    assert document_values(rows) == ["a", "a", "", "b"]
    assert document_values([]) == []


def test_pairs_without_a_document_do_not_form_one():
    """Were they one document, validation could be nearly everything."""
    pairs = [Pair(f"s{i}", "t", None, "d" if i < 2 else "e" if i < 4 else "") for i in range(100)]
    for seed in range(20):
        train, val = split_pairs(pairs, 0.05, seed)
        assert len(train) + len(val) == 100 and 1 <= len(val) <= 8


def test_a_huge_document_is_not_held_out():
    for seed in range(20):
        assert hold_out({"huge": 900, "a": 50, "b": 50}, 0.05, seed) in ({"a"}, {"b"})
        assert hold_out({"huge": 900, "a": 5}, 0.5, seed) == {"a"}


def test_near_duplicates_of_texts_do_not_straddle():
    long = "word " * 200
    texts = (
        [f"{long} {i}" for i in range(40)] + [f"  {long.upper()}\n\n{i} " for i in range(40)] + [" " * 500 + "x", "X"]
    )
    for seed in range(5):
        dropped = Counter()
        train, val = split_texts(texts, [""] * len(texts), 0.2, seed, dropped)
        assert not {key(text) for text in train} & {key(text) for text in val} and len(val) == 16
        assert len(train) + dropped["in the validation data too"] == len(texts) - 16 and len(train) > 40


def test_texts_that_are_all_the_same():
    for texts in (["a", "a"], ["a", " A "]):
        with pytest.raises(DataError, match="same"):
            split_texts(texts, ["", ""], 0.5, 0, Counter())


def test_empty_texts_are_counted(tmp_path):
    rows = [{"text": t} for t in ("one", "", " \n", "two", None, "three")]
    corpus = load_corpus(DataConfig(name=jsonl(tmp_path / "a.jsonl", rows)), "text")
    assert corpus.dropped == {"empty": 3} and len(corpus.train + corpus.val) == 3


def test_validation_texts_in_another_case_are_not_trained_on(tmp_path):
    train, val = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    config = DataConfig(
        name=jsonl(train, [{"text": "One  two"}, {"text": "b"}]), val_data=jsonl(val, [{"text": "one TWO"}])
    )
    assert load_corpus(config, "text").train == ["b"]
