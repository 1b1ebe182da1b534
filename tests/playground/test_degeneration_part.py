"""The degeneration experiment in the page: its numbers are the library's, Stop keeps them, any value is answered."""

import json
from dataclasses import replace

import gradio as gr
import numpy as np
import pytest

from core import load
from core.decode.presets import PRESETS
from core.errors import TextError
from core.evaluate.experiment import cases_from_text, experiment
from playground.guard import limited
from playground.site import OWN, PUBLIC, on
from playground.tabs.decoding import degeneration, prompts
from playground.tabs.decoding.settings import for_model
from playground.tabs.decoding.work import Work
from tests.playground.views.test_attention_views import unpacked

PAGE = gr.Request(session_hash="page")
GPT, TRANSLATOR = Work("tiny-gpt", ""), Work("tiny-transformer", "")
TEXT = "The function returns what light is this, and a cup of coffee for Romeo. " * 8
FEW = ("greedy", "top-p")


def asked(work=GPT, source="text", typed="", text=TEXT, data="", names=FEW, count=3, prompt=4, new=6, seed=1):
    return degeneration.run_experiment(PAGE, work, source, typed, text, data, list(names), count, prompt, new, seed)


def last(*given, **named):
    *_, end = asked(*given, **named)
    return end


def table(end):
    figure = json.loads(end[1])
    return [dict(zip(figure["columns"], row)) for row in figure["numbers"]]


def test_the_numbers_are_those_of_the_library(runs):
    run = load("tiny-gpt")
    cases = cases_from_text(run, TEXT, 3, 4, 6)
    columns = [
        (PRESETS[name].title, for_model(replace(PRESETS[name].config, seed=1), run.config.decode)) for name in FEW
    ]
    *_, found = experiment(run, cases, columns, 6)
    message, measures, curves, texts, start, stop = last()
    assert message == "" and start.visible and not stop.visible
    figure = json.loads(measures)
    assert figure["rows"] == ["Greedy", "Top-p 0.9"]
    panels = {panel["title"]: panel for panel in figure["panels"]}
    human, greedy, drawn = (column.measures for column in found.columns)
    for title, name, scale in (
        ("Perplexity", "perplexity", 1),
        ("Zipf exponent", "zipf", 1),
        ("Looping, %", "looping", 100),
    ):
        expected = [scale * getattr(measured, name) for measured in (greedy, drawn)]
        np.testing.assert_allclose(unpacked(panels[title]["values"]), expected, rtol=1e-6)
        assert panels[title]["human"] == pytest.approx(scale * getattr(human, name))
    rows = table(last())
    assert [row["texts by"] for row in rows] == ["Human", "Greedy", "Top-p 0.9"]
    for row, measured in zip(rows, (human, greedy, drawn)):
        assert row["tokens"] == measured.tokens and row["seq-rep-4"] == pytest.approx(measured.repeated[4])
    lines = json.loads(curves)["lines"]
    for line, column in zip(lines, found.columns):
        np.testing.assert_allclose(unpacked(line["y"]), column.curve, rtol=1e-6)
    assert texts.count("<details") == 3 and texts.count("<tr>") == 9


def test_prompts_are_typed_with_or_without_what_a_person_wrote(runs):
    typed = "To be\\nor not\tto be\n<b>x</b>\tand <i>y</i>"
    end = last(source="typed", typed=typed)
    assert [row["texts by"] for row in table(end)][0] == "Human" and "To be\nor not" in end[3]
    assert "&lt;b&gt;" in end[3] and "<b>x" not in end[3] and "<i>" not in end[3]
    end = last(source="typed", typed="one\n\ntwo")
    assert [row["texts"] for row in table(end)] == [2, 2] and "no line to compare" in json.loads(end[1])["note"]
    end = last(TRANSLATOR, source="typed", typed="coffee\tコーヒー")
    assert {"BLEU", "chrF"} <= {panel["title"] for panel in json.loads(end[1])["panels"]}


