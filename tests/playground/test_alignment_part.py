"""The Alignment part: sentences with gold links outlined, what a head says of them, errors counted and stopped."""

import json
import math
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest

from core.analysis.alignment import (
    alignment_error_rate,
    alignment_scores,
    gold_alignment,
    head_links,
    reading_of,
    target_rows,
)
from playground import models
from playground.memory import Memory
from playground.readings import Work
from playground.site import OWN
from playground.tabs.attention import alignment as part
from tests.playground.conftest import make_run
from tests.playground.views.test_attention_views import unpacked

REQUEST = SimpleNamespace(session_hash="page")
WORK = Work("aligner", "Hello.", None, "cross", 1, 2)
WRONG = [None, "", "x", -5, 0, 10**9, float("nan"), float("inf"), [], {}, True, 3.7]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("aligners")
    make_run("aligner", "transformer", folder, max_seq_len=160)
    make_run("short", "transformer", folder, max_seq_len=4)
    make_run("writer", "gpt", folder)
    return folder


@pytest.fixture(autouse=True)
def here(folder, monkeypatch, tmp_path):
    monkeypatch.setenv("RUNS_DIR", str(folder))
    monkeypatch.setattr("core.run.BUNDLED", tmp_path)
    monkeypatch.setattr(part, "FIRST", 6)
    monkeypatch.setattr(part, "_errors", Memory(maximum=8))
    monkeypatch.setattr(part, "_readings", Memory(maximum=8))


def test_a_sentence_is_shown_with_its_gold_links_and_what_the_head_says():
    run, example = models.get_run("aligner"), part.sentences()[6]
    gold, reading = gold_alignment(run, example), reading_of(run, example)
    for rows, first in (("written", 0), ("read", 1)):
        for whose in ("head", "layer"):
            message, figure, links = part.show_sentence(WORK, 7, rows, whose)
            figure = json.loads(figure)
            weights = reading.layer_attention("cross", 1)
            weights = weights[2] if whose == "head" else weights.mean(axis=0)
            assert message == "" and example.src in figure["title"] and example.tgt in figure["title"]
            np.testing.assert_allclose(unpacked(figure["values"]), weights, atol=1e-7)
            outlined = np.zeros(weights.shape, dtype=bool)
            for row, column in figure["outline"]:
                outlined[row, column] = True
            padded = np.zeros(weights.shape, dtype=bool)
            padded[first : first + len(gold.target), : len(gold.source)] = gold.links
            np.testing.assert_array_equal(outlined, padded)
            assert figure["rows"] == (reading.written if rows == "written" else reading.names)
            said = head_links(target_rows(weights, rows))
            assert f"<b>{alignment_error_rate(said, gold.links):.3f}</b>" in links
            assert links.count("<tr>") == len(gold.target) + 1
            assert links.count("link-right") == (said & gold.links).sum()
            assert links.count("link-wrong") == (said & ~gold.links).sum()


def test_without_a_head_of_the_cross_attention_the_best_one_is_shown():
    run, example = models.get_run("aligner"), part.sentences()[0]
    gold, reading = gold_alignment(run, example), reading_of(run, example)
    errors = {
        (layer, head): alignment_error_rate(
            head_links(target_rows(reading.attention("cross", layer, head), "read")), gold.links
        )
        for layer in range(3)
        for head in range(4)
    }
    for work in (WORK._replace(kind="self"), WORK._replace(layer=-1), WORK._replace(kind="")):
        title = json.loads(part.show_sentence(work, 1, "read", "head")[1])["title"]
        layer, head = (int(text.split(":")[0].split()[-1]) - 1 for text in title.split(",")[:2])
        assert errors[layer, head] == min(errors.values())
    assert "layer 3, head 4:" in part.show_sentence(WORK._replace(layer=50, head=99), 1, "read", "head")[1]


