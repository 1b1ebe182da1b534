"""The parts of the Internals tab on small models: the functions' own numbers, and any value from anybody."""

import json
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest

from core.analysis.ablation import ablated, head_importance, token_losses
from core.analysis.attribution import attribute, by_key
from core.analysis.lens import lens as lens_of
from core.analysis.lens import stream_norms
from core.analysis.reading import token_names
from core.errors import TextError
from playground import models, readings
from playground.memory import Memory
from playground.readings import Work, reading_of
from playground.site import PUBLIC
from playground.tabs.internals import ablation, attribution, choosing, lens
from tests.playground.views.test_attention_views import unpacked

TEXT = "I'd like a cup of coffee."
NAMES = ["tiny-transformer", "tiny-gpt", "tiny-llama"]
WRONG = [None, "", "x", "-1", "9" * 40, "٣", "1.5", 7, -1, [], {}, "..", "1.2.3.4", "#", "#-1", "#99999", True, 1e99]


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(readings, "_kept", Memory(maximum=9, max_size=2**28, size=lambda kept: kept.nbytes, each=4))


def event(**data):
    return SimpleNamespace(_data=data)


# ---- lens


@pytest.mark.parametrize("name", NAMES)
def test_the_lens_is_that_of_the_reading(runs, name):
    work = Work(name, TEXT)
    message, part, text = lens.show(work, "", "")
    figure, reading = json.loads(text), reading_of(work)
    found = lens_of(reading, top=lens.TOP)
    assert message == "" and not part.visible
    assert np.array(figure["ids"])[unpacked(figure["top"])].tolist() == found.ids.tolist()
    np.testing.assert_allclose(unpacked(figure["entropy"]), found.entropy, atol=1e-5)
    np.testing.assert_allclose(unpacked(figure["stream"]), stream_norms(reading).stream, rtol=1e-5)
    assert figure["read"] == reading.names and figure["written"] == reading.written
    assert [name or "…" for name in figure["followed"]] == reading.written  # of a translation without an end nothing


def test_a_token_that_is_followed(runs):
    work = Work("tiny-gpt", TEXT)
    reading = reading_of(work)
    id = reading.ids[3]
    name = token_names(reading.run.tokenizer, [id])[0]
    for typed in (name, f"#{id}"):
        figure = json.loads(lens.show(work, typed, "")[2])
        assert figure["follows"] == name
        np.testing.assert_allclose(
            unpacked(figure["followed_logprob"]), lens_of(reading, token=id).followed_logprob, atol=1e-5
        )
    for wrong in ("zq zq zq", "#9999999", "#" + "9" * 99):
        message, _, text = lens.show(work, wrong, "")
        assert "notice" in message and json.loads(text)["follows"] == ""


def test_a_long_text_in_parts(runs, monkeypatch):
    work = Work("tiny-gpt", "coffee " * 60)
    reading = reading_of(work)
    assert len(reading.ids) == 48
    monkeypatch.setattr(lens, "PRODUCTS", 0)  # sixteen positions at a time
    _, part, text = lens.show(work, "", lens.LAST)
    assert part.visible and json.loads(text)["positions"] == list(range(32, 48))
    seen = []
    for _, value in lens.parts(reading):
        seen += json.loads(lens.show(work, "", value)[2])["positions"]
    assert set(seen) == set(range(48))
    for wrong in WRONG:
        assert json.loads(lens.show(work, "", wrong)[2])["positions"] == list(range(32, 48))


# ---- which logit


@pytest.mark.parametrize("name", NAMES)
def test_a_place_names_a_logit_and_nonsense_names_the_usual_one(runs, name):
    reading = reading_of(Work(name, TEXT))
    last = len(reading.ids) - 1
    assert choosing.choice_of(reading, "2.7.mean") == (2, 7, "mean")
    assert choosing.choice_of(reading, "0..9") == (0, None, 9)
    for wrong in (*WRONG, f"{last + 1}.{reading.model.config.vocab_size}.{10**9}"):
        choice = choosing.choice_of(reading, wrong)
        assert 0 <= choice.position <= last
        attribute(reading, *choice)


def test_typed_tokens(runs):
    reading = reading_of(Work("tiny-gpt", TEXT))
    tokenizer = reading.run.tokenizer
    for id in {*reading.ids[1:], 0, 1, 2}:
        name = token_names(tokenizer, [id])[0]
        if len(tokenizer.encode(choosing.from_signs(name)).ids) == 1 or id in tokenizer.special_ids:
            assert choosing.typed_token(reading, name) == id
        assert choosing.typed_token(reading, f"#{id}") == id
    for wrong in ("two words that are many", "#-1", f"#{tokenizer.vocab_size}", "", "#" + "1" * 500):
        with pytest.raises(TextError):
            choosing.typed_token(reading, wrong)