def test_built_in_data_knows_what_people_wrote(runs):
    for work, data in ((GPT, "builtin:pydocs"), (GPT, "builtin:repeats"), (TRANSLATOR, "builtin:enja")):
        rows = table(last(work, source="data", data=data, names=["greedy"], new=3))
        assert [row["texts by"] for row in rows] == ["Human", "Greedy"] and rows[0]["texts"] == 3


def test_stop_and_the_end_of_the_time_keep_what_there_is(runs):
    def begun():
        steps = asked(names=["greedy", "top-p", "top-k"], new=30)
        for step in steps:
            if isinstance(step[1], str) and step[1] and "Greedy" in json.loads(step[1])["rows"]:
                return steps
        raise AssertionError("it ended before")

    steps = begun()
    degeneration.stop_experiment(PAGE)
    *_, end = steps
    assert "Stopped by you" in end[0] and "Greedy" in [row["texts by"] for row in table(end)] and end[4].visible
    end = begun().throw(TextError("The time is over."))
    assert "The time is over." in end[0] and "notice-info" in end[0] and len(table(end)) >= 2
    (*_, end) = limited(asked(new=30), replace(PUBLIC, seconds=0.01))
    assert "as long as this page works" in end[0] and end[4].visible


@pytest.mark.parametrize("wrong", [None, "", "x", -1, 0, 10**9, 1.5e300, float("nan"), [], {}, True, "٣"])
def test_any_value_from_anybody_is_answered(runs, wrong):
    for name in ("source", "typed", "text", "data", "names", "count", "prompt", "new", "seed"):
        if name == "names" and not isinstance(wrong, list):
            end = list(degeneration.run_experiment(PAGE, GPT, "text", "", TEXT, "", wrong, 1, 4, 2, 0))[-1]
        else:
            end = last(**{"new": 2, "count": 1, "names": ["greedy"], name: wrong})
        assert len(end) == 6 and end[4].visible and (end[1] or "notice-error" in end[0])


def test_what_cannot_be_is_one_sentence(runs):
    def told(**named):
        message, *pictures, _, _ = last(**named)
        assert pictures == ["", "", ""]
        return message

    assert "No model" in told(work=Work("", "")) or "no trained model" in told(work=Work("", ""))
    assert "There is no preset" in told(names=["nope"]) and "leave it out" in told(names=["assisted"])
    assert "give a longer text" in told(text="short") and "There is no text" in told(text=" ")
    assert "There are no prompts" in told(source="typed", typed="\n \n") and "translates" in told(work=TRANSLATOR)
    assert "raise that" in told(source="typed", typed="a\nb\nc\nd") and "for all, or none" in told(
        source="typed", typed="a\tb\nc"
    )
    assert "data set of the list" in told(source="data", data="/etc/passwd")
    of_translators = prompts.cases_of(load("tiny-gpt"), "data", "", "", "builtin:enja", 2, 3, 3)
    assert len(of_translators) == 2, "the page has the list of the model before: the first of this one's is taken"
    with on(PUBLIC):
        assert "from 1 to 120" in told(new=121) and "from 1 to 16" in told(count=17)
    assert "nope" in told(work=Work("nope", ""))


def test_another_model_clears_what_was_of_the_one_before(runs):
    about, source, typed, _, data, *results = degeneration.suit_model(GPT, None, "")
    assert results == [""] * 4 and source == "typed" and typed.value == prompts.example_prompts(load("tiny-gpt"))
    assert degeneration.suit_model(GPT, about, "") == [gr.skip()] * 9
    _, source, other, _, data, *_ = degeneration.suit_model(TRANSLATOR, about, typed.value)
    assert source == "data" and data.value == "builtin:enja" and other.value != typed.value
    assert degeneration.suit_model(TRANSLATOR, about, "my own")[2].value == "my own"
    with gr.Blocks():
        part = degeneration.build(OWN, GPT)
    assert len(part.views) == 9
