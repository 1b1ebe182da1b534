"""The Compare part: which tokenizers are compared, what is shown of them, and a whole file counted in a process."""

import json
import time

import pytest

from core.errors import RunError, UserError
from core.tokenizer import load_tokenizer
from playground import tokenizers
from playground.file_counts import LINE, SCRIPT, FileCounting, Question
from playground.site import OWN, PUBLIC, STUDIO, on
from playground.tabs.tokenizer import compare, compare_file
from playground.tabs.tokenizer.lanes import lane_keys
from playground.tokenizers import Work

RUNS = ["tiny-gpt", "tiny-llama", "tiny-transformer"]


def work(text: str = "The function", model: str | None = "tiny-gpt", key: str = "") -> Work:
    return Work(key, model, text, False)


class Page:
    session_hash = "one"


def test_the_tabs_tokenizer_comes_first_and_each_is_there_once(runs):
    assert lane_keys(work(), ["tiny-gpt", "tiny-llama", "", "tiny-llama "]) == {
        "tiny-gpt": "tiny-gpt", "tiny-llama": "tiny-llama",
    }  # fmt: skip
    assert list(lane_keys(work(key="tiny-llama"), ["", None])) == ["tiny-llama", "tiny-gpt", "None"]
    assert list(lane_keys(work(), ["own:tiny-gpt"])) == ["tiny-gpt", "tiny-gpt′"]


def test_on_arrival_runs_are_compared(runs):
    message, counts, ruler = compare.drawn(work(), compare.on_arrival())
    lanes = json.loads(ruler)["lanes"]
    assert lanes[0]["name"] == "tiny-gpt" and {lane["name"] for lane in lanes} == set(RUNS)
    for lane in lanes:
        ids = [lane["types"][token][0] for token in lane["tokens"]]
        assert ids == load_tokenizer(str(runs / lane["name"])).encode("The function").ids
    assert message == "" and counts.count("<tr style") == 3


@pytest.mark.parametrize("text", ["", "\ud800", "<script>alert(1)</script>", "か\u3099" * 50, "a" * 5_000, "\x00\n\t"])
def test_any_text_is_compared(runs, text):
    message, counts, ruler = compare.compare_with(work(text), RUNS)
    assert "notice-error" not in message and "<script" not in message + counts + ruler


def test_what_cannot_be_opened_is_said_and_the_others_are_shown(runs):
    message, _, ruler = compare.drawn(work(), ["no-such", "tiny-llama"])
    assert "no-such" in message and [lane["name"] for lane in json.loads(ruler)["lanes"]] == ["tiny-gpt", "tiny-llama"]
    message, counts, ruler = compare.drawn(work(model=None), [])
    assert "notice-error" in message and counts == ruler == ""
    message, *_ = compare.drawn(work(), [f"no-such-{i}" for i in range(1_000)])
    assert len(message) < 3_000


def test_strangers_open_only_what_is_listed(runs, tmp_path):
    (tmp_path / "tokenizer.json").write_text((runs / "tiny-gpt" / "tokenizer.json").read_text())
    with on(PUBLIC):
        for key in (str(tmp_path), "../x", "hf:org/name", "own:any", "tiktoken:gpt2"):
            message, _, ruler = compare.compare_with(work(), [key])
            assert len(json.loads(ruler)["lanes"]) == 1 and "notice" in message
    _, _, ruler = compare.compare_with(work(), [str(tmp_path)])
    assert len(json.loads(ruler)["lanes"]) == 2


def test_a_long_text_is_cut_and_that_is_said(runs, monkeypatch):
    monkeypatch.setattr(compare, "BYTES", 200)
    message, _, ruler = compare.drawn(work("word " * 100), [])
    assert "first 200 of 500" in message and json.loads(ruler)["text"] == ("word " * 100)[:200]
    message, _, ruler = compare.drawn(work("か" * 100), ["tiny-llama"])  # 100 bytes for each of the two
    assert "first 33 of 100" in message and json.loads(ruler)["text"] == "か" * 33
    assert "counted below" in message
    with on(PUBLIC):
        assert "below" not in compare.drawn(work("word " * 100), [])[0]


