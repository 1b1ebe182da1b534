"""The three columns: what they end with is what decoding without streaming gives; stopping; errors in place."""

import re
from html import unescape
from types import SimpleNamespace

import gradio as gr
import pytest
from gradio.helpers import special_args

from core.decode import generate
from core.errors import RunError
from core.run import load
from playground import decoding_form
from playground.site import OWN
from playground.tabs import decoding as tab
from playground.tabs.decoding import columns as decoding
from playground.tabs.decoding.work import Work
from playground.views.decoding import number

PAGE = SimpleNamespace(session_hash="page")
# beams, length penalty, temperature, top-p, top-k, longest, repetition penalty, seed
COMMON = (4, 1.0, 0.8, 0.9, 0, 8, 1.0, 3)
# strategy, diversity penalty, degeneration penalty, assistant, drafts, samples, likeness, where
THIRD = ("sample", 0.5, 0.6, None, 5, 6, "chrf", "local")
SETTINGS = (*COMMON, *THIRD)


def configs(third):
    return decoding_form.configs(*COMMON, third, 0.5, 0.6, 5, 6, "chrf")


def pictures(model, text, *settings, page=PAGE):
    settings = settings or SETTINGS
    return list(decoding.decode_columns(Work(model, text), *settings, *SETTINGS[len(settings) :], page))


def plain(html):
    return unescape(re.sub(r"<[^>]*>", "", html))


@pytest.mark.parametrize("name", ["tiny-transformer", "tiny-gpt", "tiny-llama"])
def test_the_columns_end_with_what_generate_returns(runs, name):
    run = load(name)
    last = pictures(name, "ROMEO: a cup")[-1]
    assert len(last) == 3
    for html, config in zip(last, configs("sample"), strict=True):
        expected = generate(run, ["ROMEO: a cup"], config)[0]
        assert f"<dt>tokens</dt><dd>{len(expected.ids)}</dd>" in html
        assert f"<dt>log-prob</dt><dd>{number(expected.best.total_logprob)}</dd>" in html
        assert html.count('role="tooltip"') <= len(expected.ids)
        if config.strategy == "beam":
            assert html.count("<tr><td>") == 4 == len(expected.hypotheses)
            assert number(expected.score) in html


def test_gradio_calls_it_with_the_page_and_the_fields(runs):
    with gr.Blocks():
        part = tab.build().parts["Side by side"]
    fields = [component.value for component in part.settings]
    request = gr.Request(session_hash="real")
    given, *_ = special_args(decoding.decode_columns, [Work("tiny-gpt", "ROMEO:"), *fields], request)
    assert len(list(decoding.decode_columns(*given))[-1]) == 3 and "real" in decoding._requests.newest
    given, *_ = special_args(decoding.stop_columns, [], request)
    decoding.stop_columns(*given)


def test_they_are_written_step_by_step(runs, monkeypatch):
    monkeypatch.setattr(decoding, "REFRESH", 0.0)
    seen = [picture[0] for picture in pictures("tiny-gpt", "ROMEO:")]
    counts = [int(re.search(r"<dt>tokens</dt><dd>(\d+)", html)[1]) for html in seen]
    assert counts == sorted(counts) and counts[0] == 1 and counts[-1] == 8
    assert 'aria-busy="true"' in seen[0] and 'aria-busy="true"' not in seen[-1]


def test_stop_acts_within_a_step_and_keeps_what_is_written(runs, monkeypatch):
    monkeypatch.setattr(decoding, "REFRESH", 0.0)
    events = decoding.decode_columns(Work("tiny-gpt", "ROMEO:"), *SETTINGS[:5], 40, 1.0, 3, *THIRD, PAGE)
    for _ in range(3):
        before = next(events)
    decoding.stop_columns(PAGE)
    after = list(events)
    assert len(after) == 1
    tokens = [int(re.search(r"<dt>tokens</dt><dd>(\d+)", html)[1]) for html in (before[0], after[0][0])]
    assert tokens[1] - tokens[0] in (0, 1) and tokens[1] < 40
    assert "Stopped by you" in after[0][0]


def test_a_newer_request_of_the_page_ends_an_older_one_and_leaves_other_pages_alone(runs, monkeypatch):
    monkeypatch.setattr(decoding, "REFRESH", 0.0)
    old = decoding.decode_columns(Work("tiny-gpt", "old"), *SETTINGS, PAGE)
    other = decoding.decode_columns(Work("tiny-gpt", "old"), *SETTINGS, SimpleNamespace(session_hash="other"))
    next(old), next(other)
    new = decoding.decode_columns(Work("tiny-gpt", "new"), *SETTINGS, PAGE)
    next(new)
    assert list(old) == []
    without_speed = re.compile(r"<dt>tokens/s</dt><dd>[^<]*")
    assert [without_speed.sub("", html) for html in list(other)[-1]] == [
        without_speed.sub("", html) for html in pictures("tiny-gpt", "old")[-1]
    ]


@pytest.mark.parametrize("name", ["nope", "../../etc", "hf:org/name", "", "x" * 300])
def test_an_unknown_model_is_one_sentence_in_each_column(runs, name):
    (only,) = pictures(name, "text")
    assert all('role="alert"' in html for html in only)


@pytest.mark.parametrize("name", ["tiny-transformer", "tiny-gpt"])
@pytest.mark.parametrize("text", ["", " ", "\x00", "\ud800", "👩‍👩‍👧", "<script>alert(1)</script>", "word " * 20_000])
def test_no_text_breaks_it(runs, name, text):
    last = pictures(name, text)[-1]
    assert all('aria-busy="true"' not in html and "<script" not in html for html in last)
    if len(text) > 1_000:
        assert all("longer than the model's context" in plain(html) for html in last)


