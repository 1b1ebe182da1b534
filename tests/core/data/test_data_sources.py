"""Reading data: every file format, every mistake in a file as one sentence, and splits that never overlap."""

import json
import random
import string
import subprocess
import sys

import pytest

from core.config import DataConfig
from core.data import Pair, load_corpus, readers
from core.data.sources import is_hub_name
from core.errors import DataError, UserError

PAIRS = [(f"sentence {i}", f"文{i}") for i in range(40)]


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def lines(items):
    return "".join(f"{item}\n" for item in items)


def pairs_of(corpus):
    return sorted((pair.src, pair.tgt) for pair in corpus.train + corpus.val)


# ---------------------------------------------------------------------------------------------------- formats


def make_pair_file(kind, folder):
    path = folder / f"data.{kind}"
    if kind == "csv":
        text = "id,src,tgt\r\n" + "".join(f'{i},"{s}",{t}\r\n' for i, (s, t) in enumerate(PAIRS))
    elif kind == "tsv":
        text = "src\ttgt\n" + "".join(f"{s}\t{t}\n" for s, t in PAIRS)
    elif kind == "txt":
        text = "\n\n".join(f"{s}\t{t}" for s, t in PAIRS)
    elif kind == "jsonl":
        text = lines(json.dumps({"src": s, "tgt": t}) for s, t in PAIRS) + "\n"
    elif kind == "json":
        text = json.dumps([{"src": s, "tgt": t} for s, t in PAIRS])
    else:
        import pyarrow
        import pyarrow.parquet

        table = pyarrow.table({"src": [s for s, _ in PAIRS], "tgt": [t for _, t in PAIRS]})
        pyarrow.parquet.write_table(table, path)
        return str(path)
    return write(path, text)


@pytest.mark.parametrize("kind", ["csv", "tsv", "txt", "jsonl", "json", "parquet"])
def test_pairs_of_every_format(kind, tmp_path):
    corpus = load_corpus(DataConfig(name=make_pair_file(kind, tmp_path), val_fraction=0.2), "pairs")
    assert pairs_of(corpus) == sorted(PAIRS)
    assert len(corpus.val) == 8 and corpus.kind == "pairs" and isinstance(corpus.val[0], Pair)
    assert corpus.description == f"data.{kind}: 32 training and 8 validation pairs"


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "json", "parquet"])
def test_documents_of_every_format(kind, tmp_path):
    config = DataConfig(name=make_pair_file(kind, tmp_path), text_column="tgt", val_fraction=0.1)
    corpus = load_corpus(config, "text")
    assert sorted(corpus.train + corpus.val) == sorted(t for _, t in PAIRS) and len(corpus.val) == 4


def test_parallel_files(tmp_path):
    src, tgt = (
        write(tmp_path / "a.en", lines(s for s, _ in PAIRS)),
        write(tmp_path / "a.ja", lines(t for _, t in PAIRS)),
    )
    val = write(tmp_path / "v.en", "new\nsentence 3\n"), write(tmp_path / "v.ja", "新\n文3\n")
    corpus = load_corpus(DataConfig(src=src, tgt=tgt, src_language="en", tgt_language="ja"), "pairs")
    assert pairs_of(corpus) == sorted(PAIRS) and corpus.tgt_language == "ja"
    corpus = load_corpus(DataConfig(src=src, tgt=tgt, val_src=val[0], val_tgt=val[1]), "pairs")
    assert [pair.src for pair in corpus.val] == ["new", "sentence 3"]
    assert len(corpus.train) == 39 and "sentence 3" not in [pair.src for pair in corpus.train]
    assert corpus.dropped == {"in the validation data too": 1}


def test_lines_are_cut_at_line_feeds_only(tmp_path):
    src = write(tmp_path / "a", "one\u2028still one\x0b\ntwo\x85\nthree\n".encode())
    tgt = write(tmp_path / "b", "一\n二\n三")
    corpus = load_corpus(DataConfig(src=src, tgt=tgt, val_fraction=0.3), "pairs")
    assert ("one\u2028still one", "一") in pairs_of(corpus) and len(pairs_of(corpus)) == 3


