"""The header: which model, which text, what is said about the model, and what happens to bad names."""

import os
import re
import threading
import time
from types import SimpleNamespace

import pytest

from core.errors import RunError
from core.files import write_text
from core.model.hf_export import export_pretrained
from core.run import load
from playground import header, models
from playground.site import OWN
from tests.fake_hub import serving


def test_a_run_is_kept_until_its_files_change(runs):
    first = models.get_run("tiny-gpt")
    assert models.get_run("tiny-gpt") is first
    path = runs / "tiny-gpt" / "model.safetensors"
    os.utime(path, (time.time() + 5, time.time() + 5))
    second = models.get_run("tiny-gpt")
    assert second is not first and models.run_stamp(second) == models.run_stamp(first)
    assert models.get_run(str(runs / "tiny-gpt")) is second  # a directory names the same run


def test_only_a_few_runs_are_kept(runs, monkeypatch):
    monkeypatch.setattr(models, "KEPT", 2)
    models._opened.clear()  # what other tests have opened is not given up before something new is
    for name in ("tiny-gpt", "tiny-llama", "tiny-transformer"):
        models.get_run(name)
    assert len(models._opened) == 2


def test_choices_name_runs_with_a_model_only(runs, tmp_path):
    assert {name for _, name in models.model_choices()} == {"tiny-gpt", "tiny-llama", "tiny-transformer"}
    (runs / "unfinished").mkdir()
    try:
        write_text(runs / "unfinished" / "config.json", "{}")
        assert "unfinished" not in {name for _, name in models.model_choices()}
    finally:
        (runs / "unfinished" / "config.json").unlink()
        (runs / "unfinished").rmdir()


def test_an_untouched_example_gives_way_to_one_of_the_new_family_and_an_own_text_stays(runs):
    example = models.DEFAULT_TEXT["translation"]
    settled = ("tiny-transformer", example)
    text, _, facts, _, message, now = header.choose_model("tiny-gpt", example, settled)
    assert text == models.DEFAULT_TEXT["language"] and now == ("tiny-gpt", text)
    assert "GPT" in facts and message == ""
    text, *_, now = header.choose_model("tiny-gpt", "my own words", settled)
    assert is_left(text) and now == ("tiny-gpt", "my own words")
    back, *_, now = header.choose_model("tiny-transformer", models.DEFAULT_TEXT["language"], now)
    assert back == example


def is_left(value):
    """Whether the page keeps what it shows there."""
    return isinstance(value, dict) and value["__type__"] == "update" and "value" not in value


def test_a_text_and_a_model_at_the_same_time_settle_both_whichever_event_ends_last(runs):
    before = ("tiny-gpt", "old")
    for number, text_first in enumerate((True, False)):
        page = SimpleNamespace(session_hash=f"page {number}")
        # A model is chosen at 10, a text is typed at 20: what each event was given is what stood there then.
        events = [
            lambda page=page: header.settle_text("tiny-llama", "new", before, 20.0, page)[1],
            lambda page=page: next(header.change_model("tiny-llama", "old", before, 10.0, page))[-1],
        ]
        assert [event() for event in (events if text_first else events[::-1])][-1] == ("tiny-llama", "new")
        # The text was left (at 30) for the picker, where a model was chosen at 40.
        events = [
            lambda page=page: header.settle_text("tiny-llama", "newer", before, 30.0, page)[1],
            lambda page=page: next(header.change_model("tiny-gpt", "newer", before, 40.0, page))[-1],
        ]
        assert [event() for event in (events if text_first else events[::-1])][-1] == ("tiny-gpt", "newer")


def test_what_is_typed_while_a_model_is_opened_stays_in_the_field(runs):
    page = SimpleNamespace(session_hash="typing")
    header.settle_text("tiny-transformer", "mine", ("", ""), 20.0, page)
    (shown,) = header.change_model("tiny-gpt", models.DEFAULT_TEXT["translation"], ("", ""), 10.0, page)
    assert is_left(shown[0]) and shown[-1] == ("tiny-gpt", "mine")
    late = header.settle_text("tiny-gpt", "older", ("", ""), 15.0, page)
    assert is_left(late[0]) and is_left(late[1])


