"""The Next token part: real distributions, writing by hand as `generate` writes; safe from whatever a page sends."""

import json
import math
import re
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
from gradio.helpers import special_args

from core.decode import generate
from core.decode.config import GenerationConfig
from core.decode.cursor import cursor_at
from core.decode.scoring import score_ids
from core.run import load
from playground.memory import Memory
from playground.site import OWN, PUBLIC, on
from playground.tabs.decoding import next_token as part
from playground.tabs.decoding.next_settings import HOW, LARGEST_SEED, RANGES, TYPED, USUAL, from_link, read
from playground.tabs.decoding.work import Work
from playground.views.next_settings import settings_html
from playground.views.next_token import curve, stages, stages_html
from tests.playground.views.test_attention_views import unpacked

PAGE = SimpleNamespace(session_hash="page")
PLAIN = ""
BUSY = json.dumps(
    {
        "temperature": 0.7, "top_k": 40, "top_p": 0.9, "min_p": 0.02, "typical_p": 0.95, "repetition_penalty": 1.3,
        "presence_penalty": 0.4, "frequency_penalty": 0.2, "seed": 3, "how": "drawn", "find": "cup",
    }
)  # fmt: skip
MODELS = ["tiny-gpt", "tiny-llama", "tiny-transformer"]
CONFIG = GenerationConfig(
    strategy="sample", temperature=0.7, top_k=40, top_p=0.9, min_p=0.02, typical_p=0.95, repetition_penalty=1.3,
    presence_penalty=0.4, frequency_penalty=0.2, seed=3,
)  # fmt: skip


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(part, "_cursors", Memory(maximum=6, each=1))


def event(data):
    return SimpleNamespace(_data=data)


def figure(shown):
    return json.loads(json.loads(shown)["figure"])


def message(shown):
    return json.loads(shown)["message"]


@pytest.mark.parametrize("name", MODELS)
def test_the_figure_has_the_numbers_of_the_cursor(runs, name):
    work = Work(name, "ROMEO: a cup")
    after = cursor_at(load(name), work.text).stages(CONFIG)
    data = figure(part.draw_next(work, part.Written(), BUSY))
    assert len(data["rows"]) >= 40 and data["at"] == 0 and data["text"] == []
    for row in data["rows"]:
        place = row["id"]
        assert math.isclose(row["probability"], after.probabilities[place], abs_tol=1e-9)
        assert math.isclose(row["final"], after.final[place], abs_tol=1e-9)
        assert row["logit"] == pytest.approx(float(after.logits[place]), abs=1e-6)
        assert bool(row["removed_by"]) == (after.removed_by[place] >= 0) == (row["after"][-1] is None)
    assert set(data["found"]) <= {row["id"] for row in data["rows"]} and data["found"]
    assert data["choice"] in {row["id"] for row in data["rows"]}
    assert f"{after.kept:,} kept" in data["subtitle"] and f"{after.entropy:.3f}" in data["subtitle"]


def test_the_curve_is_the_whole_distribution(runs):
    after = cursor_at(load("tiny-gpt"), "ROMEO:").stages(CONFIG)
    found = {name: unpacked(values) for name, values in curve(after).items()}
    assert found["ranks"][0] == 1 and found["sizes"].sum() == len(after.logits)
    np.testing.assert_array_equal(np.diff(found["ranks"]), found["sizes"][:-1])
    for name in ("model", "final"):
        assert (found[name] * found["sizes"]).sum() == pytest.approx(1, abs=1e-5)
    assert round(float((found["left"] * found["sizes"]).sum())) == after.kept
    assert (np.diff(found["model"]) <= 1e-9).all()


