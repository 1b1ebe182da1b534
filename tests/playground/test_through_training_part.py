"""The part "Through training": which run is watched on which text, its snapshots as linked figures, stopped halfway."""

import json
import shutil
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
import torch

from core.analysis.reading import read
from core.analysis.snapshots import own_target, snapshot_model, through_training
from core.files import append_jsonl, write_atomic
from core.model import build_model
from core.run import load, save_model
from playground.memory import Memory
from playground.readings import Work
from playground.site import OWN
from playground.tabs.attention import training as part
from tests.playground.conftest import make_run
from tests.playground.views.test_attention_views import unpacked

REQUEST = SimpleNamespace(session_hash="page")
STEPS = [5, 40, 300]
TEXT = "The cat sat. The cat sat."
WRITER = Work("writer", TEXT, None, "self", 1, 2)
TRANSLATOR = Work("translator", "I'd like coffee.", None, "cross", 0, 3)
NAMES = ["message", "run", "score", "curves", "grid", "map"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Runs with snapshots of other weights and figures of a training, and one without."""
    folder = tmp_path_factory.mktemp("watched")
    for name, family in (("writer", "gpt"), ("grouped", "llama"), ("translator", "transformer")):
        directory = make_run(name, family, folder, max_seq_len=160)
        config = load(str(directory)).config
        (directory / "snapshots").mkdir()
        for step in STEPS:
            torch.manual_seed(step)
            model = build_model(config.model)
            with torch.no_grad():
                for parameter in model.parameters():
                    if parameter.dim() == 2:
                        parameter.normal_(std=0.4)
            save_model(model, directory / f"snapshots/step-{step:06d}.safetensors", half=True)
        for step in (1, 5, 40, 150, 300):
            append_jsonl(directory / "metrics.jsonl", {"step": step, "loss": 5 - step / 100})
        append_jsonl(directory / "metrics.jsonl", {"step": 300, "val_loss": 2.5})
    make_run("plain", "gpt", folder)
    return folder


@pytest.fixture(autouse=True)
def here(folder, monkeypatch, tmp_path):
    monkeypatch.setenv("RUNS_DIR", str(folder))
    monkeypatch.setattr("core.run.BUNDLED", tmp_path / "bundled")
    monkeypatch.setattr(part, "_steps", Memory(maximum=100))
    monkeypatch.setattr(part, "ALIGNED", 3)


def shown(work, name="", score="", chosen=None):
    return dict(zip(NAMES, part.show(work, name, score, chosen)))


def figure(values, name):
    return json.loads(values[name])


@pytest.mark.parametrize("work", [WRITER, Work("grouped", TEXT, None, "self", 0, 1), TRANSLATOR], ids=lambda w: w.model)
def test_every_frame_is_a_snapshot(work):
    values, run = shown(work), load(work.model)
    examples = part.sentences()[:3] if run.is_translation else ()
    expected = list(through_training(run, work.text, work.kind, examples=examples))
    curves, grid, large = (figure(values, name) for name in NAMES[3:])
    for drawn in (curves, grid, large):
        assert drawn["frames"]["at"] == STEPS and drawn["frames"]["link"] == "through-training"
        assert drawn["frames"]["labels"] == ["step 5", "step 40", "step 300"]
    assert [f["frames"]["leads"] for f in (curves, grid, large)] == [True, False, False]
    assert large["values"]["frames"] and grid["small"]["frames"]
    maps = unpacked(large["values"])
    for frame, step in zip(maps, expected, strict=True):
        np.testing.assert_array_equal(frame, step.maps[work.layer, work.head].astype(np.float32))
    reading = read(run, work.text, own_target(run, work.text) if run.is_translation else None, snapshot_model(run, 300))
    assert large["columns"] == reading.keys(work.kind) and large["causal"] == (work.kind == "self")
    assert large["rows"] == (reading.written if work.kind == "cross" else reading.names)
    assert f"layer {work.layer + 1} of" in large["title"] and ("key-value" in large["title"]) == (
        work.model == "grouped"
    )
    small = unpacked(grid["small"])
    assert small.shape[:3] == (3, *expected[0].maps.shape[:2]) and (grid["layer"], grid["head"]) == (
        work.layer,
        work.head,
    )
    for score in grid["scores"]:
        last = {"repeats": "induction", "alignment": "alignment"}.get(score["name"])
        of = [getattr(step, last) if last else step.scores[score["name"]] for step in expected]
        of = [value.by_head if last == "alignment" else value for value in of]
        np.testing.assert_allclose(unpacked(score["values"]), np.stack(of), atol=1e-6)
    assert grid["scores"][0]["name"] == ("alignment" if run.is_translation else "repeats")


def test_the_curves_are_the_loss_and_every_head():
    curves = figure(shown(WRITER, score="previous"), "curves")
    lines = {line["name"]: line for line in curves["lines"]}
    assert unpacked(lines["training loss"]["x"]).tolist() == [1, 5, 40, 150, 300]
    assert unpacked(lines["validation loss"]["y"]).tolist() == [2.5]
    heads = [line for line in curves["lines"] if line.get("right")]
    assert len(heads) == 8 and curves["right_axis"] == "Previous token"
    steps = list(through_training(load("writer"), TEXT, "self"))
    values = np.stack([step.scores["previous"] for step in steps])
    told = {line["name"].split(" (")[0]: unpacked(line["y"]) for line in heads}
    for layer in range(2):
        for head in range(4):
            name = f"Previous token: layer {layer + 1}, head {head + 1}"
            np.testing.assert_allclose(told[name], values[:, layer, head], rtol=1e-6)
    standing = [line["name"] for line in heads if not line["faint"]]
    best = np.unravel_index(values[-1].argmax(), (2, 4))
    assert standing[0].startswith("Previous token: layer 2, head 3")
    assert (
        standing[-1]
        == f"Previous token: layer {best[0] + 1}, head {best[1] + 1} ({'chosen and ' * (best == (1, 2))}best)"
    )


def test_which_run_is_watched_and_on_which_text():
    plain = Work("plain", TEXT, None, "self", 0, 0)
    watch = part._watch(plain, "")  # no snapshots of its own: another language model, on the same text
    assert watch.run.name in ("writer", "grouped") and watch.text == TEXT and watch.target is None
    assert part._watch(plain, "grouped").run.name == "grouped"
    other = part._watch(plain, "translator")  # the text is no sentence for it
    assert other.text == "I'd like a cup of coffee." and other.kind == "cross" and other.target is not None
    assert "another kind of model" in shown(plain, "translator")["message"]
    assert part._watch(TRANSLATOR, "writer").text == "The most important thing is"
    assert part._watch(TRANSLATOR._replace(target="東京"), "").target == "東京"
    assert part._watch(TRANSLATOR._replace(kind="encoder"), "").kind == "encoder"
    choices = shown(WRITER)["run"]
    assert sorted(value for _, value in choices.choices) == ["", "grouped", "translator", "writer"]


def test_a_head_that_is_chosen_here_is_shown():
    event = SimpleNamespace(_data={"layer": 0, "head": 1})
    assert all(value == gr.skip() for value in part.choose_head(WRITER, "", "", None, event))  # nothing is known yet
    shown(WRITER)
    chosen, *values = part.choose_head(WRITER, "", "", None, event)
    values = dict(zip(NAMES, values))
    assert chosen == ("writer", "self", 0, 1)
    assert "layer 1 of 2 · head 2 of 4" in figure(values, "map")["title"]
    assert (figure(values, "grid")["layer"], figure(values, "grid")["head"]) == (0, 1)
    assert "layer 1 of 2 · head 2 of 4" in figure(shown(WRITER, chosen=chosen), "map")["title"]
    assert "layer 2 of 2 · head 3 of 4" in figure(shown(WRITER, chosen=("other", "self", 0, 1)), "map")["title"]
    for wrong in (None, [], {}, {"layer": "1", "head": 0}, {"layer": -1, "head": 0}, {"layer": True, "head": 0}):
        skipped = part.choose_head(WRITER, "", "", None, SimpleNamespace(_data=wrong))
        assert all(value == gr.skip() for value in skipped)
    assert (
        "head 4 of 4" in part.choose_head(WRITER, "", "", None, SimpleNamespace(_data={"layer": 9, "head": 10**9}))[6]
    )


def test_large_runs_are_looked_at_on_a_click_and_can_be_stopped(monkeypatch):
    monkeypatch.setattr(part, "QUICK", 10)
    assert "3 snapshots" in shown(WRITER)["message"] and not any(shown(WRITER)[name] for name in NAMES[3:])
    looking = part.look_at_all(WRITER, "", "", None, REQUEST)
    busy = next(looking)
    assert "Snapshot 1 of 3: step 5" in busy[2] and busy[1]["visible"]
    next(looking)
    part.stop_looking(REQUEST)
    *_, last = looking
    values = dict(zip(NAMES, last[2:]))
    assert not last[1]["visible"] and "2 of 3 snapshots" in values["message"]
    assert figure(values, "map")["frames"]["at"] == STEPS[:2]
    assert figure(shown(WRITER), "map")["frames"]["at"] == STEPS[:2]  # what was looked at is kept
    *_, last = part.look_at_all(WRITER, "", "", None, REQUEST)
    assert figure(dict(zip(NAMES, last[2:])), "curves")["frames"]["at"] == STEPS


def test_a_run_that_trains_shows_what_it_has_and_then_more(folder, tmp_path, monkeypatch):
    young = tmp_path / "young"
    shutil.copytree(folder / "writer", young)
    (young / "model.safetensors").unlink()
    (young / "metrics.jsonl").unlink()
    for step in STEPS[1:]:
        (young / f"snapshots/step-{step:06d}.safetensors").rename(young / f"later-{step}")
    monkeypatch.setenv("RUNS_DIR", str(tmp_path))
    shutil.copytree(folder / "plain", tmp_path / "plain")
    work = Work("plain", TEXT, None, "self", 0, 0)
    values = shown(work)
    assert figure(values, "map")["frames"]["at"] == [5]
    assert not [line for line in figure(values, "curves")["lines"] if not line.get("right")]
    (young / "later-40").rename(young / "snapshots/step-000040.safetensors")
    assert figure(shown(work), "map")["frames"]["at"] == [5, 40]
    write_atomic(young / "snapshots/step-000300.safetensors", lambda file: file.write(b"broken"))
    assert "broken" in shown(work)["message"]


def test_long_texts_are_pooled_and_what_is_sent_is_bounded():
    values = shown(WRITER._replace(text="The cat sat on a mat. " * 100))
    large = figure(values, "map")
    assert large["values"]["shape"][1] <= 64 and "pooled" in large["subtitle"]
    assert len(large["rows"]) == large["values"]["shape"][1] and large["rows"][0].endswith("…")
    assert sum(len(values[name]) for name in NAMES[3:]) < 1_000_000


def test_what_cannot_be_watched_is_one_sentence(folder, tmp_path, monkeypatch):
    assert "No model is chosen" in shown(WRITER._replace(model=""))["message"]
    assert "nothing to translate" in shown(TRANSLATOR._replace(text="  "))["message"]
    monkeypatch.setenv("RUNS_DIR", str(tmp_path))
    shutil.copytree(folder / "plain", tmp_path / "plain")
    none = shown(Work("plain", TEXT))
    assert "No run here has kept snapshots" in none["message"] and not any(none[name] for name in NAMES[3:])
    *_, last = part.look_at_all(Work("plain", TEXT), "", "", None, REQUEST)
    assert "No run here" in last[2]


@pytest.mark.parametrize("wrong", [None, "x", "../..", 5, -1, [], {}, True, float("nan")], ids=repr)
def test_whatever_the_fields_hold_there_is_an_answer(wrong):
    for fields in ((wrong, "", None), ("", wrong, None), ("", "", wrong), ("", "", ["writer", "self", wrong, wrong])):
        assert json.loads(part.show(WRITER, *fields)[5])["kind"] == "heatmap"


def test_the_part_is_built_empty_and_wired():
    with gr.Blocks() as demo:
        built = part.build(OWN, WRITER)
        part.wire(built, gr.State(WRITER))
    assert not any(built.views[i].value for i in (0, 3, 4, 5))
    assert len(demo.fns) == 4 and all(event.api_visibility == "private" for event in demo.fns.values())
    assert len(part.show(WRITER, *[field.value for field in built.inputs])) == len(built.views)


def test_it_is_said_that_a_text_was_cut():
    assert "the first 160 are read" in part.show(WRITER._replace(text="The cat sat. " * 200), "", "", None)[0]
