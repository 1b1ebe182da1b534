"""The Train part: a tokenizer is trained, watched, stopped, kept, offered, deleted; on hosted pages nothing is."""

import json
import re
from dataclasses import replace

import gradio as gr
import pytest

from core.errors import UserError
from core.tokenizer import load_tokenizer, split, train_bpe
from core.tokenizer.own import own_path, own_tokenizers
from playground import tokenizers
from playground.site import OWN, PUBLIC, STUDIO, on
from playground.tabs.tokenizer import own, training, training_run
from playground.tokenizers import OWN_MARK, Work

TEXT = "the cat sat on the mat, and the hat sat on the cat. "
SPECIAL = "<pad> <s> </s>"


class Page:
    session_hash = "one"


@pytest.fixture
def runs_dir(monkeypatch, tmp_path):
    """A runs directory with nothing in it."""
    monkeypatch.setenv("RUNS_DIR", str(tmp_path / "runs"))
    return tmp_path / "runs"


def work(text: str = TEXT * 20) -> Work:
    return Work("", None, text, False)


def form(**more):
    values = {
        "source": "text", "file": None, "builtin": "builtin:pydocs", "hub_name": "", "column": "", "kind": "bpe",
        "vocab_size": 270, "pattern": "gpt2", "own_pattern": "", "special": SPECIAL, "min_frequency": 0, "name": "mine",
    } | more  # fmt: skip
    return list(values.values())


def train(**more):
    return list(training_run.start_tokenizer(work(), *form(**more), Page()))


def shown_tokens(html: str) -> list[str]:
    return re.findall(r"</span></td><td><span class=\"formed-piece\"[^>]*>(.*?)</span></td>", html)


def test_ours_is_trained_watched_and_chosen(runs_dir):
    *_, last = train()
    message, merges, how, saved, start, stop, watched, trained, name = last
    made = load_tokenizer(str(own_path("mine")))
    assert made.vocab_size == 270 and made.to_json() == train_bpe([TEXT * 20], 270).to_json()
    assert "270 tokens" in message and "tokenizer.path=mine" in how and watched is True
    assert start["visible"] and not stop["visible"] and trained[0] == "mine" and name == "mine-2"
    assert len(shown_tokens(merges)) == 270 - 259
    assert json.loads(open(saved["value"], encoding="utf-8").read()) == json.loads(made.to_json())
    picker = own.choose_trained(trained, "")
    assert picker["value"] == OWN_MARK + "mine" in [value for _, value in picker["choices"]]
    assert tokenizers.open_tokenizer(picker["value"], None).vocab_size == 270


@pytest.mark.parametrize("kind", ["bpe-fast", "wordpiece", "unigram"])
def test_other_kinds_are_trained_and_shown_on_the_text(runs_dir, kind):
    *_, last = train(kind=kind, vocab_size=400, name=kind)
    assert last[7] != gr.skip() and last[7][0] == kind, last[0]
    made = load_tokenizer(str(own_path(kind)))
    count = len(made.encode((TEXT * 20)[: training_run.SHOWN]))
    assert f"{count:,} tokens" in last[1]
    assert set(SPECIAL.split()) <= set(made.special_tokens)