def test_pretokenized_parallel_files_get_the_forms_people_type(tmp_path):
    words = [f"i 'd like {i} cups of coffee ." for i in range(300)]
    src = write(tmp_path / "a.en", lines(words))
    tgt = write(tmp_path / "a.ja", lines(f"コーヒー を {i} 杯 。" for i in range(300)))
    config = DataConfig(src=src, tgt=tgt, pretokenized=True, src_language="en", tgt_language="ja", val_fraction=0.1)
    corpus = load_corpus(config, "pairs")
    assert all(pair.src.startswith("I'd like") and pair.src.endswith("coffee.") for pair in corpus.val)
    assert all(" " not in pair.tgt for pair in corpus.train + corpus.val)
    sources = [pair.src for pair in corpus.train]
    typed = [s for s in sources if s.startswith("I'd") and s.endswith(".")]
    split = [s for s in sources if s.startswith("i 'd")]
    hasty = len(sources) - len(typed) - len(split)
    assert len(typed) == len(split) == 270 and 60 < hasty < 120
    assert corpus.train == load_corpus(config, "pairs").train
    held = {pair.tgt for pair in corpus.val}
    assert not held & {pair.tgt for pair in corpus.train}


def test_pretokenized_japanese_to_english(tmp_path):
    src, tgt = write(tmp_path / "a", "私 は 一 。\n私 は 二 。\n"), write(tmp_path / "b", "i 'm one .\ni 'm two .\n")
    corpus = load_corpus(DataConfig(src=src, tgt=tgt, pretokenized=True), "pairs")
    assert pairs_of(corpus) == [("私は一。", "I'm one."), ("私は二。", "I'm two.")]


def test_one_text_is_cut_as_nanogpt_cuts_it(tmp_path):
    text = "".join(random.Random(0).choices(string.ascii_letters + " \n", k=1003))
    corpus = load_corpus(DataConfig(name=write(tmp_path / "input.txt", text), val_fraction=0.1), "text")
    assert corpus.train == [text[: int(1003 * 0.9)]] and corpus.val == [text[int(1003 * 0.9) :]]


def test_validation_file(tmp_path):
    train, val = write(tmp_path / "a.txt", "to train on\n"), write(tmp_path / "v.txt", "to validate on\n")
    corpus = load_corpus(DataConfig(name=train, val_data=val), "text")
    assert (corpus.train, corpus.val) == (["to train on\n"], ["to validate on\n"])
    with pytest.raises(DataError, match="in the validation data too"):
        load_corpus(DataConfig(name=train, val_data=train), "text")


def test_nested_dialogues_keep_documents_together(tmp_path):
    dialogues = [
        {
            "id": f"d{d}",
            "title": "t",
            "conversation": [{"no": i, "en": f"line {d} {i}", "ja": f"行{d}-{i}"} for i in range(5)],
        }
        for d in range(20)
    ]
    config = DataConfig(
        name=write(tmp_path / "d.json", json.dumps(dialogues)), src_column="en", tgt_column="ja", val_fraction=0.2
    )
    corpus = load_corpus(config, "pairs")
    train, val = ({pair.document for pair in part} for part in (corpus.train, corpus.val))
    assert len(val) == 4 and not train & val and len(corpus.val) == 20
    flat = [{**{"id": d["id"]}, **line} for d in dialogues for line in d["conversation"]]
    again = load_corpus(
        DataConfig(name=write(tmp_path / "f.jsonl", lines(map(json.dumps, flat))), src_column="en", tgt_column="ja"),
        "pairs",
    )
    assert {pair.document for pair in again.train + again.val} == {f"d{d}" for d in range(20)}


