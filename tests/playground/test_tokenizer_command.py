"""`tokenize` and `tokenizer ACTION`: one JSON document that agrees with the functions, or one sentence."""

import csv
import io
import json
import sys

import pytest
from tokenizers import Tokenizer

from core.tokenizer import HubTokenizer, load_tokenizer, train_bpe
from core.tokenizer.inspect import compare, count, merge_steps, stages, vocabulary
from playground import cli

TEXTS = ["The quick brown fox jumps over the lazy dog.", "吾輩は猫である。", "It's the THEATRE, isn't it?"]


@pytest.fixture
def call(capsys, monkeypatch, tmp_path):
    """call(*arguments, stdin=text) -> exit code, stdout, stderr. Own runs and tokenizers are in the test's folder."""
    monkeypatch.setenv("RUNS_DIR", str(tmp_path / "runs"))

    def run(*arguments, stdin=None):
        if stdin is not None:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()), encoding="utf-8"))
        code = cli.main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def answer(call):
    def run(*arguments, stdin=None):
        code, out, err = call(*arguments, "--json", stdin=stdin)
        assert code == 0, err
        return json.loads(out)

    return run


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two tokenizers as files."""
    folder = tmp_path_factory.mktemp("tokenizers")
    train_bpe(TEXTS * 5, 330).save(folder / "small.json")
    train_bpe(TEXTS * 5, 300, pattern="gpt4").save(folder / "other.json")
    (folder / "lines.txt").write_text("Hello world\n猫である\n\nПривет\n", encoding="utf-8")
    (folder / "table.csv").write_text("lang,text\nen,Hello there\nja,猫である\nen,the end\n", encoding="utf-8")
    return folder


def one_sentence(code, out, err):
    assert code == 1 and out == "" and err.count("\n") == 1 and "Traceback" not in err, (out, err)
    return err


# ------------------------------------------------------------------------------------------------------- tokenize


def test_tokenize_tells_all_that_is_known_of_a_token(answer, files):
    tokenizer = load_tokenizer(files / "small.json")
    for text in ("The 猫 <s>", "\r\n\t\x00", "<script>alert(1)</script>"):
        for flag in ([], ["--parse-special"]):
            [result] = answer("tokenize", "--tokenizer", files / "small.json", *flag, text)["results"]
            encoding = tokenizer.encode(text, parse_special=bool(flag))
            assert result["ids"] == encoding.ids and result["special"] == encoding.special_mask
            assert [tuple(span) for span in result["char_spans"]] == encoding.char_spans
            assert [tuple(span) for span in result["byte_spans"]] == encoding.byte_spans
            assert bytes.fromhex("".join(result["hex"])) == text.encode()
            counted = count(encoding, text)
            assert result["counts"]["tokens"] == len(encoding) and result["counts"]["words"] == counted.words
            assert result["counts"]["graphemes"] == counted.graphemes


def test_tokenize_shows_the_stages(answer, call, files):
    tokenizer = load_tokenizer(files / "small.json")
    [result] = answer("tokenize", "--tokenizer", files / "small.json", "--stages", "The 猫")["results"]
    seen = stages(tokenizer, "The 猫")
    assert result["stages"]["normalized"] == "The 猫"
    assert [chunk for chunk, _ in result["stages"]["pre_tokens"]] == [chunk for chunk, _ in seen.pre_tokens]
    assert [token["id"] for token in result["stages"]["post_processed"]] == tokenizer.encode("The 猫").ids
    out = call("tokenize", "--tokenizer", files / "small.json", "--stages", "The 猫")[1]
    assert "pre-tokeniser: GPT-2's pattern, then bytes" in out


def test_tokenize_writes_a_table(call, files, tmp_path):
    code, _, err = call("tokenize", "--tokenizer", files / "small.json", "--csv", tmp_path / "t.csv", 'a,"b"\n猫')
    assert code == 0 and "t.csv" in err
    with open(tmp_path / "t.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert bytes.fromhex("".join(row["bytes"] for row in rows)) == 'a,"b"\n猫'.encode()
    two = call("tokenize", "--tokenizer", files / "small.json", "--csv", tmp_path / "t.csv", "a", "b")
    assert "of one text" in one_sentence(*two)
    missing = call("tokenize", "--tokenizer", files / "small.json", "--csv", tmp_path / "no" / "t.csv", "a")
    assert "t.csv" in one_sentence(*missing)


def test_white_space_and_empty_lines_are_texts(answer, call, files):
    [result] = answer("tokenize", "--tokenizer", files / "small.json", " \t ")["results"]
    assert bytes.fromhex("".join(result["hex"])) == b" \t "
    results = answer("tokenize", "--tokenizer", files / "small.json", stdin="a\n\n  \nb\n")["results"]
    assert [result["text"] for result in results] == ["a", "", "  ", "b"] and results[1]["ids"] == []
    assert len(answer("tokenizer", "compare", "--with", files / "small.json", stdin="a\n\nb")["results"]) == 3
    for nothing in ("", "\n", "\n\n"):
        one_sentence(*call("tokenize", "--tokenizer", files / "small.json", stdin=nothing))
    one_sentence(*call("tokenize", "--tokenizer", files / "small.json", ""))


def test_people_are_told_which_tokens_are_special(call, files):
    out = call("tokenize", "--tokenizer", files / "small.json", "--parse-special", "a<s>")[1]
    assert out.splitlines()[-1].endswith("<s>  (special)")


# --------------------------------------------------------------------------------------------------------- merges


def test_merges_of_each_word(answer, call, files):
    tokenizer = load_tokenizer(files / "small.json")
    found = answer("tokenizer", "merges", "--tokenizer", files / "small.json", "The fox")
    assert found["rank"] == "place in the list of merges" and [w["word"] for w in found["words"]] == ["The", " fox"]
    for word in found["words"]:
        steps = merge_steps(tokenizer, word["word"])
        assert [(step["rank"], step["position"], step["id"]) for step in word["steps"]] == [
            (step.rank, step.position, step.id) for step in steps
        ]
        assert [token["id"] for token in word["tokens"]] == tokenizer.encode(word["word"]).ids

        def leaves(node):
            return "".join(map(leaves, node["children"])) if node["children"] else node["bytes"]

        assert bytes.fromhex("".join(map(leaves, word["tree"]))) == word["word"].encode()
    assert "→" in call("tokenizer", "merges", "--tokenizer", files / "small.json", "The")[1]
    assert "at most 1000 bytes" in one_sentence(
        *call("tokenizer", "merges", "--tokenizer", files / "small.json", "a" * 2000)
    )
    assert "no word" in one_sentence(*call("tokenizer", "merges", "--tokenizer", files / "small.json", ""))


# -------------------------------------------------------------------------------------------------------- compare


def test_compare_texts(answer, call, files):
    names = [str(files / "small.json"), str(files / "other.json"), "shakespeare-gpt"]
    withs = [word for name in names for word in ("--with", name)]
    found = answer("tokenizer", "compare", *withs, "It's 猫", "the")
    assert found["tokenizers"] == names
    for text, result in zip(["It's 猫", "the"], found["results"], strict=True):
        expected = compare(text, {name: load_tokenizer(name) for name in names})
        assert result["agreed"] == expected.agreed
        assert [tuple(span) for span in result["differing"]] == expected.differing
        for lane, known in zip(result["lanes"], expected.lanes, strict=True):
            assert lane["ids"] == known.encoding.ids and lane["boundaries"] == known.boundaries
            assert lane["tokens"] and lane["graphemes"] == known.counts.graphemes
    assert "a token" in call("tokenizer", "compare", *withs, "It's")[1]
    assert answer("tokenizer", "compare", *withs, stdin="one\ntwo\n")["results"][1]["text"] == "two"


def test_compare_a_file_by_script_line_or_column(answer, call, files):
    withs = ["--with", files / "small.json", "--with", files / "other.json"]
    by_script = answer("tokenizer", "compare", *withs, "--input", files / "lines.txt", "--by", "script")["groups"]
    assert {"Latin", "Cyrillic"} <= {group["group"] for group in by_script}
    by_column = answer("tokenizer", "compare", *withs, "--input", files / "table.csv", "--by", "lang")["groups"]
    assert [(group["group"], group["lines"]) for group in by_column] == [("en", 2), ("ja", 1)]
    tokenizer = load_tokenizer(files / "small.json")
    tokens = sum(len(tokenizer.encode(text).ids) for text in ("Hello there", "the end"))
    assert by_column[0]["tokenizers"][str(files / "small.json")]["tokens"] == tokens
    whole = answer("tokenizer", "compare", *withs, "--input", files / "lines.txt")["groups"]
    assert len(whole) == 1
    assert "column" in one_sentence(*call("tokenizer", "compare", *withs, "--input", files / "lines.txt", "--by", "x"))
    one_sentence(*call("tokenizer", "compare", *withs, "--input", files / "table.csv", "--by", "nope"))
    one_sentence(*call("tokenizer", "compare", *withs, "--input", files / "none.txt"))
    assert "one or the other" in one_sentence(
        *call("tokenizer", "compare", *withs, "--input", files / "lines.txt", "text")
    )
    assert "twice" in one_sentence(*call("tokenizer", "compare", *withs, *withs, "a"))
    many = [word for i in range(7) for word in ("--with", ["shakespeare-gpt", "./" * i + "none"][i > 0])]
    one_sentence(*call("tokenizer", "compare", *many, "a"))


# ---------------------------------------------------------------------------------------------------------- vocab


def test_vocabulary(answer, call, files):
    which = ["--tokenizer", files / "small.json"]
    words = vocabulary(load_tokenizer(files / "small.json"))
    for flags, expected in [
        (["--search", "the"], words.search("the")),
        (["--regex", "^ [a-z]+$"], words.search("^ [a-z]+$", "regex")),
        (["--id", "7-9"], words.search("7-9", "id")),
        (["--bytes", "e7 8c"], words.search("e78c", "bytes")),
        (["--longest", 3], words.search(order="longest", limit=3)),
        (["--only", "unreachable", "--limit", 5], words.search(only="unreachable", limit=5)),
        (["--only", "special"], words.search(only="special")),
        (["--search", "e", "--offset", 2, "--limit", 2], words.search("e", offset=2, limit=2)),
    ]:
        found = answer("tokenizer", "vocab", *which, *flags)
        assert found["size"] == words.size and found["total"] == expected.total
        assert [token["id"] for token in found["tokens"]] == [entry.id for entry in expected.entries]
        assert [token["bytes"] for token in found["tokens"]] == [entry.bytes.hex() for entry in expected.entries]
        assert [token["why_not"] for token in found["tokens"]] == [entry.why_not for entry in expected.entries]
    histograms = answer("tokenizer", "vocab", *which, "--histograms")["histograms"]
    assert [tuple(row) for row in histograms["bytes"]] == words.length_histogram()
    assert [tuple(row) for row in histograms["scripts"]] == words.script_histogram()
    assert "Latin" in call("tokenizer", "vocab", *which, "--histograms")[1]
    assert "valid regular expression" in one_sentence(*call("tokenizer", "vocab", *which, "--regex", "("))
    assert "in hex" in one_sentence(*call("tokenizer", "vocab", *which, "--bytes", "x"))
    one_sentence(*call("tokenizer", "vocab", *which, "--limit", "-1"))
    assert call("tokenizer", "vocab", *which, "--search", "a", "--id", "1")[0] == 2


# ------------------------------------------------------------------------------------------------- one's own


def test_train_keep_use_and_delete(answer, call, files, tmp_path, monkeypatch):
    made = answer("tokenizer", "train", files / "table.csv", "--column", "text", "--name", "mine", "--vocab-size", 265)
    assert made["name"] == "mine" and made["vocab_size"] == 265 and len(made["merges"]) == 265 - 259
    listed = {each["name"]: each["from"] for each in answer("tokenizer", "list")["tokenizers"]}
    assert listed["mine"] == "own" and listed["demo-gpt"] == "bundled run"
    ids = answer("tokenize", "--tokenizer", "mine", "Hello")["results"][0]["ids"]
    assert ids == load_tokenizer("mine").encode("Hello").ids
    monkeypatch.setenv("RUNS_DIR", str(tmp_path / "else"))
    assert "no tokenizer 'mine'" in one_sentence(*call("tokenize", "--tokenizer", "mine", "Hello"))
    there = answer("tokenize", "--tokenizer", "mine", "Hello", "--runs-dir", tmp_path / "runs")
    assert there["results"][0]["ids"] == ids
    monkeypatch.setenv("RUNS_DIR", str(tmp_path / "runs"))
    assert "already" in one_sentence(*call("tokenizer", "train", files / "lines.txt", "--name", "mine", "--json"))
    assert answer("tokenizer", "delete", "mine")["deleted"]
    one_sentence(*call("tokenizer", "delete", "mine"))


@pytest.mark.parametrize("kind", ["wordpiece", "unigram", "char"])
def test_train_other_kinds_to_a_file(answer, call, tmp_path, kind):
    text = "\n".join(TEXTS * 20)
    output = tmp_path / "made.json"
    made = answer("tokenizer", "train", "--kind", kind, "--vocab-size", 400, "--output", output, stdin=text)
    assert made["path"] == str(output) and made["kind"] == kind
    assert Tokenizer.from_file(str(output)).get_vocab_size() == made["vocab_size"]
    assert load_tokenizer(output).encode("the fox").ids


def test_training_that_cannot_be_is_a_sentence(call, files, tmp_path, monkeypatch):
    out = ["--output", tmp_path / "x.json", "--json"]  # nothing is told of the way there
    assert "--name" in one_sentence(*call("tokenizer", "train", files / "lines.txt"))
    one_sentence(*call("tokenizer", "train", files / "lines.txt", *out, "--vocab-size", 10))
    one_sentence(*call("tokenizer", "train", files / "lines.txt", *out, "--pattern", "("))
    one_sentence(*call("tokenizer", "train", tmp_path / "none.txt", *out))
    one_sentence(*call("tokenizer", "train", files / "lines.txt", "--name", "../x", "--json"))
    one_sentence(*call("tokenizer", "train", *out, stdin=""))
    assert not list(tmp_path.glob("*.json"))
    code, text, err = call("tokenizer", "train", files / "lines.txt", *out[:2], "--special", "<x>", "--vocab-size", 260)
    assert code == 0 and "260 tokens" in text and "Reading lines.txt" in err
    assert load_tokenizer(tmp_path / "x.json").special_tokens == {"<x>": 0}
    monkeypatch.setattr("core.tokenizer.train_process.TokenizerTraining", None)  # this is known before it begins
    assert "cannot be written" in one_sentence(
        *call(
            "tokenizer", "train", files / "lines.txt", "--vocab-size", 260, "--json", "--output", tmp_path / "no" / "x"
        )
    )


def test_train_on_standard_input_as_it_is(answer, tmp_path):
    """Paragraphs with empty lines between them, and their line ends, are learned from."""
    made = answer(
        "tokenizer", "train", "--output", tmp_path / "t.json", "--vocab-size", 270, stdin="ab\r\n\r\nab\n" * 9
    )
    assert {bytes.fromhex(merge["left"] + merge["right"]) for merge in made["merges"]} >= {b"ab", b"\r\n\r"}


def test_add_a_file(answer, call, files, tmp_path):
    about = answer("tokenizer", "add", "given", files / "small.json")
    assert about["name"] == "given" and about["vocab_size"] == load_tokenizer(files / "small.json").vocab_size
    assert answer("tokenize", "--tokenizer", "given", "fox")["results"][0]["ids"]
    (tmp_path / "broken.json").write_text("{}")
    one_sentence(*call("tokenizer", "add", "broken", tmp_path / "broken.json"))


def test_chats(answer, call, files, tmp_path, monkeypatch):
    which = ["--tokenizer", files / "small.json"]
    found = answer("tokenizer", "chat", *which, "--template", "ChatML", "--prompt", "system: Be brief.\nuser: Hello!")
    assert found["text"] == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHello!<|im_end|>\n<|im_start|>assistant\n"
    )
    assert found["ids"] == load_tokenizer(files / "small.json").encode(found["text"], parse_special=True).ids
    own = tmp_path / "own.jinja"
    own.write_text("{% for m in messages %}<s>{{ m['content'] }}{% endfor %}")
    found = answer("tokenizer", "chat", *which, "--template", own, stdin="user: a\n\nassistant: b\n")
    assert found["text"] == "<s>a<s>b" and found["special"].count(True) == 2
    assert "special" in call("tokenizer", "chat", *which, "--template", own, "user: a")[1]
    assert "no chat template" in one_sentence(*call("tokenizer", "chat", *which, "user: a"))
    assert "no chat format" in one_sentence(*call("tokenizer", "chat", *which, "--template", "Nope", "user: a"))
    beside = tmp_path / "runs" / "talker"
    beside.mkdir(parents=True)
    load_tokenizer(files / "small.json").save(beside)
    (beside / "chat_template.jinja").write_text("{{ bos_token }}{{ messages[0]['content'] }}")
    (beside / "tokenizer_config.json").write_text('{"bos_token": "<s>"}')
    assert answer("tokenizer", "chat", "--tokenizer", "talker", "user: a")["text"] == "<s>a"
    monkeypatch.setenv("RUNS_DIR", str(tmp_path / "else"))
    assert answer("tokenizer", "chat", "--tokenizer", "talker", "--runs-dir", tmp_path / "runs", "a")["text"] == "<s>a"
    own.write_text("{{ oops( }}")
    one_sentence(*call("tokenizer", "chat", *which, "--template", own, "user: a"))


# ------------------------------------------------------------------------------------------------------ in general


@pytest.mark.parametrize("action", ["merges", "compare", "vocab", "train", "chat", "list", "add", "delete"])
def test_every_action_has_help(call, action):
    code, out, _ = call("tokenizer", action, "--help")
    assert code == 0 and "--json" in out and "--runs-dir" in out
    assert action in call("tokenizer", "--help")[1]


def test_options_may_stand_before_the_action(call, files):
    code, out, _ = call("tokenizer", "--json", "merges", "--tokenizer", files / "small.json", "fox")
    assert code == 0 and json.loads(out)["words"][0]["word"] == "fox"


def test_wrong_usage_and_wrong_names(call, files):
    assert call("tokenizer")[0] == call("tokenizer", "nope")[0] == call("tokenizer", "merges", "x")[0] == 2
    for action in (["merges", "x"], ["vocab"], ["chat", "user: a"]):
        assert "no tokenizer 'nope'" in one_sentence(*call("tokenizer", *action, "--tokenizer", "nope"))
        one_sentence(*call("tokenizer", *action, "--run", "nope"))
    unigram = files / "unigram.json"
    from tests.core.tokenizer.kinds import KINDS

    unigram.write_text(KINDS["unigram"]().to_str(), encoding="utf-8")
    assert isinstance(load_tokenizer(unigram), HubTokenizer)
    assert "BPE" in one_sentence(*call("tokenizer", "merges", "x", "--tokenizer", unigram))


def test_the_words_of_the_command_line_are_those_of_the_functions():
    from core.tokenizer.inspect.vocabulary import KINDS as TOKEN_KINDS
    from playground.cli_tokenizer import KINDS as WORDS

    assert WORDS == ("all", *TOKEN_KINDS, "unreachable")


def test_bytes_that_are_no_text(call, files):
    """What the shell hands on as bytes that are no UTF-8 becomes U+FFFD, as everywhere."""
    for command in (["tokenize", "--stages"], ["tokenizer", "merges"]):
        code, out, _ = call(*command, "--tokenizer", files / "small.json", "--json", "a\udcff")
        assert code == 0 and json.loads(out)
    code, out, _ = call("tokenizer", "compare", "--with", files / "small.json", "--json", "a\udcff")
    assert code == 0 and json.loads(out)["results"][0]["text"] == "a\ufffd"