def test_a_tokenizer_that_cannot_take_the_text_is_left_out(runs, tmp_path):
    document = {
        "version": "1.0",
        "normalizer": {"type": "Replace", "pattern": {"Regex": "(a+)+$"}, "content": ""},
        "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]},
    }
    (tmp_path / "tokenizer.json").write_text(json.dumps(document))
    message, counts, ruler = compare.drawn(work("a" * 40 + "!"), ["tiny-llama", str(tmp_path)])
    assert f"{tmp_path.name} is left out: This tokenizer cannot cut" in message
    assert len(json.loads(ruler)["lanes"]) == 2 and "tiny-llama" in counts
    message, counts, ruler = compare.drawn(work("a" * 40 + "!", key=str(tmp_path)), [])
    assert "notice-error" in message and counts == ruler == ""


def test_only_six_at_a_time(runs, monkeypatch):
    names = [f"run-{i}" for i in range(9)]
    for name in names:
        (runs / name).exists() or (runs / name).symlink_to(runs / "tiny-gpt")
    try:
        message, _, ruler = compare.drawn(work(), names)
        assert len(json.loads(ruler)["lanes"]) == 6 and "Up to 6" in message
    finally:
        for name in names:
            (runs / name).unlink()


# ------------------------------------------------------------------------------------------------------------ a file


@pytest.fixture
def table(tmp_path):
    rows = [("en", "the function returns"), ("ja", "コーヒーを一杯"), ("en", "a class, a name"), ("", "кот")]
    path = tmp_path / "texts.csv"
    path.write_text("lang,text\n" + "".join(f'{lang},"{text}"\n' for lang, text in rows), encoding="utf-8")
    return path, rows


def counted(question: Question):
    with FileCounting(question) as counting:
        return list(counting.states())[-1]


def test_a_files_counts_are_the_tokenizers_own(runs, table):
    path, rows = table
    known = counted(Question(str(path), {"gpt": "tiny-gpt", "llama": "tiny-llama"}, "text", "column:lang"))
    assert known.state == "done" and (known.done, known.lines) == (4, 4)
    assert list(known.groups) == ["en", "ja", "(empty)"]
    gpt, llama = (load_tokenizer(str(runs / name)) for name in ("tiny-gpt", "tiny-llama"))
    for lang, group in known.groups.items():
        texts = [text for name, text in rows if (name or "(empty)") == lang]
        assert group.lines == len(texts) and group.characters == sum(map(len, texts))
        assert group.bytes == sum(len(text.encode()) for text in texts)
        assert group.words == sum(len(text.split()) for text in texts)
        assert group.tokens == [sum(len(t.encode(text)) for text in texts) for t in (gpt, llama)]
    whole = counted(Question(str(path), {"gpt": "tiny-gpt"}))  # the column that holds most text is found
    assert whole.total.tokens == [sum(len(gpt.encode(text)) for _, text in rows)]
    assert list(counted(Question(str(path), {"gpt": "tiny-gpt"}, "text", SCRIPT)).groups) == [
        "Latin", "Han and kana", "Cyrillic",
    ]  # fmt: skip


def test_lines_are_counted_one_by_one(runs, tmp_path):
    path = tmp_path / "lines.txt"
    path.write_text("one line\n\nthree ⏎\n", encoding="utf-8")
    known = counted(Question(str(path), {"gpt": "tiny-gpt"}, "", LINE))
    gpt = load_tokenizer(str(runs / "tiny-gpt"))
    assert {name: group.tokens for name, group in known.groups.items()} == {
        str(n): [len(gpt.encode(text))] for n, text in enumerate(["one line", "", "three ⏎"], 1)
    }


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.txt", b"\xff\x00", "not a text file"), ("a.csv", b"a,b\n1\n", "1 fields"), ("a.txt", b"", "is empty"),
        ("a.jsonl", b"{", "not valid JSON"), ("a.exe", b"x", "of a kind that is not known"),
        ("a.parquet", b"PAR1", "not a valid"),
    ],
)  # fmt: skip
def test_what_is_no_text_is_one_sentence(runs, tmp_path, name, content, told):
    path = tmp_path / name
    path.write_bytes(content)
    known = counted(Question(str(path), {"gpt": "tiny-gpt"}))
    assert known.state == "failed" and told in known.doing and "Traceback" not in known.doing