def test_fields_become_a_place(runs):
    work = Work("tiny-gpt", TEXT)
    last = len(reading_of(work).ids) - 1
    assert attribution.choose_logit(work, "", "2", "#7", "#mean") == ("", "2..mean")  # moved: the model's own token
    assert attribution.choose_logit(work, "2..", "2", "#7", "#9") == ("", "2.7.9")
    assert attribution.choose_logit(work, "2.7.9", "last", "#7", "#none") == ("", "..")
    assert attribution.choose_logit(work, f"{last}..", "last", "#7", "#none") == ("", ".7.")
    for wrong in WRONG:
        message, place = attribution.choose_logit(work, "2..", wrong, wrong, wrong)
        assert isinstance(message, str)
        attribution.show(work, place if isinstance(place, str) else "")
    assert "notice" in attribution.choose_logit(work, "", "last", "no such token at all", "#none")[0]
    assert attribution.pick_in_lens("old", event(position=3, token=5)) == "3.5."
    for data in ({}, {"position": -1, "token": 2}, {"position": "1", "token": 2}, {"position": 1}, {"position": 1.5}):
        assert attribution.pick_in_lens("old", event(**data)) == gr.skip()
    assert attribution.pick_in_lens("old", SimpleNamespace(_data="x")) == gr.skip()


# ---- attribution


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("place", ["", "2.7.", "1.5.9", "0..mean"])
def test_the_parts_are_those_of_the_logit(runs, name, place):
    work = Work(name, TEXT)
    message, position, token, other, bars, heads, keys = attribution.show(work, place)
    reading = reading_of(work)
    choice = choosing.choice_of(reading, place)
    found = attribute(reading, *choice)
    values = unpacked(json.loads(bars)["values"])[:, 0]
    np.testing.assert_allclose(values, [part.value for part in found.parts], rtol=1e-5, atol=1e-6)
    assert float(values.sum()) == pytest.approx(found.logit, abs=1e-4)
    assert message == keys == "" and json.loads(heads)["kind"] == "heatmap"
    for field in (position, token, other):
        assert field.value in [value for _, value in field.choices]


@pytest.mark.parametrize("name", NAMES)
def test_a_head_that_is_chosen_shows_where_it_read(runs, name):
    work = Work(name, TEXT)
    reading = reading_of(work)
    found = attribute(reading)
    row, part = next((i, p) for i, p in enumerate(found.parts) if p.kind == "head" and (p.layer, p.head) == (1, 2))
    bars, keys = attribution.choose_part(work, "", event(row=row))
    assert json.loads(bars)["chosen"] == row
    shares = by_key(reading, part.attention, 1, 2)
    np.testing.assert_allclose(unpacked(json.loads(keys)["values"])[:, 0], shares, rtol=1e-5, atol=1e-6)
    assert shares.sum() == pytest.approx(part.value, abs=1e-5)
    columns = attribution.map_columns(found)
    column = [(kind, head) for _, kind, head in columns].index((part.attention, 2))
    assert attribution.choose_cell(work, "", event(row=1, column=column)) == (bars, keys)
    for wrong in (0, -1, 10**9, "1", None, 1.5, []):
        assert attribution.choose_part(work, "", event(row=wrong)) == (gr.skip(), gr.skip())
    for wrong in ((1, len(columns) - 1), (99, 0), (0, -1), (True, []), ("0", "0"), (0, 10**9), (None, None)):
        given = event(row=wrong[0], column=wrong[1])
        assert attribution.choose_cell(work, "", given) == (gr.skip(), gr.skip())


# ---- ablation


def test_switches_that_are_named(runs):
    reading = reading_of(Work("tiny-transformer", TEXT))
    names, heads, networks = ablation.units(
        reading,
        "self.1.2,cross.3.4,encoder.2.1,mlp.3.1,encoder mlp.2.1,self.1.2,encoder.3.1,self.1.5,mlp.1.2,x,self.0.1",
    )
    assert names == ["self.1.2", "cross.3.4", "encoder.2.1", "mlp.3.1", "encoder mlp.2.1"]
    assert heads == [("self", 0, 1), ("cross", 2, 3), ("encoder", 1, 0)]
    assert networks == [("decoder", 2), ("encoder", 1)]
    for wrong in (*WRONG, "self.1.1," * 100_000):
        assert len(ablation.units(reading, wrong)[0]) <= 1
    assert ablation.units(reading_of(Work("tiny-gpt", TEXT)), "cross.1.1,encoder mlp.1.1") == ([], [], [])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("how", ["zero", "mean"])
