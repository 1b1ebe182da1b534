"""The followed run: on arrival, as it grows, compared with others, paused, stopped and resumed."""

import os

import gradio as gr
import pytest

from core.config import RunConfig
from core.files import append_jsonl, read_json, write_json
from core.presets import preset
from core.run import Status, create_run, read_status
from playground.jobs import LocalBackend
from playground.tabs import training, training_runs, training_shown
from playground.tabs.training_follow import pause_or_go_on, resume_run, stop_training
from playground.tabs.training_shown import SHOWN, first_run, follow_run

LOOKS = ([], "loss", "step", 0.0, False)


def named(values):
    return dict(zip(SHOWN, values))


def tick(name, seen, looks=LOOKS, held=False):
    """(values of the followed run by name, choices of runs, of models, table)"""
    *drawn, follow, compare, models, table, steps, rate, cost, message = training.tick(name, *looks, held, seen)
    return named(drawn), follow, models, table


def went_on(name, steps, rate):
    """What is shown in the end of a run that was asked to go on."""
    return list(resume_run(name, steps, rate, *LOOKS))[-1]


@pytest.fixture
def followed(runs, tmp_path, monkeypatch):
    """A run that is training, as far as its files say."""
    monkeypatch.setenv("RUNS_DIR", str(tmp_path / "runs"))
    directory = create_run(preset("demo"), "live")
    Status(state="running", pid=os.getpid(), step=10, steps=300, eta=60.0).write(directory)
    append_jsonl(directory / "metrics.jsonl", {"step": 10, "loss": 6.0, "lr": 0.1, "tokens_per_second": 100.0})
    return directory


def test_on_arrival_what_trains_is_shown(followed):
    follow, compare, name, _, offered = training.arrive("tiny-gpt")
    shown, table = named(follow_run(offered, *LOOKS)), training_runs.table_html(offered)
    assert offered == "live" and name["placeholder"] == "demo-1" and "10 of 300" in shown["status"]
    assert "value" not in follow and "live" in dict(map(reversed, follow["choices"]))
    assert list(shown["plot"].data[0].y) == [6.0] and shown["stop"]["visible"] and shown["timer"].active
    assert shown["pause"] == gr.update(visible=True, value="Pause") and 'data-run="live"' in table


def test_a_look_draws_only_what_has_changed(followed):
    seen = named(follow_run("live", *LOOKS))["seen"]
    assert all(value == gr.skip() for value in training.tick("live", *LOOKS, False, seen))
    append_jsonl(followed / "samples.jsonl", {"step": 10, "samples": [{"prompt": "p", "output": "o"}]})
    shown, *lists = tick("live", seen)
    assert shown["plot"] == gr.skip() == shown["table"] and "step 10" in shown["samples"]
    assert all(value == gr.skip() for value in lists)
    append_jsonl(followed / "metrics.jsonl", {"step": 20, "loss": 5.0, "lr": 0.1})
    shown, *_ = tick("live", shown["seen"])
    assert list(shown["plot"].data[0].y) == [6.0, 5.0] and shown["samples"] == gr.skip()
    append_jsonl(followed / "metrics.jsonl", {"step": 20, "val_loss": 4.5})
    shown, follow, _, table = tick("live", shown["seen"])
    assert "4.500" in table and follow == gr.skip()  # the best loss in the list of runs


def test_a_plot_is_not_drawn_anew_under_the_hand(followed):
    seen = named(follow_run("live", *LOOKS))["seen"]
    append_jsonl(followed / "metrics.jsonl", {"step": 20, "loss": 5.0, "lr": 0.1})
    Status(state="running", pid=os.getpid(), step=20, steps=300).write(followed)
    shown, *_ = tick("live", seen, held=True)
    assert shown["plot"] == gr.skip() and "20 of 300" in shown["status"]
    shown, *_ = tick("live", shown["seen"])  # it is let go of
    assert list(shown["plot"].data[0].y) == [6.0, 5.0]


def test_a_run_that_is_done_appears_in_the_header_and_is_looked_at_no_more(followed, small_runs):
    seen = named(follow_run("live", *LOOKS))["seen"]
    for name in ("model.safetensors", "tokenizer.json"):
        (followed / name).write_bytes((small_runs / "tiny-gpt" / name).read_bytes())
    Status(state="done", step=300, steps=300).write(followed)
    shown, follow, models, table = tick("live", seen)
    assert not shown["timer"].active and ("live · own", "live") in models["choices"]
    assert any(label == "live · done" for label, _ in follow["choices"]) and ">done<" in table
    assert not shown["stop"]["visible"] and not shown["pause"]["visible"]


def test_a_run_that_is_deleted_while_it_is_followed_is_followed_no_more(followed):
    seen = named(follow_run("live", *LOOKS))["seen"]
    (followed / "config.json").unlink()
    shown, *_ = tick("live", seen)
    assert "No run is followed" in shown["status"] and not shown["timer"].active


def test_the_headers_run_is_shown_when_nothing_trains(runs):
    append_jsonl(runs / "tiny-gpt" / "metrics.jsonl", {"step": 1, "val_loss": 3.0})
    assert first_run("tiny-gpt") == "tiny-gpt" == first_run("tiny-llama")