def test_every_stage_is_counted(runs):
    after = cursor_at(load("tiny-gpt"), "ROMEO:").stages(CONFIG)
    found = stages(after)
    assert [stage["name"] for stage in found] == ["model", *after.processors]
    for stage, logits in zip(found, [after.start, *after.after], strict=True):
        shares = np.exp(logits.astype(np.float64)) / np.exp(logits.astype(np.float64)).sum()
        positive = shares[shares > 0]
        assert stage["entropy"] == pytest.approx(-(positive * np.log(positive)).sum(), abs=1e-9)
        assert stage["left"] == (logits > -math.inf).sum()
        assert stage["mass"] == pytest.approx(after.probabilities[logits > -math.inf].sum())
    assert sum(stage["removed"] for stage in found) == len(after.logits) - after.kept
    assert found[-1]["entropy"] == pytest.approx(after.final_entropy, abs=1e-9)
    html = stages_html(after)
    assert "<th" in html and all(title in html for title in ("top-k", "top-p", "typical", "presence and frequency"))
    assert "<s>" not in html  # names of tokens are escaped


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    "settings, config", [(PLAIN, GenerationConfig()), (BUSY, CONFIG)], ids=["most probable", "drawn"]
)
def test_what_is_written_on_is_what_generate_writes(runs, monkeypatch, name, settings, config):
    monkeypatch.setattr(part, "EVERY", 0.0)
    work, run = Work(name, "ROMEO: a cup"), load(name)
    expected = generate(run, [work.text], GenerationConfig(**{**config.__dict__, "max_new_tokens": 7}))[0]
    pictures = list(part.write_on(PAGE, work, 7, part.Written(), settings))
    written = pictures[-1][0]
    assert list(written.ids) == expected.ids
    assert [score.logprob for score in written.scores] == pytest.approx(expected.best.logprobs, abs=1e-5)
    again = score_ids(run, expected.prompt_ids, list(written.ids))
    assert [score.logprob for score in written.scores] == pytest.approx(again, abs=1e-5)
    assert figure(part.draw_next(work, written, settings))["logprob"] == pytest.approx(sum(again), abs=1e-4)
    assert pictures[-1][1].visible is True and pictures[-1][2].visible is False
    if len(expected.ids) == 7:
        assert pictures[0][2].visible is True and len(pictures[1][0].ids) == 1
    by_hand = part.Written()
    for _ in expected.ids:
        by_hand = part.step_on(PAGE, work, by_hand, settings)
    assert by_hand.ids == written.ids


def test_by_hand(runs):
    work, written = Work("tiny-gpt", "ROMEO:"), None
    for place, token in enumerate((40, 41, 42)):
        written = part.choose_token(PAGE, event({"token": token, "at": place}), work, written, PLAIN)
    assert written.ids == (40, 41, 42) and figure(part.draw_next(work, written, PLAIN))["at"] == 3
    late = part.choose_token(PAGE, event({"token": 50, "at": 1}), work, written, PLAIN)
    assert late.ids == (40, 41, 42), "what was clicked on an older picture does not count"
    assert part.choose_token(PAGE, event({"to": 1}), work, written, PLAIN).ids == (40,)
    assert part.step_back(PAGE, work, written, PLAIN).ids == (40, 41)
    assert part.start_anew(PAGE, work, written, PLAIN).ids == ()
    for other in (Work("tiny-gpt", "another"), Work("tiny-llama", "ROMEO:")):  # what is written is of another text
        assert figure(part.draw_next(other, written, PLAIN))["at"] == 0
        assert len(part.step_on(PAGE, other, written, PLAIN).ids) == 1


def test_a_page_that_is_closed_lets_its_place_go(runs, monkeypatch):
    monkeypatch.setattr(part, "owner", lambda: "page")
    part.draw_next(Work("tiny-gpt", "ROMEO:"), None, PLAIN)
    assert len(part._cursors) == 1
    part.forget(SimpleNamespace(session_hash="other"))
    assert len(part._cursors) == 1
    part.forget(PAGE)
    assert len(part._cursors) == 0


def test_settings_ask_the_model_nothing(runs, monkeypatch):
    work = Work("tiny-gpt", "ROMEO:")
    written = part.step_on(PAGE, work, part.Written(), PLAIN)
    before = figure(part.draw_next(work, written, PLAIN))
    model = part._cursor(work, written).run.model
    monkeypatch.setattr(model, "hidden", lambda *args, **named: pytest.fail("the model was asked"))
    monkeypatch.setattr(model, "forward", lambda *args, **named: pytest.fail("the model was asked"))
    after = figure(part.draw_next(work, written, BUSY))
    assert [row["logit"] for row in before["rows"][:5]] == [row["logit"] for row in after["rows"][:5]]


