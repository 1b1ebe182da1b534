"""What is evaluated on, from files of all kinds; what is wrong with one is a sentence that names it and the line."""

import pytest

from core.config import DataConfig
from core.errors import DataError
from core.evaluate import read_data, read_pairs

GOOD = "eins\nzwei\ndrei\n"
MALFORMED = {
    "shorter": (b"one\ntwo\n", "a.src has 3 lines but shorter has 2: line 3 of a.src ('drei') has none beside it"),
    "longer": (b"one\ntwo\nthree\n\n", "a.src has 3 lines but longer has 4: line 4 of longer ('') has none beside it"),
    "empty": (b"", "empty is empty; give a file with text in it"),
    "blank": (b"\n \n\t\n", "blank is empty; give a file with text in it"),
    "binary": (b"one\ntwo\x00\nthree\n", "binary is not a text file (line 2 holds a NUL byte)"),
    "latin": ("one\ntwo\ncaf\xe9\n".encode("latin-1"), "latin is not UTF-8 text: line 3 holds the byte 0xe9"),
    "utf16": (b"\xff\xfea\x00\n\x00b", "utf16 is not a text file"),
}
TABLES = {
    "columns.csv": ("source,target\na,b\n", "columns.csv has no column 'src'; its columns are source, target"),
    "fields.tsv": ("src\ttgt\na\tb\nc\n", "Line 3 of fields.tsv has 1 fields, but the first line names 2 columns"),
    "left-out.jsonl": ('{"src": "a", "tgt": "b"}\n{"src": "c", "ref": "d"}\n', "Row 2 of left-out.jsonl has no column"),
    "number.jsonl": ('{"src": "a", "tgt": "b"}\n{"src": "c", "tgt": 4}\n', "holds numbers, not text; see row 2"),
    "notab.txt": ("a\tb\nc d\n", "Line 2 of notab.txt has no tab"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_parallel_files_are_one_sentence(name, tmp_path):
    (tmp_path / "a.src").write_text(GOOD)
    (tmp_path / name).write_bytes(MALFORMED[name][0])
    with pytest.raises(DataError) as caught:
        read_pairs(str(tmp_path / "a.src"), str(tmp_path / name), DataConfig())
    said = str(caught.value)
    assert MALFORMED[name][1] in said and said.endswith(".") and "\n" not in said and len(said) < 250


@pytest.mark.parametrize("name", TABLES)
def test_malformed_tables_are_one_sentence(name, tmp_path):
    (tmp_path / name).write_text(TABLES[name][0])
    with pytest.raises(DataError) as caught:
        read_data(str(tmp_path / name), DataConfig(), "pairs")
    said = str(caught.value)
    assert TABLES[name][1] in said and said.endswith(".") and "\n" not in said and len(said) < 250


@pytest.mark.parametrize("content", [GOOD, GOOD.rstrip("\n"), GOOD.replace("\n", "\r\n"), "\ufeff" + GOOD])
def test_line_ends_and_byte_order_marks_change_nothing(content, tmp_path):
    (tmp_path / "a.src").write_text(GOOD)
    (tmp_path / "a.ref").write_text(content, newline="", encoding="utf-8")
    pairs = read_pairs(str(tmp_path / "a.src"), str(tmp_path / "a.ref"), DataConfig())
    assert [(pair.src, pair.tgt) for pair in pairs] == [(line, line) for line in GOOD.split()]


def test_values_that_are_empty_stay_and_documents_are_read(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"src": "a", "tgt": null}\n{"src": "", "tgt": "b"}\n{"src": "a", "tgt": "b"}\n')
    pairs = read_data(str(tmp_path / "a.jsonl"), DataConfig(), "pairs")
    assert [pair[:2] for pair in pairs] == [("a", ""), ("", "b"), ("a", "b")]
    (tmp_path / "b.csv").write_text("text,other\nfirst,1\n ,2\nsecond,3\n")
    assert read_data(str(tmp_path / "b.csv"), DataConfig(), "text") == ["first", "second"]


def test_split_words_are_joined_as_the_run_saw_them(tmp_path):
    (tmp_path / "a.src").write_text("it is n't .\n")
    (tmp_path / "a.ref").write_text("それ で は ない 。\n")
    data = DataConfig(pretokenized=True, src_language="en", tgt_language="ja")
    (pair,) = read_pairs(str(tmp_path / "a.src"), str(tmp_path / "a.ref"), data)
    assert pair.tgt == "それではない。" and pair.src == "It isn't."