def test_nothing_trained_yet(no_runs):
    *_, name, _, offered = training.arrive(None)
    shown, table = named(follow_run(offered, *LOOKS)), training_runs.table_html(offered)
    assert offered is None and name["placeholder"] == "demo-1" and "No run is followed" in shown["status"]
    assert "first step" in shown["plot"].layout.annotations[0].text and "no runs yet" in table


def test_a_broken_run_does_not_break_the_list(runs, tmp_path, monkeypatch):
    monkeypatch.setenv("RUNS_DIR", str(tmp_path))
    (tmp_path / "bad").mkdir()
    write_json(tmp_path / "bad" / "config.json", {"modle": {}})
    (tmp_path / "bad" / "status.json").write_text("{")
    assert training_shown.run_choices() == [("bad · broken", "bad")]
    assert "bad" in follow_run("bad", *LOOKS)[0]
    assert "broken" in training.training_runs.table_html("bad")
    assert follow_run("bad", ["bad", "gone"], *LOOKS[1:])


# ------------------------------------------------------------------------------------------------------- compared


def test_runs_are_laid_over_each_other_with_what_differs(followed):
    other = create_run(preset("demo").with_overrides(["optim.learning_rate=0.001"]), "other")
    Status(state="done", steps=300).write(other)
    for line in ({"step": 10, "loss": 7.0, "lr": 0.1}, {"step": 10, "val_loss": 6.5}):
        append_jsonl(other / "metrics.jsonl", line)
    append_jsonl(followed / "metrics.jsonl", {"step": 10, "val_loss": 5.5})
    shown = named(follow_run("live", ["other", "live", "not-there"], *LOOKS[1:]))
    assert {trace.legendgroup for trace in shown["plot"].data if trace.legendgroup} == {"live", "other"}
    assert "optim.learning_rate" in shown["table"] and "5.5000 at step 10" in shown["table"]
    assert "model.d_model" not in shown["table"]
    assert shown["timer"].active
    # The one that trains is looked at too when it is not the followed one.
    assert named(follow_run("other", ["live"], *LOOKS[1:]))["timer"].active
    assert not named(follow_run("other", *LOOKS))["timer"].active


def test_another_chart_is_drawn_at_once(followed):
    figure = training_shown.draw("live", [], "speed", "step", 0.0, True)
    assert list(figure.data[0].y) == [100.0] and figure.layout.yaxis.type == "log"


# --------------------------------------------------------------------------------------------------------- wishes


def test_pause_and_go_on(followed):
    assert "pauses after this step" in pause_or_go_on("live") and (followed / "pause").exists()
    shown = named(follow_run("live", *LOOKS))
    assert shown["pause"]["value"] == "Continue" and "pausing after this step" in shown["status"]
    Status(state="paused", pid=os.getpid(), step=10, steps=300).write(followed)
    assert ">paused<" in named(follow_run("live", *LOOKS))["status"]
    assert "goes on" in pause_or_go_on("live") and not (followed / "pause").exists()


@pytest.mark.parametrize("name", [None, "nope", "../x"])
def test_wishes_without_a_run_are_one_sentence(no_runs, name):
    for wish in (stop_training, pause_or_go_on, lambda name: list(resume_run(name, 10, 0.1, *LOOKS))[-1][0]):
        assert 'role="alert"' in wish(name)


def test_a_run_goes_on_with_other_steps_and_another_rate(followed, monkeypatch):
    started = []
    monkeypatch.setattr(
        LocalBackend, "_start", lambda self, directory, *options: started.append((directory.name, options))
    )
    assert "training already" in went_on("live", 500, 1e-4)[0] and not started
    Status(state="cancelled", step=10, steps=240).write(followed)
    (followed / "checkpoints").mkdir()
    (followed / "checkpoints" / "last.ckpt").write_bytes(b"")
    *shown, steps, rate, cost = follow_run("live", *LOOKS)
    assert named(shown)["rest"]["visible"] and (steps, rate, cost) == (240, 3e-3, "")
    assert "whole number" in went_on("live", 0, 1e-4)[0] and not started
    said, *_ = went_on("live", 500, 1e-4)
    assert "goes on from its last checkpoint" in said and started == [("live", ("--resume",))]
    config = RunConfig.from_dict(read_json(followed / "config.json"))
    assert (config.train.max_steps, config.optim.learning_rate) == (500, 1e-4)
    assert config.model == preset("demo").model


def test_a_run_that_made_all_its_steps_needs_more_to_go_on(followed):
    Status(state="done", step=240, steps=240).write(followed)
    before = (followed / "config.json").read_bytes()
    assert "give it more steps" in went_on("live", 240, 1e-4)[0]
    assert (followed / "config.json").read_bytes() == before and read_status(followed).state == "done"
    assert follow_run("live", *LOOKS)[-3] == 480  # what is proposed


def test_what_is_typed_to_go_on_with_stays_while_the_run_is_as_it_was(followed, runs):
    Status(state="done", step=240, steps=240).write(followed)
    seen = named(follow_run("live", *LOOKS))["seen"]
    assert follow_run("live", ["tiny-gpt"], *LOOKS[1:], seen)[-3:] == [gr.skip()] * 3  # one more is compared
    assert follow_run("tiny-gpt", *LOOKS, seen)[-3] != gr.skip()
    Status(state="cancelled", step=260, steps=300).write(followed)
    assert follow_run("live", *LOOKS, seen)[-3] == 480