def test_the_end_and_a_full_context(runs):
    work, run = Work("tiny-gpt", "ROMEO:"), load("tiny-gpt")
    written = part.choose_token(PAGE, event({"token": run.model.eos_id, "at": 0}), work, None, PLAIN)
    ended = part.draw_next(work, written, PLAIN)
    assert (
        figure(ended)["rows"] == []
        and "come to its end" in figure(ended)["subtitle"]
        and json.loads(ended)["table"] == ""
    )
    refused = part.step_on(PAGE, work, written, PLAIN)
    assert refused.ids == written.ids and "come to its end" in message(part.draw_next(work, refused, PLAIN))
    assert message(part.draw_next(work, refused, BUSY)) == "", "it is said of the settings that it was refused with"
    assert part.step_back(PAGE, work, written, PLAIN).ids == ()
    long = Work("tiny-gpt", "coffee " * 60)
    written, *_ = list(part.write_on(PAGE, long, 200, part.Written(), BUSY))[-1]
    full = part.draw_next(long, written, BUSY)
    assert "its end is what counts" in message(full) and figure(full)["rows"] == []


def test_nothing_is_left(runs):
    """A temperature and a cutoff cannot remove everything; where all is removed that is said."""
    work = Work("tiny-gpt", "ROMEO:")
    settings = json.dumps(
        {
            "temperature": 1e-4, "top_k": 1, "top_p": 0.05, "min_p": 1.0, "typical_p": 0.05, "repetition_penalty": 2.0,
            "presence_penalty": -2.0, "frequency_penalty": -2.0, "how": "drawn",
        }
    )  # fmt: skip
    shown = part.draw_next(work, part.Written(), settings)
    assert figure(shown)["choice"] is not None and "error" not in message(shown)


@pytest.mark.parametrize("work", [Work("", "x"), Work("no-such-run", "x"), Work("tiny-transformer", "  ")], ids=str)
def test_what_cannot_be_read_is_a_sentence(runs, work):
    assert "notice-error" in message(part.draw_next(work, part.Written(), PLAIN))
    for refused in (
        part.step_on(PAGE, work, None, PLAIN),
        *[one[0] for one in part.write_on(PAGE, work, 3, None, PLAIN)],
    ):
        assert refused == gr.skip() or refused.refused


@pytest.mark.parametrize(
    "data",
    [None, "x", 7, [], {}, {"token": 10**9, "at": 0}, {"token": -1, "at": 0}, {"token": "1", "at": 0},
     {"token": True, "at": 0}, {"to": -1}, {"to": 5}, {"to": 0.5}, {"token": 3, "at": None}],
    ids=str,
)  # fmt: skip
def test_what_a_page_may_send(runs, data):
    assert part.choose_token(PAGE, event(data), Work("tiny-gpt", "ROMEO:"), "nonsense", PLAIN).ids == ()


NOBODYS = [float("nan"), float("inf"), "x", [], {}, -5, 10**400, True, None, "\ud83d", "x" * 101]


@pytest.mark.parametrize("name", [*USUAL, "__class__", "x" * 100])
@pytest.mark.parametrize("value", NOBODYS, ids=lambda value: repr(value)[:12])
def test_settings_that_nobody_can_choose(runs, name, value):
    check_refused(json.dumps({name: value}), allowed=name == "find" and value == "x")
    assert from_link(json.dumps({name: value})) == ('{"find":"x"}' if name == "find" and value == "x" else "")


@pytest.mark.parametrize(
    "settings",
    ["{", "[]", "7", "null", '"x"', "NaN", "[" * 1_999, '{"top_k":' * 200, '{"seed":1e999}', "x" * 10**6, 7, True, [],
     {}, float("nan"), {"top_k": 3}, [["a"] * 9] * 9, b"{}", '{"seed":' + "9" * 1_900 + "}"],
    ids=lambda value: repr(value)[:12],
)  # fmt: skip
def test_settings_that_are_none(runs, settings):
    check_refused(settings)
    assert from_link(settings) == ('{"top_k":3}' if settings == {"top_k": 3} else "")