def test_dotted_columns_and_other_json_shapes(tmp_path):
    nested = write(tmp_path / "n.jsonl", lines(json.dumps({"translation": {"en": s, "ja": t}}) for s, t in PAIRS))
    config = DataConfig(name=nested, src_column="translation.en", tgt_column="translation.ja")
    assert pairs_of(load_corpus(config, "pairs")) == sorted(PAIRS)
    columns = {"src": [s for s, _ in PAIRS], "tgt": [t for _, t in PAIRS]}
    assert pairs_of(load_corpus(DataConfig(name=write(tmp_path / "c.json", json.dumps(columns))), "pairs"))
    wrapped = {"version": 1, "data": [{"src": s, "tgt": t} for s, t in PAIRS]}
    name = write(tmp_path / "w.json", json.dumps(wrapped))
    assert pairs_of(load_corpus(DataConfig(name=name), "pairs")) == sorted(PAIRS)


def test_csv_with_quotes_and_line_breaks_and_tsv_with_plain_quotes(tmp_path):
    name = write(tmp_path / "a.csv", 'src,tgt\n"a, ""b""\nc",x\nd,y\n')
    assert pairs_of(load_corpus(DataConfig(name=name), "pairs")) == [('a, "b"\nc', "x"), ("d", "y")]
    name = write(tmp_path / "a.tsv", 'src\ttgt\n"Hi," he said.\tx\n5" pipe\ty\n')
    assert pairs_of(load_corpus(DataConfig(name=name), "pairs")) == [('"Hi," he said.', "x"), ('5" pipe', "y")]


def test_encodings_that_are_recognised(tmp_path):
    text = "src\ttgt\na\tあ\r\nb\tい\rc\tう\n"
    for data in (text.encode("utf-8-sig"), text.encode("utf-16")):
        corpus = load_corpus(DataConfig(name=write(tmp_path / "a.tsv", data)), "pairs")
        assert pairs_of(corpus) == [("a", "あ"), ("b", "い"), ("c", "う")]


# ----------------------------------------------------------------------------------------------------- splits


def test_split_is_deterministic_and_moves_with_the_seed(tmp_path):
    config = DataConfig(name=make_pair_file("json", tmp_path), val_fraction=0.25)
    first, again, other = (load_corpus(config, "pairs", seed) for seed in (1, 1, 2))
    assert first == again and first.val != other.val


def test_the_same_source_never_stands_in_train_and_val(tmp_path):
    rows = [{"src": f"  Sentence  {i % 30} " if i % 2 else f"sentence {i % 30}", "tgt": f"{i}"} for i in range(300)]
    rows += [{"src": "sentence 0", "tgt": "0"}, {"src": "", "tgt": "x"}, {"src": "y", "tgt": None}]
    config = DataConfig(name=write(tmp_path / "a.json", json.dumps(rows)), val_fraction=0.2)
    for seed in range(5):
        corpus = load_corpus(config, "pairs", seed)
        train, val = ({" ".join(p.src.lower().split()) for p in part} for part in (corpus.train, corpus.val))
        assert not train & val and 40 <= len(corpus.val) <= 90
        assert corpus.dropped == {"the same pair again": 1, "empty on one side": 2}


def test_equal_documents_never_stand_in_train_and_val(tmp_path):
    name = write(tmp_path / "a.jsonl", lines(json.dumps({"text": f"document {i % 10}"}) for i in range(50)))
    corpus = load_corpus(DataConfig(name=name, val_fraction=0.3), "text")
    assert len(corpus.val) == 3 and len(corpus.train) == 7 and not set(corpus.val) & set(corpus.train)
    assert corpus.dropped == {"the same document again": 40}


def test_max_examples(tmp_path):
    name = make_pair_file("jsonl", tmp_path)
    corpus = load_corpus(DataConfig(name=name, max_examples=10, val_fraction=0.2), "pairs")
    assert len(corpus.train) + len(corpus.val) == 10 and set(pairs_of(corpus)) < set(PAIRS)
    assert len(load_corpus(DataConfig(name=name, text_column="src", max_examples=10), "text").train) < 10


# --------------------------------------------------------------------------------------------------- mistakes