def test_the_process_holds_the_sites_rules(runs, tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("text")
    key = str(runs / "tiny-gpt" / "tokenizer.json")
    assert counted(Question(str(path), {"file": key})).state == "done"
    with on(STUDIO):
        known = counted(Question(str(path), {"file": key}))
    assert known.state == "failed" and "list" in known.doing


def test_a_column_that_is_not_there_is_said(runs, table):
    path, _ = table
    for question in (
        Question(str(path), {"gpt": "tiny-gpt"}, "nope"),
        Question(str(path), {"gpt": "tiny-gpt"}, "text", "column:no"),
    ):
        known = counted(question)
        assert known.state == "failed" and "no column" in known.doing


def test_stopped_in_the_middle_what_was_counted_stays(runs, tmp_path):
    path = tmp_path / "long.txt"
    path.write_text("the function returns a name\n" * 400_000)
    began = time.monotonic()
    with FileCounting(Question(str(path), {"gpt": "tiny-gpt", "llama": "tiny-llama"})) as counting:
        for known in counting.states():
            if known.done and known.state == "running":
                counting.stop()
    assert known.state == "stopped" and 0 < known.done < known.lines == 400_000
    assert known.total.lines == known.done and known.total.tokens[0] > 0
    assert time.monotonic() - began < 60


def test_the_time_limit_holds(runs, tmp_path):
    path = tmp_path / "long.txt"
    path.write_text("the function returns a name\n" * 400_000)
    with FileCounting(Question(str(path), {"gpt": "tiny-gpt"}), limit=0.5) as counting:
        known = list(counting.states())[-1]
    assert known.state == "stopped" and "0 seconds" in known.doing and counting.process.wait(10) is not None


def test_the_page_takes_a_file_shows_it_and_offers_the_counts(runs, table):
    path, rows = table
    *_, (message, column, group) = compare_file.look_at_columns(str(path), Page())
    assert "4 lines" in message and column["choices"] == ["text", "lang"] and column["value"] == "text"
    assert ("column lang", "column:lang") in group["choices"]
    *_, last = compare_file.count_file(work(), ["tiny-llama"], str(path), "text", "column:lang", "word", Page())
    message, plot, html, saved, start, stop, known = last
    assert "4 of 4 lines" in message and len(plot["value"].data) == 2 and "ja" in html
    assert start["visible"] and not stop["visible"] and known.total.lines == 4
    with open(saved["value"], encoding="utf-8") as file:
        assert file.readline().strip().endswith("tokens tiny-gpt,tokens tiny-llama")
    figure, table_html = compare_file.draw_counts(known, "byte")
    assert "per byte" in table_html and len(figure.data) == 2


def test_files_that_are_too_large_or_gone_are_said(runs, table):
    path, _ = table
    with on(PUBLIC):
        *_, last = compare_file.count_file(work(), [], str(path), "", SCRIPT, "word", Page())
    assert "takes up to 0 MB" in last[0]
    *_, last = compare_file.count_file(work(), [], None, "", SCRIPT, "word", Page())
    assert "Upload a file first" in last[0]
    *_, last = compare_file.count_file(work(), [], str(path) + "x", "", SCRIPT, "word", Page())
    assert "upload it again" in last[0]
    with pytest.raises(RunError):
        compare_file.check_size(str(path) + "x")


def test_time_that_is_over_on_a_hosted_page_leaves_the_counts(runs, tmp_path):
    path = tmp_path / "long.txt"
    path.write_text("the function returns a name\n" * 400_000)
    stream = compare_file.count_file(work(), [], str(path), "", SCRIPT, "word", Page())
    for shown in stream:
        if shown[2] and isinstance(shown[2], str):  # a table
            break
    last = stream.throw(UserError("Stopped after 90 seconds."))
    assert "Stopped after 90 seconds: " in last[0] and last[-1].total.lines > 0
    with pytest.raises(StopIteration):
        next(stream)


def test_a_public_page_takes_no_file(runs):
    import gradio as gr

    for site, has in ((PUBLIC, False), (STUDIO, True), (OWN, True)):
        with gr.Blocks(), on(site):
            assert (compare.build(site, work()).file is not None) is has


def test_the_labels_of_what_can_be_chosen_follow_the_runs(runs):
    picker, *_ = compare.show(work(), ["tiny-llama"])
    assert [value for _, value in picker["choices"]] == [value for _, value in tokenizers.choices(OWN)]