def check_refused(settings, allowed=False):
    """One sentence on the page, and nothing is written."""
    work = Work("tiny-gpt", "ROMEO:")
    shown = part.draw_next(work, part.Written(), settings)
    assert message(shown).count("notice-error") == (0 if allowed else 1) and "Traceback" not in shown
    assert bool(part.step_on(PAGE, work, part.Written(), settings).ids) == allowed
    assert bool(list(part.write_on(PAGE, work, 2, part.Written(), settings))[-1][0].ids) == allowed


def test_a_link_holds_what_the_fields_can(runs):
    assert read(from_link(BUSY)) == read(BUSY) and json.loads(from_link(BUSY)) == json.loads(BUSY)
    assert from_link('{"top_k":3,"temperature":2.05,"top_p":0.05,"seed":-1,"how":"x","find":7,"more":1}') == (
        '{"top_k":3,"top_p":0.05}'
    )
    assert from_link(json.dumps(USUAL)) == "" and read(None) == read("") == USUAL
    for setting in RANGES:
        for value in (setting.low, setting.high):
            assert read(json.dumps({setting.name: value}))[setting.name] == value
            cut = from_link(json.dumps({setting.name: value + (1e-9 if value == setting.high else -1e-9)}))
            assert cut == ""


def test_the_fields_hold_what_is_read():
    html = settings_html(RANGES, HOW, LARGEST_SEED, TYPED)
    names = re.findall(r'data-name="(\w+)"', html)
    assert sorted(names) == sorted(USUAL)
    assert "`" not in html and "$" not in html and "{" not in html  # Gradio takes it for a template
    for setting in RANGES:
        for kind in ("range slider", "number input"):
            field = re.search(rf'<input[^>]*aria-label="{kind} for {setting.label}"[^>]*>', html)[0]
            given = {name: float(value) for name, value in re.findall(r'(min|max|step|value)="([^"]*)"', field)}
            assert given == {"min": setting.low, "max": setting.high, "step": setting.step, "value": setting.usual}


def test_a_public_page_writes_less(runs):
    with on(PUBLIC):
        for count in (10**9, -3, None, float("nan"), "x"):
            last = list(part.write_on(PAGE, Work("tiny-gpt", "ROMEO:"), count, part.Written(), PLAIN))[-1]
            assert len(last) == 3
    with gr.Blocks():
        made = part.build(PUBLIC, Work("tiny-gpt", "x"))
        own = part.build(OWN, Work("tiny-gpt", "x"))
    assert made.count.maximum == PUBLIC.new_tokens < own.count.maximum
    assert made.settings.value == PLAIN and made.queued and not own.queued


def test_stop_keeps_what_is_shown(runs, monkeypatch):
    monkeypatch.setattr(part, "EVERY", 0.0)
    steps = part.write_on(PAGE, Work("tiny-gpt", "ROMEO:"), 30, part.Written(), PLAIN)
    next(steps), next(steps), next(steps)
    part.stop_writing(PAGE)
    rest = list(steps)
    assert len(rest) == 1 and rest[0][0] == gr.skip() and rest[0][1].visible is True


def test_gradio_calls_them_with_the_page_and_the_event(runs):
    """It hands both over by their places in the signature."""
    with gr.Blocks():
        made = part.build(OWN, Work("tiny-gpt", "x"))
    work, fields = Work("tiny-gpt", "ROMEO:"), [made.written.value, made.settings.value]
    data = gr.EventData(None, {"token": 40, "at": 0})
    given, *_ = special_args(part.choose_token, [work, *fields], gr.Request(session_hash="real"), data)
    assert part.choose_token(*given).ids == (40,)
    for act in (part.step_on, part.step_back, part.start_anew):
        given, *_ = special_args(act, [work, *fields], gr.Request(session_hash="real"))
        assert isinstance(act(*given), part.Written)
    given, *_ = special_args(part.write_on, [work, 3, *fields], gr.Request(session_hash="real"))
    assert len(list(part.write_on(*given))[-1][0].ids) == 3
