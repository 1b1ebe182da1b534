"""Training in a process of its own: its events, where texts come from, its limits, and what ends it."""

import json
import random
import subprocess
import sys
import threading
import time

import pytest

from core.child import ROOT
from core.errors import ConfigError, DataError, RunError
from core.tokenizer import load_tokenizer, train_bpe
from core.tokenizer.own import own_about, own_tokenizers
from core.tokenizer.train_process import TokenizerTraining, TrainingJob, texts_of
from core.tokenizer.training import TrainingRequest

TEXT = "the cat sat on the mat and the rat sat on the cat; 東京\n" * 20


@pytest.fixture(autouse=True)
def runs(tmp_path, monkeypatch):
    monkeypatch.setenv("RUNS_DIR", str(tmp_path / "runs"))
    return tmp_path / "runs"


def events(job, **limits):
    with TokenizerTraining(job, **limits) as training:
        return list(training.events())


def test_every_merge_is_told_once(runs):
    seen = events(TrainingJob(TrainingRequest(vocab_size=300), text=TEXT, name="mine"))
    trained = train_bpe([TEXT], 300)
    merges = [merge for event in seen for merge in event.merges]
    assert [(merge.left, merge.right) for merge in merges] == trained.merges
    assert [merge.rank for merge in merges] == list(range(len(merges)))
    assert all(a.count >= b.count > 0 for a, b in zip(merges, merges[1:])) and merges[0].merged == b"".join(
        trained.merges[0]
    )
    assert [event.phase for event in seen if event.phase != "merging"] == ["reading", "counting", "done"]
    assert seen[-1].name == "mine" and seen[-1].vocab_size == trained.vocab_size
    assert load_tokenizer("mine").to_json() == trained.to_json()
    about = own_about("mine")
    assert about.how == "trained" and about.request["vocab_size"] == 300 and "typed characters" in about.data


@pytest.mark.parametrize(
    "request_",
    [
        TrainingRequest("unigram", 400), TrainingRequest("wordpiece", 100), TrainingRequest("char"),
        TrainingRequest("bpe", 300, engine="tokenizers"), TrainingRequest("bpe", 300, r"\p{L}+|[^\p{L}]"),
    ],
)  # fmt: skip
def test_every_kind(request_):
    with TokenizerTraining(TrainingJob(request_, text=TEXT)) as training:
        seen = list(training.events())
        assert seen[-1].phase == "done" and not seen[-1].name
        made = load_tokenizer(seen[-1].path)  # a file that lives as long as the training
        assert made.vocab_size == seen[-1].vocab_size and made.decode(made.encode("the cat").ids) == "the cat"
    assert own_tokenizers() == []
    watched = {event.phase for event in seen}
    assert ("merging" in watched) == (request_.kind == "bpe" and request_.engine == "ours")


def test_where_texts_come_from(tmp_path):
    (tmp_path / "a.txt").write_text("one\r\ntwo", encoding="utf-8")
    (tmp_path / "b.csv").write_text("id,story\n1,hello\n2,there\n", encoding="utf-8")
    (tmp_path / "c.jsonl").write_text('{"a": "x", "b": "y"}\n', encoding="utf-8")
    rows = [{"a": "x", "text": "first"}, {"a": "z", "text": "second"}]
    (tmp_path / "d.json").write_text(json.dumps(rows), encoding="utf-8")
    request = TrainingRequest()

    def texts(**source):
        return texts_of(TrainingJob(request, **source))

    assert texts(text="typed") == (["typed"], "")
    assert texts(file=str(tmp_path / "a.txt")) == (["one\ntwo"], "")
    assert texts(file=str(tmp_path / "b.csv"), column="story")[0] == ["hello", "there"]
    assert texts(file=str(tmp_path / "c.jsonl"), column="b")[0] == ["y"]
    assert texts(file=str(tmp_path / "d.json"))[0] == ["first", "second"]
    assert len(texts(data="builtin:pydocs")[0]) > 20 and len(texts(data="builtin:enja")[0]) > 1_000
    cut, note = texts(text="é" * 100, max_bytes=51)
    assert cut == ["é" * 25] and "only the first" in note
    for source, said in (
        ({"file": str(tmp_path / "c.jsonl")}, "has the columns a, b"),
        ({"file": str(tmp_path / "x.txt")}, "no file"),
        ({"data": str(tmp_path / "a.txt")}, "give it as a file"),
        ({"data": "builtin:nothing"}, "no built-in data"),
    ):
        with pytest.raises(DataError, match=said):
            texts(**source)