MISTAKES = {
    "empty.txt": (b"", "empty.txt is empty"),
    "blank.csv": (b"\n \n\n", "blank.csv is empty"),
    "nul.txt": (b"x\ty\r\nab\0c", "nul.txt is not a text file"),
    "image.csv": (b"\x89PNG\r\n\x1a\n\0\0", "image.csv is not a text file"),
    "latin.tsv": ("src\ttgt\nok\tgut\ncafé\tx\n".encode("latin-1"), "latin.tsv is not UTF-8 text: line 3"),
    "sjis.csv": ("src,tgt\na,猫です\n".encode("shift-jis"), "sjis.csv is not UTF-8 text: line 2"),
    "columns.csv": (b"english,japanese\na,b\n", "has no column 'src'; its columns are english, japanese"),
    "columns.jsonl": (b'{"translation": {"en": "a", "ja": "b"}}\n', "its columns are translation.en, translation.ja"),
    "ragged.csv": (b"src,tgt\na,b\nc,d,e\n", "Line 3 of ragged.csv has 3 fields"),
    "twice.csv": (b"src,src\na,b\n", "names a column twice"),
    "open.csv": (b'src,tgt\n"a,b\n', "Line 2 of open.csv is not valid"),
    "header.csv": (b"src,tgt\n", "header.csv has no rows"),
    "broken.jsonl": (b'{"src": "a", "tgt": "b"}\n{"src": \n', "Line 2 of broken.jsonl is not valid JSON"),
    "list.jsonl": (b"[1]\n", "Line 1 of list.jsonl must be an object"),
    "broken.json": (b'[{"src": 1},', "broken.json is not valid JSON"),
    "number.json": (b"17", "number.json must be a list of objects"),
    "deep.json": (b"[" * 100_000, "deep.json is not valid JSON"),
    "numbers.json": (b'[{"src": 1, "tgt": 2}]', "holds numbers, not text; see row 1"),
    "later.jsonl": (b'{"src": "a", "tgt": "b"}\n{"src": "c", "tgt": ["d"]}\n', "holds lists, not text; see row 2"),
    "objects.json": (b'[{"src": {"en": "a"}, "tgt": "b"}]', "holds objects, not text (there is src.en)"),
    "blanks.json": (b'[{"src": "", "tgt": " "}]', "no pair with text on both sides"),
    "one.json": (b'[{"src": "a", "tgt": "b"}]', "too little to cut a validation part from"),
    "notab.txt": (b"a\tb\nno tab here\n", "Line 2 of notab.txt has no tab"),
    "broken.parquet": (b"PAR1 but not really", "is not a valid parquet file"),
    "data.xlsx": (b"PK", "data.xlsx is of a kind that is not known here"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_in_pair_files_are_one_sentence(name, tmp_path):
    content, sentence = MISTAKES[name]
    with pytest.raises(DataError) as caught:
        load_corpus(DataConfig(name=write(tmp_path / name, content)), "pairs")
    message = str(caught.value)
    assert sentence in message and "\n" not in message and message.endswith(".") and len(message) < 300


@pytest.mark.parametrize("name", ["empty.txt", "nul.txt"])
def test_mistakes_in_texts(name, tmp_path):
    with pytest.raises(DataError, match=MISTAKES[name][1]):
        load_corpus(DataConfig(name=write(tmp_path / name, MISTAKES[name][0])), "text")


def test_parallel_files_of_unequal_length(tmp_path):
    src, tgt = write(tmp_path / "a.en", "a\nb\nc\n"), write(tmp_path / "a.ja", "あ\n\n")
    with pytest.raises(DataError, match="a.en has 3 lines but a.ja has 2: line 3 of a.en .'c'. has none beside it"):
        load_corpus(DataConfig(src=src, tgt=tgt), "pairs")
    with pytest.raises(DataError, match="a.ja has 2 lines but a.en has 3: line 3 of a.en"):
        readers.parallel_lines(tgt, src)


def test_parallel_files_keep_step_at_odd_characters_and_line_ends(tmp_path):
    lines = ["one\rreturn", "two\u2028separators\x0b\x0c\x85", " three ", "", "\ufefffour"]
    for name, content in {
        "unix": "\n".join(lines) + "\n", "open": "\n".join(lines), "windows": "\r\n".join(lines) + "\r\n",
        "mark": "\ufeff" + "\n".join(lines) + "\n",
    }.items():  # fmt: skip
        assert readers.read_lines(write(tmp_path / name, content)) == lines, name
    assert readers.read_lines(write(tmp_path / "utf16", "\n".join(lines).encode("utf-16"))) == lines
    assert readers.read_lines(write(tmp_path / "old", "one\rtwo\r")) == ["one", "two"]
    src = write(tmp_path / "a.en", "".join(f"{i}\rx{i}\n" for i in range(20)))
    tgt = write(tmp_path / "a.de", "".join(f"{i}-{i}\r\n" for i in range(20)))
    for streaming in (False, True):
        corpus = load_corpus(DataConfig(src=src, tgt=tgt, streaming=streaming), "pairs")
        assert {(p.src.split("\r")[0], p.tgt) for p in corpus.train + corpus.val} == {
            (str(i), f"{i}-{i}") for i in range(20)
        }


def test_files_that_are_not_there(tmp_path):
    for name in ("nowhere.txt", "nowhere.csv", "x" * 5000 + ".txt", "nul\0.txt"):
        with pytest.raises(DataError, match="no file|not a usable file name"):
            load_corpus(DataConfig(name=name), "text")
    with pytest.raises(DataError, match="no file"):
        load_corpus(DataConfig(src=str(tmp_path / "a"), tgt=str(tmp_path / "b")), "pairs")
    with pytest.raises(DataError, match="is not a file"):
        readers.read_text(str(tmp_path))
    with pytest.raises(DataError, match="is not a file"):
        readers.read_text("/dev/zero")


def test_a_text_too_short_to_split(tmp_path):
    with pytest.raises(DataError, match="too short"):
        load_corpus(DataConfig(name=write(tmp_path / "a.txt", "a")), "text")


def test_the_wrong_kind_of_data():
    for name, kind, sentence in [
        ("builtin:enja", "text", "choose builtin:pydocs"),
        ("builtin:none", "pairs", "choose"),
        ("builtin:pydocs", "pairs", "choose builtin:enja"),
        ("builtin:repeats", "pairs", "choose builtin:enja"),
    ]:
        with pytest.raises(DataError, match=sentence):
            load_corpus(DataConfig(name=name), kind)
    with pytest.raises(UserError, match="transformer family"):
        load_corpus(DataConfig(src="a", tgt="b"), "text")


def test_random_bytes_never_crash(tmp_path):
    chance = random.Random(7)
    for i in range(200):
        suffix = chance.choice([".txt", ".csv", ".tsv", ".json", ".jsonl"])
        data = bytes(chance.choices(b'\xff\x00\r\n\t ,"{}[]:ab\xe3\x81\x82', k=chance.randrange(60)))
        name = write(tmp_path / f"{i}{suffix}", data)
        for kind in ("pairs", "text"):
            try:
                load_corpus(DataConfig(name=name, src_column="a", tgt_column="b"), kind)
            except DataError as error:
                assert str(error).strip()


# --------------------------------------------------------------------------------------------------- built in


def test_pydocs():
    corpus = load_corpus(DataConfig(name="builtin:pydocs"), "text")
    assert corpus == load_corpus(DataConfig(name="builtin:pydocs"), "text", seed=5)
    parts = [corpus.train, corpus.val, corpus.test]
    assert len(set().union(*parts)) == sum(map(len, parts))
    characters = [sum(map(len, part)) for part in parts]
    assert characters[0] > 300_000 and all(0.03 < n / sum(characters) < 0.15 for n in characters[1:])
    assert any("import" in text for text in corpus.train)


def test_names_of_the_hub():
    assert is_hub_name("org/name") and is_hub_name("wikitext")
    assert not is_hub_name("data.csv") and not is_hub_name("/tmp") and not is_hub_name("x/y.parquet")


def test_importing_the_data_room_is_light():
    heavy = "('torch', 'datasets', 'pyarrow', 'numpy')"
    code = f"import sys, core.data, core.data.grammar; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_progress_is_told(tmp_path):
    told = []
    load_corpus(DataConfig(name=make_pair_file("csv", tmp_path)), "pairs", progress=lambda *said: told.append(said))
    assert told[0][0] == 0.0 and told[-1][0] == 1.0 and all(isinstance(text, str) and text for _, text in told)
