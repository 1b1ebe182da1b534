"""Overlap equals plain sets and loops; built-in data has none between its parts."""

import random
import re

import pytest

from core.config import DataConfig, RunConfig
from core.data.corpus import Pair
from core.data.sources import load_corpus
from core.errors import DataError
from core.evaluate.overlap import GRAM, MOST_ROWS, grams_of, overlap, overlap_with_training, training_examples
from core.run import Run


def words(count, seed, letters="abc"):
    return " ".join(random.Random(seed).choices(letters, k=count))


def test_pairs_equal_plain_sets():
    chance = random.Random(0)
    training = [Pair(words(2, chance.random()), words(2, chance.random())) for _ in range(30)]
    evaluated = [Pair(words(2, chance.random()).upper(), f"  {words(2, chance.random())}") for _ in range(40)]
    evaluated += [Pair("", ""), Pair("new", "neu"), Pair(training[0].src, training[0].tgt)]

    def plain(pair):
        return " ".join(pair.src.lower().split()), " ".join(pair.tgt.lower().split())

    known = {plain(pair) for pair in training}
    expected = {
        "sources": [n for n, p in enumerate(evaluated, 1) if plain(p)[0] in {s for s, _ in known}],
        "targets": [n for n, p in enumerate(evaluated, 1) if plain(p)[1] in {t for _, t in known}],
        "pairs": [n for n, p in enumerate(evaluated, 1) if plain(p) in known],
    }
    found = overlap(evaluated, [*training, Pair("", ""), *training])
    assert found.numbers == expected and found.pairs < found.sources
    assert (found.sources, found.targets, found.pairs) == tuple(map(len, expected.values()))
    assert found.examples == 43 and found.training == 61 and found.complete
    values = found.to_dict()
    assert values["summary"].startswith(f"Of 43 pairs, {found.sources} sources") and "grams" not in values


def test_texts_equal_plain_loops():
    training = [words(40, seed) for seed in range(20)] + ["short", words(13, 99)]
    evaluated = [
        words(60, 100), f"x {training[3][10:60]} y", training[4].upper().replace(" ", ",  "), "Short\n", "", "new text",
        words(12, 5), f"{training[21]}",
    ]  # fmt: skip

    def plain(text):
        found = re.findall(r"\w+", text.casefold())
        return {tuple(found[i : i + GRAM]) for i in range(len(found) - GRAM + 1)}

    known = set().union(*map(plain, training))
    wanted = set().union(*map(plain, evaluated))
    found = overlap(evaluated, iter(training))
    assert (found.grams, found.grams_of) == (len(wanted & known), len(wanted))
    assert found.numbers["grams"] == [n for n, text in enumerate(evaluated, 1) if plain(text) & known]
    assert found.numbers["documents"] == [4, 8] and found.documents == 2
    assert found.to_dict()["grams"] == found.grams and "different runs of 13 words" in found.summary()


def test_without_spaces_a_character_is_a_word():
    text = "コーヒーを一杯飲みたいと彼女は言った"
    assert sum(map(len, grams_of(text))) == len(text) - GRAM + 1
    found = overlap([text], [f"昨日、{text[:14]}。"])
    assert found.grams == 2 and found.documents == 0


def test_long_texts_are_hashed_in_parts_without_losing_runs(monkeypatch):
    text = words(500, 1, "abcdefghij")
    whole = [int(x) for part in grams_of(text) for x in part]
    for size in (1, 5, 12, 13, 100):
        monkeypatch.setattr("core.evaluate.overlap._WORDS_TOGETHER", size)
        assert [int(x) for part in grams_of(text) for x in part] == whole and len(whole) == 488


def test_bounds(monkeypatch):
    monkeypatch.setattr("core.evaluate.overlap.MOST_GRAMS", 10)
    found = overlap([words(40, 1), words(40, 2)], [words(40, 1)])
    assert found.grams_of <= 10 and not found.complete and "the first 1 document" in found.summary()
    some = overlap([Pair("a", "b")], (Pair(str(i), "b") for i in range(10_000_000)), most=100)
    assert some.training == 100 and not some.complete and some.targets == 1
    with pytest.raises(DataError, match="nothing to look for"):
        overlap([], [])
    told = []
    overlap([Pair("a", "b")], [Pair("c", "d")] * 1200, lambda *said: told.append(said), total=1200)
    assert [share for share, _ in told] == [0, 500 / 1200, 1000 / 1200]
    assert MOST_ROWS > 1_000_000


def described(tmp_path, data, family="transformer"):
    config = RunConfig.from_dict({"model": {"family": family}, "data": data})
    return Run("made", config, None, tmp_path)


@pytest.mark.parametrize("streaming", [False, True])
def test_validation_data_is_not_in_what_is_trained_on_and_the_rest_is(tmp_path, streaming):
    lines = [(f"source {i} is here", f"ziel {i}") for i in range(300)]
    (tmp_path / "a.txt").write_text("".join(f"{s}\t{t}\n" for s, t in lines + lines[:50]))
    data = {"name": str(tmp_path / "a.txt"), "val_fraction": 0.1, "streaming": streaming}
    run = described(tmp_path, data)
    val = load_corpus(run.config.data, "pairs", run.config.seed).val
    found = overlap_with_training(run, val)
    assert val and (found.sources, found.pairs, found.complete) == (0, 0, True)
    other = [Pair(s.upper(), "anders") for s, _ in lines if s not in {pair.src for pair in val}]
    again = overlap_with_training(run, [*other, Pair("unseen", "ungesehen")])
    assert again.sources == len(other) and again.pairs == 0


def test_training_examples_of_a_stream_end_when_they_are_closed(tmp_path):
    (tmp_path / "a.txt").write_text("".join(f"source {i}\tziel {i}\n" for i in range(5_000)))
    config = DataConfig(name=str(tmp_path / "a.txt"), streaming=True)
    examples, total = training_examples(config, "pairs", 0)
    assert isinstance(next(examples), Pair) and total == 0
    examples.close()


@pytest.mark.parametrize(("name", "kind"), [("builtin:enja", "pairs"), ("builtin:pydocs", "text")])
def test_the_parts_of_built_in_data_share_no_example(name, kind):
    corpus = load_corpus(DataConfig(name=name, max_examples=3_000 if kind == "pairs" else 0), kind)
    for part in (corpus.val, corpus.test):
        found = overlap(part, corpus.train)
        assert (found.sources, found.pairs, found.documents) == (0, 0, 0)


def test_what_was_trained_on_may_be_unknown(tmp_path):
    with pytest.raises(DataError, match="is not known"):
        overlap_with_training(described(tmp_path, {"name": ""}), [Pair("a", "b")])
    with pytest.raises(DataError, match="There is no file"):
        overlap_with_training(described(tmp_path, {"src": "/nowhere/a", "tgt": "/nowhere/b"}), [Pair("a", "b")])