@pytest.mark.parametrize("source", [{}, {"text": "a", "data": "builtin:enja"}, {"text": "a", "name": "../x"}])
def test_jobs_that_cannot_be(source):
    with pytest.raises((ConfigError, RunError)):
        TrainingJob(TrainingRequest(), **source)


def test_what_was_cut_is_said():
    seen = events(TrainingJob(TrainingRequest(vocab_size=270), text=TEXT, max_bytes=200, name="cut"))
    assert "only the first" in seen[-1].text and "only the first" in own_about("cut").data


def test_failures_are_one_sentence(tmp_path):
    (tmp_path / "empty.txt").write_text(" \n")
    for job, said in (
        (TrainingJob(TrainingRequest(), file=str(tmp_path / "empty.txt")), "is empty"),
        (TrainingJob(TrainingRequest("wordpiece", 300), text=" "), "no words"),
        (TrainingJob(TrainingRequest(), file=str(tmp_path / "nothing.csv")), "no file"),
    ):
        seen = events(job)
        assert seen[-1].phase == "failed" and said in seen[-1].text and seen[-1].text.endswith(".")
    assert own_tokenizers() == []


def test_a_name_that_is_taken(runs):
    assert events(TrainingJob(TrainingRequest(vocab_size=270), text=TEXT, name="twice"))[-1].phase == "done"
    with pytest.raises(RunError, match="already"):
        TokenizerTraining(TrainingJob(TrainingRequest(vocab_size=270), text=TEXT, name="twice"))


SLOW = TrainingJob(TrainingRequest(vocab_size=300, pattern="(a|aa)+b|."), text="a" * 20_000, name="slow")


def test_stopped_in_the_middle():
    with TokenizerTraining(SLOW) as training:
        threading.Timer(0.7, training.stop).start()
        seen = list(training.events())
    assert seen[-1].phase == "failed" and "was stopped" in seen[-1].text and own_tokenizers() == []
    assert training.process.returncode is not None


def test_left_in_the_middle():
    with TokenizerTraining(SLOW) as training:
        assert next(iter(training.events())).phase == "reading"
    assert training.process.returncode is not None


def test_it_ends_with_who_asked(tmp_path):
    """One that is killed cannot stop it. What takes so long would be kept under its name otherwise."""
    (tmp_path / "long.txt").write_text("".join(random.Random(0).choices("abcdefghijklmnop \n", k=2_000_000)))
    code = f"""
import os
from core.tokenizer.train_process import *
request = TrainingRequest(vocab_size=100_000, engine="tokenizers")
job = TrainingJob(request, file={str(tmp_path / "long.txt")!r}, name="long")
training = TokenizerTraining(job)
for event in training.events():
    if event.phase == "training":  # from here on it says nothing until it is done
        break
print(training.process.pid, flush=True)
os._exit(1)
"""
    asked = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    began = time.monotonic()
    while _runs(int(asked.stdout)):
        assert time.monotonic() - began < 60
        time.sleep(0.1)
    assert own_tokenizers() == []


def _runs(process: int) -> bool:
    state = subprocess.run(["ps", "-o", "state=", "-p", str(process)], capture_output=True, text=True).stdout
    return state.strip() not in ("", "Z")  # Z: it has ended, and nobody has asked how


def test_the_time_limit():
    began = time.monotonic()
    seen = events(SLOW, limit=0.8)
    assert seen[-1].phase == "failed" and "longer than 0.8 s" in seen[-1].text and time.monotonic() - began < 30
    assert own_tokenizers() == []
