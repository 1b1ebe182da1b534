"""The Beam tree part: the figure is the search that `generate` makes, with its sums and scores; stops; odd settings."""

import json
from types import SimpleNamespace

import gradio as gr
import pytest

from core.decode import generate
from core.decode.config import GenerationConfig
from core.run import load
from playground.site import PUBLIC, on
from playground.tabs.decoding import tree as part
from playground.tabs.decoding.work import Work

PAGE = SimpleNamespace(session_hash="page")
# beams, longest, length penalty, formula, when it ends, groups, diversity penalty, no repeated n-grams
SETTINGS = (4, 8, 1.0, "hf", "false", 1, 0.5, 0)


def pictures(name="tiny-gpt", text="ROMEO: a cup", settings=SETTINGS):
    return list(part.grow_tree(PAGE, Work(name, text), *settings))


@pytest.mark.parametrize("name", ["tiny-gpt", "tiny-transformer"])
@pytest.mark.parametrize(
    "changed, config",
    [
        ({}, {}),
        ({2: 0.0}, {"length_penalty": 0.0}),
        ({2: 0.6, 3: "gnmt"}, {"length_penalty": 0.6, "length_penalty_formula": "gnmt"}),
        ({4: "true", 7: 2}, {"early_stopping": True, "no_repeat_ngram_size": 2}),
        ({5: 2}, {"strategy": "diverse_beam", "num_beam_groups": 2}),
    ],
    ids=str,
)
def test_the_figure_is_the_search(runs, name, changed, config):
    settings = [changed.get(place, value) for place, value in enumerate(SETTINGS)]
    message, figure, table = pictures(name, settings=settings)[-1]
    assert message == ""
    data = json.loads(figure)
    config = GenerationConfig(**{"strategy": "beam", **config}, num_beams=4, num_return_sequences=4, max_new_tokens=8)
    expected = generate(load(name), ["ROMEO: a cup"], config)[0]
    assert [data["ids"][place] for place in data["winner"]] == expected.ids
    last = data["winner"][-1]
    assert data["score"][last] == pytest.approx(expected.score, abs=1e-5) and data["state"][last] == 1
    assert data["why"] and data["why"][:40] in table.replace("&#x27;", "'")
    assert table.count("<tr>") == 1 + len(expected.hypotheses)
    for hypothesis in expected.hypotheses:
        assert f"{hypothesis.score:.4f}".replace("-", "−") in table
    for place, parent in enumerate(data["parent"]):
        assert data["step"][place] == (data["step"][parent] + 1 if parent >= 0 else 0)
        length = data["step"][place] + 1
        divisor = ((5 + length) / 6 if config.length_penalty_formula == "gnmt" else length) ** config.length_penalty
        assert data["score"][place] == pytest.approx(data["cumulative"][place] / divisor, abs=1e-5)
        assert parent < 0 or data["state"][parent] == 0, "only what was kept goes on"
    assert len(data["frames"]["labels"]) == 1 + max(data["step"])


def test_it_grows_and_is_stopped_within_a_step(runs, monkeypatch):
    monkeypatch.setattr(part, "EVERY", 0.0)
    steps = part.grow_tree(PAGE, Work("tiny-gpt", "ROMEO:"), 4, 30, 1.0, "hf", "never", 1, 0.5, 0)
    sizes = [max(json.loads(next(steps)[1])["step"]) for _ in range(3)]
    assert sizes == [0, 1, 2]
    part.stop_tree(PAGE)
    (last,) = list(steps)
    assert "Stopped by you" in last[0] and max(json.loads(last[1])["step"]) == 2
    assert json.loads(last[1])["winner"] == []


def test_a_newer_search_ends_an_older_one_quietly(runs, monkeypatch):
    monkeypatch.setattr(part, "EVERY", 0.0)
    older = part.grow_tree(PAGE, Work("tiny-gpt", "ROMEO:"), *SETTINGS)
    next(older)
    newer = part.grow_tree(PAGE, Work("tiny-gpt", "ROMEO:"), *SETTINGS)
    next(newer)
    assert list(older) == [] and json.loads(list(newer)[-1][1])["winner"]


@pytest.mark.parametrize("work", [Work("", "x"), Work("no-such-run", "x")], ids=str)
def test_what_cannot_be_searched_is_a_sentence(runs, work):
    ((message, figure, table),) = list(part.grow_tree(PAGE, work, *SETTINGS))
    assert "notice-error" in message and figure == table == ""


def test_nothing_to_translate(runs):
    message, figure, table = pictures("tiny-transformer", "  ")[-1]
    assert "Traceback" not in message and (figure == "" or json.loads(figure)["of"] == [])


@pytest.mark.parametrize("place", range(8))
@pytest.mark.parametrize("value", [None, float("nan"), "x", [], -5, 10**9, True, 3], ids=repr)
def test_settings_that_nobody_can_choose(runs, place, value):
    settings = [*SETTINGS[:1], 2, *SETTINGS[2:]]
    settings[place] = value
    last = pictures(settings=settings)[-1]
    assert len(last) == 3 and (last[1] or "notice-error" in last[0])


def test_groups_that_do_not_divide_the_beams_are_said(runs):
    assert "cannot be parted into 3 groups" in pictures(settings=(4, 8, 1.0, "hf", "false", 3, 0.5, 0))[-1][0]


def test_a_public_page_offers_less(runs):
    with on(PUBLIC):
        assert "2 to 6 beams" in pictures(settings=(12, *SETTINGS[1:]))[-1][0]
    with gr.Blocks():
        made = part.build(PUBLIC, Work("tiny-gpt", "x"))
    assert made.settings[0].maximum == PUBLIC.beams and len(made.settings) == len(SETTINGS)
    with on(PUBLIC):
        assert pictures(settings=[field.value for field in made.settings])[-1][1]