@pytest.mark.parametrize(
    "name", ["nothing-like-that", "../../etc/passwd", "hf:org/name", "/etc", "<script>alert(1)</script>", "a b"]
)
def test_an_unknown_model_is_one_sentence_and_what_was_shown_stays(runs, name):
    settled = ("tiny-gpt", "hello")
    text, _, facts, card, message, now = header.choose_model(name, "hello", settled)
    assert 'role="alert"' in message and "<script>" not in message
    assert facts == card == ""
    assert isinstance(now, dict) and now["__type__"] == "update"  # skipped: the tabs keep what they show
    message, now = header.settle_text(name, "hello", settled)
    assert 'role="alert"' in message and now == settled


def test_a_broken_run_is_one_sentence(runs, tmp_path, monkeypatch):
    directory = tmp_path / "broken"
    directory.mkdir()
    (directory / "config.json").write_text('{"model": {"famly": "gpt"}}')
    with pytest.raises(RunError, match="famly"):
        models.get_run(str(directory))
    message, _ = header.settle_text(str(directory), "x", ("", ""))
    assert "famly" in message


def test_without_any_model_the_page_says_how_to_get_one(no_runs):
    assert models.opening_work() == (None, models.DEFAULT_TEXT["translation"])
    message, settled = header.settle_text(None, "hello", ("", ""))
    assert "llm-scratch train" in message and settled == ("", "")


def test_a_text_that_is_too_long_is_refused_and_the_one_before_stays(runs):
    settled = ("tiny-gpt", "short")
    message, now = header.settle_text("tiny-gpt", "x" * (OWN.characters + 1), settled)
    assert "1,000,001 characters" in message and now == settled
    message, now = header.settle_text("tiny-gpt", "x" * OWN.characters, settled)
    assert message == "" and now[1] != "short"


def test_examples_begin_with_the_default_and_include_the_runs_own_prompts(runs):
    run = models.get_run("tiny-llama")
    texts = models.examples(run)
    assert texts[0] == models.default_text(run) and "Dear reader" in texts
    assert header.use_example("Dear reader", "tiny-llama", ("", ""))[2] == ("tiny-llama", "Dear reader")


def test_parameters_are_counted_as_the_model_counts_them(runs):
    for name in ("tiny-gpt", "tiny-llama", "tiny-transformer"):
        run = models.get_run(name)
        assert models.num_parameters(run.config.model) == run.model.num_parameters()


def test_a_model_card_fetches_nothing():
    card = 'Hello ![a picture](https://example.org/x.png) <img src="https://example.org/y.png"> [link](https://example.org)'
    assert header.safe_card(card) == "Hello a picture  [link](https://example.org)"


def test_a_download_tells_how_far_it_is(runs, tmp_path, monkeypatch):
    """hf:org/name typed into the picker: a line that grows, then the model; another choice meanwhile is not undone."""
    import huggingface_hub

    export_pretrained(load("tiny-gpt"), tmp_path / "repository")
    monkeypatch.setattr(huggingface_hub.constants, "DOWNLOAD_CHUNK_SIZE", 1_000)
    monkeypatch.setattr(header, "TICK", 0.02)
    page = SimpleNamespace(session_hash="page")
    settled = ("tiny-gpt", "hello")
    with serving(monkeypatch, tmp_path / "repository", tmp_path / "cache") as handler:
        handler.large, handler.wait = 10_000, threading.Event()
        steps = header.change_model("hf:org/name", "hello", settled, None, page)
        messages = []
        while not any("is being downloaded" in message for message in messages):
            messages.append(next(steps)[4])
            time.sleep(0.01)
        assert all('role="status"' in message for message in messages)
        assert re.search(r"hf:org/name is being downloaded: 0\.\d of 0\.\d MB", messages[-1])
        (shown,) = header.change_model("tiny-llama", "hello", settled, None, page)  # another choice, meanwhile
        assert shown[-1] == ("tiny-llama", "hello")
        assert list(steps) == []  # the download says nothing more to this page
        handler.wait.set()
        other = SimpleNamespace(session_hash="another page")
        *_, last = header.change_model("hf:org/name", "hello", settled, None, other)
        assert last[-1] == ("hf:org/name", "hello") and last[4] == "" and "GPT" in last[2]