def test_settings_that_cannot_be_are_said_in_place(runs):
    (only,) = pictures("tiny-gpt", "x", 4, 1.0, -1.0, 0.9, 0, 8, 1.0, 3)
    assert all("temperature must not be negative" in html for html in only)
    (only,) = pictures("tiny-gpt", "x", *COMMON, "<nope>", *THIRD[1:])
    assert all("third column can be" in html and "<nope>" not in html for html in only)


@pytest.mark.parametrize("third", decoding_form.THIRD)
@pytest.mark.parametrize("name", ["tiny-transformer", "tiny-gpt"])
def test_the_third_column_is_what_generate_returns(runs, name, third):
    run = load(name)
    last = pictures(name, "ROMEO: a cup", *COMMON, third, *THIRD[1:])[-1][2]
    config = configs(third)[2]
    assert config.strategy == third and f">{decoding_form.THIRD[third]}<" in last
    expected = generate(run, ["ROMEO: a cup"], config, assistant=run if third == "assisted" else None)[0]
    assert f"<dt>log-prob</dt><dd>{number(expected.best.total_logprob)}</dd>" in last
    if config.searches_beams or config.reranks:
        assert last.count("<tr><td>") == len(expected.hypotheses) and number(expected.score) in last
    if third == "assisted":
        assert f"<dt>kept</dt><dd>{expected.work.accepted}/{expected.work.drafted}</dd>" in last
        assert f"<dt>passes</dt><dd>{expected.work.forward_passes}</dd>" in last
        assert "decoding-drafted" in last and "drafted by the assistant" in last


def test_the_assistants_are_runs_of_the_same_tokenizer(runs, tmp_path, monkeypatch):
    names = [name for _, name in decoding_form.assistants("tiny-gpt")]
    assert names == ["tiny-llama", "tiny-gpt"]
    assert [name for _, name in decoding_form.assistants("tiny-transformer")] == ["tiny-transformer"]
    assert all(decoding_form.assistants(name) == [] for name in ("nope", None, "../etc"))
    assert decoding_form.chosen_assistant("tiny-gpt", "tiny-llama") == "tiny-llama"
    for stale in ("tiny-transformer", None, ""):
        assert decoding_form.chosen_assistant("tiny-gpt", stale) == "tiny-gpt"
    assert decoding_form.chosen_assistant("tiny-gpt", "hf:org/name") == "hf:org/name"
    with gr.Blocks():
        dropdown = decoding.build(OWN, Work("tiny-gpt", "")).assistant
    assert dropdown.preprocess("tiny-transformer") == "tiny-transformer"  # its list may change before this is asked
    updates = decoding.show_settings(Work("tiny-gpt", ""), "assisted", "tiny-llama")
    assert updates[2]["visible"] and updates[2]["value"] == "tiny-llama" and not updates[0]["visible"]
    assert decoding.show_settings(Work("tiny-gpt", ""), "mbr", "gone")[2]["value"] == names[0]
    assert [u["visible"] for u in decoding.show_settings(Work("tiny-gpt", ""), "mbr", None)] == [False] * 4 + [True] * 2
    with_other = pictures("tiny-gpt", "ROMEO:", *COMMON, "assisted", 0.5, 0.6, "tiny-llama", 5, 6, "chrf")[-1]
    log_prob = re.compile(r"<dt>log-prob</dt><dd>[^<]*")
    assert log_prob.search(with_other[0])[0] == log_prob.search(with_other[2])[0], "as greedy"


def test_an_assistant_that_cannot_gives_way(runs):
    """The list may be of the model that was chosen before."""
    for stale in ("tiny-transformer", None):
        last = pictures("tiny-gpt", "ROMEO:", *COMMON, "assisted", 0.5, 0.6, stale, 5, 6, "chrf")[-1]
        assert not any('role="alert"' in html for html in last)
    last = pictures("tiny-gpt", "ROMEO:", *COMMON, "assisted", 0.5, 0.6, "typed", 5, 6, "chrf")[-1]
    assert "There is no run 'typed'" in unescape(last[2]) and 'role="alert"' not in last[0] + last[1]


def test_what_goes_wrong_in_a_column_is_said_there(runs, monkeypatch):
    def broken(*arguments):
        raise RunError("The assistant is gone.")
        yield

    stream = decoding._stream
    monkeypatch.setattr(decoding, "_stream", lambda *a: broken() if a[2].strategy == "assisted" else stream(*a))
    last = pictures("tiny-gpt", "ROMEO:", *COMMON, "assisted", *THIRD[1:])[-1]
    assert "The assistant is gone." in last[2] and 'role="alert"' not in last[0] + last[1]


def test_settings_reach_the_columns_they_are_for():
    greedy, beam, sample = decoding_form.configs(7, 0.5, 0.3, 0.8, 11, 20, 1.2, 9)
    assert greedy.is_greedy and {c.max_new_tokens for c in (greedy, beam, sample)} == {20}
    assert {c.repetition_penalty for c in (greedy, beam, sample)} == {1.2}
    assert (beam.num_beams, beam.num_return_sequences, beam.length_penalty) == (7, 7, 0.5)
    assert (sample.temperature, sample.top_p, sample.top_k, sample.seed) == (0.3, 0.8, 11, 9)


def test_one_beam_is_greedy(runs):
    last = pictures("tiny-gpt", "x", 1, *SETTINGS[1:])[-1]
    figure = re.compile(r"<dt>log-prob</dt><dd>([^<]*)")
    assert figure.search(last[0])[1] == figure.search(last[1])[1]


def test_pages_that_are_gone_are_forgotten():
    requests = decoding._Requests()
    for page in range(2_000):
        requests.begin(str(page))
    assert len(requests.newest) <= 1_000 and requests.state("1999", 1) == "going"
