"""The three columns: what they end with is what decoding without streaming gives; stopping; errors in place."""

import re
from html import unescape
from types import SimpleNamespace

import gradio as gr
import pytest
from gradio.helpers import special_args

from core.decode import generate
from core.run import load
from playground.tabs import decoding
from playground.views.decoding import number

PAGE = SimpleNamespace(session_hash="page")
# beams, length penalty, temperature, top-p, top-k, longest, repetition penalty, seed
SETTINGS = (4, 1.0, 0.8, 0.9, 0, 8, 1.0, 3)


def pictures(model, text, *settings, page=PAGE):
    return list(decoding.decode_columns(model, text, *(settings or SETTINGS), page))


def plain(html):
    return unescape(re.sub(r"<[^>]*>", "", html))


@pytest.mark.parametrize("name", ["tiny-transformer", "tiny-gpt", "tiny-llama"])
def test_the_columns_end_with_what_generate_returns(runs, name):
    run = load(name)
    last = pictures(name, "ROMEO: a cup")[-1]
    assert len(last) == 3
    for html, config in zip(last, decoding.configs(*SETTINGS), strict=True):
        expected = generate(run, ["ROMEO: a cup"], config)[0]
        assert f"<dt>tokens</dt><dd>{len(expected.ids)}</dd>" in html
        assert f"<dt>log-prob</dt><dd>{number(expected.best.total_logprob)}</dd>" in html
        assert html.count('role="tooltip"') <= len(expected.ids)
        if config.strategy == "beam":
            assert html.count("<tr><td>") == 4 == len(expected.hypotheses)
            assert number(expected.score) in html


def test_gradio_calls_it_with_the_page_and_the_fields(runs):
    with gr.Blocks():
        tab = decoding.build()
    fields = [component.value for component in tab.settings]
    request = gr.Request(session_hash="real")
    given, *_ = special_args(decoding.decode_columns, ["tiny-gpt", "ROMEO:", *fields], request)
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
    events = decoding.decode_columns("tiny-gpt", "ROMEO:", *SETTINGS[:5], 40, 1.0, 3, PAGE)
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
    old = decoding.decode_columns("tiny-gpt", "old", *SETTINGS, PAGE)
    other = decoding.decode_columns("tiny-gpt", "old", *SETTINGS, SimpleNamespace(session_hash="other"))
    next(old), next(other)
    new = decoding.decode_columns("tiny-gpt", "new", *SETTINGS, PAGE)
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


def test_settings_reach_the_columns_they_are_for():
    greedy, beam, sample = decoding.configs(7, 0.5, 0.3, 0.8, 11, 20, 1.2, 9)
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