def test_before_and_after_are_the_models_own(runs, name, how):
    work, off = Work(name, TEXT), "self.1.2,self.2.1,mlp.2.1"
    message, outcome, following, losses, switches, progress = ablation.show(work, off, how, None, None)
    reading = reading_of(work)
    changed = ablated(reading.model, [("self", 0, 1), ("self", 1, 0)], [("decoder", 1)], how, reading)
    values = unpacked(json.loads(losses)["values"])
    np.testing.assert_allclose(values[:, 0], token_losses(reading), atol=1e-5)
    np.testing.assert_allclose(values[:, 1], token_losses(reading, changed), atol=1e-5)
    assert message == progress == "" and "After: 3 switched off" in outcome
    assert json.loads(switches)["off"] == off.split(",")
    ids = ablation.compare_parts(work, off, how, 1)
    assert "(position 1)" in json.loads(ids[2])["subtitle"] and json.loads(following)["series"] == ["before", "after"]


def test_each_part_alone_with_progress_and_stop(runs):
    work, page = Work("tiny-transformer", TEXT), SimpleNamespace(session_hash="page")
    steps = list(ablation.switch_each(work, "self.1.1", "zero", page))
    measured = steps[-1][3]
    reading = reading_of(work)
    assert set(measured[1]) == {"cross", "encoder", "self", "mlp", "encoder mlp"}
    for kind in reading.kinds:
        np.testing.assert_allclose(measured[1][kind], head_importance(reading, kind), atol=1e-6)
    assert not np.isnan(measured[1]["encoder mlp"]).any() and "each alone" in steps[-1][1]
    figure = json.loads(steps[-1][2])
    assert figure["off"] == ["self.1.1"] and all("changes" in block for block in figure["blocks"])
    # Opened again, the part shows them still; with other text, or another way, it does not.
    assert json.loads(ablation.show(work, "", "zero", None, measured)[4])["blocks"][0]["changes"]
    for other, how in ((work._replace(text="Other."), "zero"), (work, "mean")):
        assert "changes" not in json.loads(ablation.show(other, "", how, None, measured)[4])["blocks"][0]
    going = ablation.switch_each(work, "", "zero", page)
    next(going)
    ablation.stop_switching(page)  # before its first part: nothing to be stopped yet
    ablation._running._jobs.clear()
    half = ablation.switch_each(work, "", "zero", page)
    next(half)
    ablation.EVERY, before = 0.0, ablation.EVERY
    next(half)
    ablation.stop_switching(page)
    *_, last = half
    ablation.EVERY = before
    assert "then it was stopped" in last[1] and np.isnan(last[3][1]["mlp"]).all()


def test_any_switch_from_anybody(runs):
    work = Work("tiny-gpt", TEXT)
    for wrong in WRONG:
        message, *_ = ablation.show(work, wrong, wrong, wrong, wrong)
        assert message == ""
        assert isinstance(ablation.name_switched("self.1.1", event(off=wrong)), str)
        ablation.look_behind(0, event(row=wrong))
    assert ablation.name_switched("old", event(off=["self.1.2", "<b>", 7, None, "mlp.1.1"])) == "self.1.2,mlp.1.1"
    assert ablation.name_switched("old", SimpleNamespace(_data=None)) == "old"
    assert ablation.look_behind(3, SimpleNamespace(_data=[])) == 3
    assert len(ablation.name_switched("", event(off=["self.1.1"] * 10**6))) < 100_000


def test_a_text_without_a_token_to_predict(runs):
    work = Work("tiny-gpt", "")
    message, outcome, *_ = ablation.show(work, "self.1.1", "zero", None, None)
    assert message == "" and "no token to predict" in outcome
    (only,) = ablation.switch_each(work, "", "zero", SimpleNamespace(session_hash="p"))
    assert "longer text" in only[0]


@pytest.mark.parametrize("work", [Work("", "x"), Work("no-such", "x"), Work("tiny-transformer", "  ")])
def test_without_a_model_or_a_text_there_is_one_sentence(runs, work):
    for shown in (lens.show(work, "", ""), attribution.show(work, ""), ablation.show(work, "", "zero", None, None)):
        assert "notice-error" in shown[0] and "" in shown[1:]
    assert "notice" in attribution.choose_logit(work, "", "last", "#own", "#none")[0]
    assert attribution.choose_part(work, "", event(row=1)) == (gr.skip(), gr.skip())
    *_, last = ablation.switch_each(work, "", "zero", SimpleNamespace(session_hash="p"))
    assert "notice-error" in last[0]


def test_what_a_model_writes_is_written_once(runs, monkeypatch):
    calls = []
    real = ablation.write
    monkeypatch.setattr(ablation, "write", lambda *given: calls.append(1) or real(*given))
    monkeypatch.setattr(ablation, "_written", Memory(maximum=9))
    work = Work("tiny-gpt", TEXT)
    for off in ("", "self.1.1", "mlp.1.1"):
        ablation.compare_parts(work, off, "zero", None)
    assert len(calls) == 1
    models.get_run("tiny-gpt")


def test_parts_are_built_empty(runs):
    with gr.Blocks():
        for module in (lens, attribution, ablation):
            part = module.build(PUBLIC, Work("tiny-gpt", TEXT))
            module.wire(part, gr.State(None))
            assert all(not getattr(view, "value", "") for view in part.views)
