"""Words of texts, and the texts to learn from."""

import pytest

from core.analysis.words import read_texts, sentences_of, words_of
from core.errors import ConfigError, DataError
from core.tokenizer import CharTokenizer


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []), ("…!? \x00 <b>", ["b"]), ("snake_case x2", ["snake", "case", "x", "2"]),
        ("ТЕКСТ text 私はcat", ["текст", "text", "私", "は", "c", "a", "t"]),
        ("don’t DON'T 'quoted'", ["don't"] * 2 + ["quoted"]),
        ("\ud800 a", ["a"]), ("İ", ["i"]), ("3.14", ["3", "14"]),
    ],
)  # fmt: skip
def test_words(text, words):
    assert [word.replace("i̇", "i") for word in words_of(text)] == words


def test_sentences_end_with_empty_lines():
    assert list(sentences_of(["a b\nc\n \nd", "", "\n\n"])) == [["a", "b", "c"], ["d"]]
    tokenizer = CharTokenizer.train(["ab "])
    assert list(sentences_of(["a b"], tokenizer)) == [["a", "·", "b"]]


def test_texts_come_from_a_text_a_file_or_built_in_data(tmp_path):
    assert read_texts(text="some words") == (["some words"], "10 typed characters")
    path = tmp_path / "notes.txt"
    path.write_text("words of a file")
    assert read_texts(file=str(path)) == (["words of a file"], "notes.txt")
    assert read_texts(file=str(path), max_bytes=5)[0] == ["words"]
    texts, what = read_texts(data="builtin:enja")
    assert len(texts) == 25_000 and all(text.isascii() for text in texts[:500]) and "English" in what
    assert "statement" in " ".join(read_texts(data="builtin:pydocs")[0])


def test_what_cannot_be_read_is_one_sentence(tmp_path):
    for given in ({}, {"text": "a", "data": "builtin:enja"}):
        with pytest.raises(ConfigError):
            read_texts(**given)
    for given in ({"text": "  "}, {"file": str(tmp_path / "none.txt")}, {"data": "builtin:none"}):
        with pytest.raises(DataError):
            read_texts(**given)
