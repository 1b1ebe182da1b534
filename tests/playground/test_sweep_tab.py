"""The sweeps of the Training tab, as functions of what the page holds."""

import gradio as gr
import pytest

from core.config import RunConfig
from core.run import Status
from core.sweep import SweepSpec
from playground.sweep_files import create_sweep, read_sweep
from playground.tabs import sweep

AXES = {"seed": "1,2,3"}


@pytest.fixture
def tab(no_runs):
    with gr.Blocks() as demo:
        tab = sweep.build()
        sweep.wire(tab)
        tab.on_load(demo)
    tab.demo = demo
    return tab


def handler(tab, name):
    return next(block.fn for block in tab.demo.fns.values() if block.name == name)


def values(tab):
    return [component.value for component in tab.reckoned]


def test_it_tells_the_cost_before_the_start(tab):
    told = tab.reckon(*values(tab))
    assert "4 trials" in told and "4 × 80 + 2 × 40 + 1 × 120 steps" in told
    changed = values(tab)
    changed[tab.reckoned.index(tab.values[0])] = "1e-3, fast"
    assert 'role="alert"' in tab.reckon(*changed) and "must be a number" in tab.reckon(*changed)


def test_start_makes_the_sweep_and_follows_it(tab, monkeypatch):
    started = []
    monkeypatch.setattr("playground.sweeps._start", lambda made: started.append(made.name))
    message, follow, name, status, plot, table, stop, *_ = handler(tab, "start")("first", *values(tab))
    assert started == ["first"] and "first is starting" in message and follow["value"] == "first"
    assert (name["value"], name["placeholder"]) == ("", "sweep-1")
    made = read_sweep("first")
    assert len(made.trials) == 4 and made.spec.config.data.name == "builtin:enja" and made.rungs == [80, 120, 240]
    assert "first-04" in table and stop["interactive"] is True and "rung 1 of 3" in status
    assert handler(tab, "start")(" ", *values(tab))[1]["value"] == "sweep-1"  # the name that was offered
    again = handler(tab, "start")("first", *values(tab))
    assert "already a sweep" in again[0] and all(part == gr.skip() for part in again[1:])
    assert "cannot be a run" in handler(tab, "start")("../x", *values(tab))[0]
    assert started == ["first", "sweep-1"]


def test_another_form_can_say_what_is_trained(no_runs, monkeypatch):
    config = RunConfig().with_overrides(["train.max_steps=50", "train.val_every=10"])
    with gr.Blocks():
        width = gr.Number(64)
        tab = sweep.build(own_preset=False)
        sweep.wire(tab, inputs=[width], base=lambda value: config.with_overrides([f"model.d_model={value}"]))
    assert tab.reckoned[0] is width
    told = tab.reckon(64, "grid", None, False, None, None, "val_loss", "seed", "1,2", None, "", None, "")
    assert "2 trials" in told and "2 × 50 steps" in told


def test_what_is_followed(no_runs):
    made = create_sweep(SweepSpec(RunConfig(), AXES), "s")
    status, plot, table, stop, resume, timer, seen = sweep._show("s")
    assert "s-03" in table and stop["interactive"] is True and timer.active
    Status(state="cancelled", message="stopped").write(made.directory)
    shown = sweep._show("s")
    assert shown[3]["interactive"] is False and shown[4]["interactive"] is True and not shown[5].active
    assert sweep.look("s", shown[-1]) == [gr.skip()] * 7  # nothing new
    changed = sweep.look("s", seen)
    assert "stopped" in changed[0] and changed[1] == gr.skip()  # no trial has moved: the plot stays
    made.trials[1].state, made.trials[1].value, made.trials[1].step = "done", 1.5, 7
    made.save()
    assert len(sweep.look("s", shown[-1])[1].data) == 1


def test_none_and_broken_ones_are_sentences(no_runs):
    assert "No sweep is followed" in sweep._show(None)[0]
    assert "There is no sweep" in sweep._show("nope")[0] and 'role="alert"' in sweep._show("../../etc")[0]
    made = create_sweep(SweepSpec(RunConfig(), AXES), "s")
    (made.directory / "sweep.json").write_text("{")
    assert "not valid JSON" in sweep._show("s")[0]
    assert "not valid JSON" in sweep.stop("s") and "not valid JSON" in sweep.resume("s")[0]
    assert sweep.arrive()[-1] == "s" and sweep.arrive()[0]["choices"] == ["s"]


def test_stop_and_resume(no_runs, monkeypatch):
    started = []
    monkeypatch.setattr("playground.sweeps._start", lambda made: started.append(made.name))
    made = create_sweep(SweepSpec(RunConfig(), AXES), "s")
    assert "running already" in sweep.resume("s")[0]
    assert "stops after this step" in sweep.stop("s") and (made.directory / "stop").exists()
    Status(state="cancelled").write(made.directory)
    assert "not running" in sweep.stop("s")
    assert "s goes on" in sweep.resume("s")[0] and started == ["s"]
    assert sweep.unused_name() == "sweep-1"


def test_help_follows_the_kind():
    assert "log:1e-4" in sweep.show_kind("random")[1] and sweep.show_kind("grid")[0]["visible"] is False