def test_a_file_and_an_own_pattern(runs_dir, tmp_path):
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps({"lang": "en", "said": TEXT}) + "\n" for _ in range(9)))
    *_, last = train(source="file", file=str(path), column="said", pattern="own", own_pattern=r"\w+|\W+")
    made = load_tokenizer(str(own_path("mine")))
    assert made.to_json() == train_bpe([TEXT] * 9, 270, pattern=r"\w+|\W+").to_json(), last[0]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"name": "../x"}, "cannot be a tokenizer"), ({"name": " "}, "Give the tokenizer a name"),
        ({"vocab_size": 3}, "must have 259"), ({"vocab_size": None}, "how many tokens"),
        ({"vocab_size": 10**9}, "must have"),
        ({"special": "<s> <s>"}, "given twice"),
        ({"special": "a"}, "characters"),
        ({"pattern": "own", "own_pattern": "("}, "not a valid regular expression"), ({"pattern": "x"}, "of the list"),
        ({"pattern": "own", "own_pattern": "^a"}, "cannot carry"), ({"source": "file"}, "Upload a file first"),
        ({"source": "hub"}, "Name a data set"), ({"source": "hub", "hub_name": "/etc/passwd"}, "give it as a file"),
        ({"kind": "<b>"}, "kind"), ({"min_frequency": -1}, "least frequency"),
    ],
)  # fmt: skip
def test_a_form_that_cannot_be_is_one_sentence(runs_dir, more, told):
    *_, last = train(**more)
    assert "notice-error" in last[0] and told in last[0].replace("&#x27;", "'") and "Traceback" not in last[0]
    assert own_tokenizers() == [] and last[4]["visible"] and not last[5]["visible"]


def test_a_pattern_that_never_ends_is_stopped(runs_dir, monkeypatch):
    monkeypatch.setattr(split, "TIME_LIMIT", 0.2)
    html = training.cut_of(work("a" * 60 + "!"), "own", r"(a|a)+b|(a?){40}(a){40}c")
    assert "notice-error" in html and "simplify the pattern" in html


def test_an_empty_text_and_a_taken_name_are_said(runs_dir):
    *_, last = training_run.start_tokenizer(work(""), *form(), Page())
    assert "The text is empty" in last[0]
    train()
    *_, last = train()
    assert "already" in last[0]


def test_stopped_nothing_is_kept(runs_dir, tmp_path):
    path = tmp_path / "long.txt"
    path.write_text("".join(f"word{i * 7919 % 100_003} " for i in range(600_000)))
    stream = training_run.start_tokenizer(work(), *form(source="file", file=str(path), vocab_size=60_000), Page())
    first = next(stream)
    assert "notice-busy" in first[0] and not first[4]["visible"] and first[5]["visible"]
    training_run.stop_tokenizer(Page())
    *_, last = stream
    assert "stopped; nothing was kept" in last[0] and own_tokenizers() == [] and last[4]["visible"]


def test_a_newer_training_of_the_same_page_ends_the_older(runs_dir, tmp_path):
    path = tmp_path / "long.txt"
    path.write_text("".join(f"word{i * 7919 % 100_003} " for i in range(600_000)))
    older = training_run.start_tokenizer(
        work(), *form(source="file", file=str(path), vocab_size=60_000, name="old"), Page()
    )
    next(older)
    *_, last = train(name="new")
    assert "270 tokens" in last[0]
    *_, ended = older
    assert "stopped" in ended[0] and [about.name for about in own_tokenizers()] == ["new"]


def test_a_closed_page_ends_its_training(runs_dir, tmp_path):
    path = tmp_path / "long.txt"
    path.write_text("".join(f"word{i * 7919 % 100_003} " for i in range(600_000)))
    stream = training_run.start_tokenizer(work(), *form(source="file", file=str(path), vocab_size=60_000), Page())
    next(stream)
    process = training_run._running._jobs["one"].process
    stream.close()
    assert process.poll() is not None and training_run._running._jobs == {}


# ------------------------------------------------------------------------------------------------------- in place


def test_the_text_alone_is_shown_until_something_is_trained(runs_dir):
    field, cut, merges, *_ = training.show(work("aaaa bbbb"), "gpt2", "", False)
    assert "2 chunks" in cut and "aa" in "".join(shown_tokens(merges))
    assert not field["visible"] and training.show(work("a"), "own", "a", False)[0]["visible"]
    _, cut, merges, *_ = training.show(work("aaaa bbbb"), "none", "", True)
    assert "1 chunk:" in cut and merges == gr.skip()