def test_errors_are_counted_on_a_click_telling_how_far(monkeypatch):
    monkeypatch.setattr("core.analysis.alignment.BATCH_TOKENS", 400)
    steps = list(part.count_errors(WORK, "written", 20, REQUEST))
    expected = alignment_scores(models.get_run("aligner"), part.sentences()[:20])
    assert len(steps) > 3 and all("of 20 sentences" in step[0] for step in steps[:-1])
    assert steps[0][3]["visible"] and not steps[-1][3]["visible"]  # the stop button
    layer, head = expected.best
    assert f"layer {layer + 1}, head {head + 1}" in steps[-1][0] and f"{expected.diagonal:.3f}" in steps[-1][0]
    figure = json.loads(steps[-1][1])
    values = unpacked(figure["values"])
    np.testing.assert_allclose(values[:, :4], expected.by_head, atol=1e-6)
    np.testing.assert_allclose(values[:, 4], expected.by_layer, atol=1e-6)
    assert figure["outline"] == [[layer, head]]
    assert len(list(part.count_errors(WORK, "written", 20, REQUEST))) == 1  # known now
    shown = part.show(WORK, 1, "written", "head", 20)
    assert json.loads(shown[4]) == figure and shown[3] == steps[-1][0]


def test_counting_can_be_stopped_and_what_was_counted_stands(monkeypatch):
    monkeypatch.setattr("core.analysis.alignment.BATCH_TOKENS", 200)
    counting = part.count_errors(WORK, "read", 40, REQUEST)
    next(counting)
    part.stop_counting(REQUEST)
    last = list(counting)[-1]
    assert 0 < json.loads(last[1])["subtitle"].count("sentences") and "of 40" not in last[0]
    assert len(list(part.count_errors(WORK, "read", 40, REQUEST))) > 1  # it was not kept as if it were whole


def test_small_models_are_counted_without_being_asked_and_large_ones_are_not(monkeypatch):
    assert "Best is layer" in part.show(WORK, 1, "written", "head", 100)[3]
    monkeypatch.setattr(part, "SMALL", 10)
    monkeypatch.setattr(part, "_errors", Memory(maximum=8))
    shown = part.show(WORK, 1, "written", "head", 100)
    assert "Count the errors" in shown[3] and shown[4] == ""


def test_other_models_get_one_sentence():
    for work, said in (
        (WORK._replace(model="writer"), "translates these"),
        (WORK._replace(model="short"), "longer than the model reads"),
        (WORK._replace(model=""), "No model is chosen"),
        (WORK._replace(model="../x"), "not a run directory"),
    ):
        shown = part.show(work, 1, "written", "head", 20)
        assert said in shown[0] and not any(shown[1:3])
        last = list(part.count_errors(work, "written", 20, REQUEST))[-1]
        assert last[1] == "" and "notice-error" in last[0]


@pytest.mark.parametrize("wrong", WRONG, ids=repr)
def test_whatever_the_fields_hold_there_is_an_answer(wrong):
    for values in ((wrong, "written", "head", 20), (1, wrong, "head", 20), (1, "read", wrong, 20)):
        shown = part.show(WORK, *values)
        assert shown[0] == "" and json.loads(shown[1])["kind"] == "heatmap" and json.loads(shown[4])
    assert part._count(wrong) in range(1, 501) and part._number(wrong) in range(1, 501)
    number, *sentence = part.another_sentence(WORK, wrong, "written", "head")
    assert 1 <= number <= 500 and number != wrong and sentence[0] == "" and not math.isnan(number)


def test_the_part_is_built_empty_and_wired():
    with gr.Blocks() as demo:
        built = part.build(OWN, WORK)
        part.wire(built, gr.State(WORK))
    assert all(not view.value for view in built.views)
    assert len(demo.fns) == 5 and all(event.api_visibility == "private" for event in demo.fns.values())
    assert len(part.show(WORK, *[field.value for field in built.inputs])) == len(built.views)