@pytest.mark.parametrize("text", ["", "\ud800", "\x00", "<script>", "a" * 100_000, "か" * 3_000])
def test_any_text_is_cut(runs_dir, text):
    for pattern in ("gpt2", "gpt4", "none"):
        _, cut, merges = training.cut_text(work(text), pattern, "", False)
        assert "<script" not in cut + merges and "Traceback" not in cut


def test_kinds_have_the_fields_that_they_take():
    pattern, own_pattern, least = training.choose_kind("wordpiece", "own")
    assert not pattern["visible"] and pattern["value"] == "gpt2" and not own_pattern["visible"] and least["visible"]
    assert (
        training.choose_kind("bpe", "own")[1]["visible"] and not training.choose_kind("unigram", "gpt2")[2]["visible"]
    )
    assert [field["visible"] for field in training.choose_source("hub")] == [False, False, True, True]


# ---------------------------------------------------------------------------------------------------- own tokenizers


def test_a_file_is_added_listed_offered_and_deleted(runs_dir, tmp_path):
    path = tmp_path / "my tok+.json"
    path.write_text(train_bpe([TEXT], 270).to_json())
    message, files, name, trained = own.add_tokenizer_file([str(path)], "")
    assert "270 tokens" in message and files is None and name == "" and trained[0] == "my-tok"
    table, which = own.list_tokenizers(trained)
    assert "my-tok" in table and which["value"] == "my-tok"
    message, saved = own.offer_tokenizer("my-tok")
    assert message == "" and load_tokenizer(saved["value"]).vocab_size == 270
    assert str(runs_dir) not in saved["value"]  # a copy, not where it is kept
    message, ask, question, asked = own.ask_about_tokenizer("my-tok")
    assert ask["visible"] and "my-tok" in question
    assert "again" in own.delete_tokenizer("my-tok", "")[0] and len(own_tokenizers()) == 1
    message, *_, changed = own.delete_tokenizer("my-tok", asked)
    assert "deleted" in message and own_tokenizers() == [] and changed[0] == "" and changed != own.now("")
    assert own.choose_trained(changed, OWN_MARK + "my-tok")["value"] == ""
    assert "value" not in own.choose_trained(changed, "tiktoken:gpt2")


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"model": {"type": "BPE"}}', "\x00", "<script>"])
def test_what_is_no_tokenizer_is_one_sentence(runs_dir, tmp_path, content):
    path = tmp_path / "tokenizer.json"
    path.write_text(content)
    message, *_ = own.add_tokenizer_file([str(path)], "mine")
    assert "notice-error" in message and "<script" not in message and own_tokenizers() == []


@pytest.mark.parametrize("name", ["../../etc", "/etc", "no-such", "", None, "a/b", ".."])
def test_no_name_points_elsewhere(runs_dir, name):
    for message in (
        own.offer_tokenizer(name)[0],
        own.ask_about_tokenizer(name)[0],
        own.delete_tokenizer(name, name or "x")[0],
    ):
        assert "notice-error" in message


# -------------------------------------------------------------------------------------------------------- hosted pages


@pytest.mark.parametrize("site", [PUBLIC, STUDIO, replace(PUBLIC, signin="studio/")])
def test_hosted_pages_train_and_keep_nothing(runs_dir, site, tmp_path):
    with on(site):
        with gr.Blocks():
            part = training.build(site, work())
        assert part.own is None and len(training.show(work(), "gpt2", "", False)) == len(part.views)
        *_, last = train()
        assert "run it yourself" in last[0] and own_tokenizers() == []
        assert "of the list" in training.cut_text(work(), "own", "(a|a)+", False)[1]
        for refused in (
            own.add_tokenizer_file([str(tmp_path)], "x")[0],
            own.offer_tokenizer("x")[0],
            own.ask_about_tokenizer("x")[0],
            own.delete_tokenizer("x", "x")[0],
        ):
            assert "run it yourself" in refused
        with pytest.raises(UserError):
            training_run.job_of(work(), *form())
    with on(OWN), gr.Blocks():
        assert training.build(OWN, work()).own is not None
