"""The Scores and the Step by step part on small models: real numbers of the open head, and nothing computed twice."""

import json
from html import unescape

import gradio as gr
import numpy as np
import pytest

from core.analysis.head_scores import SCORES
from core.analysis.look import look as look_at
from core.analysis.rollout import layer_mean, rollout
from playground import models, readings
from playground.memory import Memory
from playground.readings import Work, reading_of, survey_of
from playground.tabs.attention import look, scores
from tests.playground.views.test_attention_views import unpacked

TEXT = "I'd like a cup of coffee, I'd like"
NAMES = ["tiny-transformer", "tiny-gpt", "tiny-llama"]
WRONG = [None, "", "x", "-1", "9" * 6, "1" * 400, "٣", "1.5", 7, [], {}, "0 or 1"]


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(readings, "_kept", Memory(maximum=9, max_size=2**28, size=lambda kept: kept.nbytes, each=4))


def works(name):
    kinds = ["cross", "encoder", "self"] if name == "tiny-transformer" else ["self"]
    return [Work(name, TEXT, None, kind, 1, 3) for kind in kinds]


@pytest.mark.parametrize("name", NAMES)
def test_the_table_has_the_scores_of_all_heads(runs, name):
    for work in works(name):
        message, table, formulas, matrix, shown = scores.show(work, "all", None)
        assert "error" not in message and shown is not None
        figure, seen = json.loads(table), survey_of(work)
        assert (figure["layer"], figure["head"]) == (1, 3)
        for score in figure["scores"]:
            np.testing.assert_allclose(unpacked(score["values"]), seen.scores[score["name"]], rtol=1e-6)
            assert SCORES[score["name"]].formula in unescape(formulas)
        json.loads(matrix)


@pytest.mark.parametrize("name", NAMES)
def test_the_matrices(runs, name):
    for work in works(name):
        reading, kind = reading_of(work), work.kind
        heads = np.stack([reading.layer_attention(kind, layer) for layer in range(reading.n_layers(kind))])
        expected = {
            "head": heads[1, 3], "layer": heads[1].mean(axis=0), "all": heads.mean(axis=(0, 1)),
            "rollout": rollout(reading, kind),
        }  # fmt: skip
        titles = set()
        for average, values in expected.items():
            figure = json.loads(scores.change_average(work, average, None)[0])
            assert figure["kind"] == "heatmap" and figure["columns"] == reading.keys(kind)
            np.testing.assert_allclose(unpacked(figure["values"]), values, atol=1e-6, err_msg=average)
            titles.add(figure["title"])
        assert len(titles) == 4 and set(expected) == set(scores.AVERAGES)


def test_nothing_is_computed_again_when_only_the_head_changes(runs, monkeypatch):
    calls = []
    for name, real in (("rollout", rollout), ("layer_mean", layer_mean)):
        monkeypatch.setattr(scores, name, lambda *args, name=name, real=real: calls.append(name) or real(*args))
    work = Work("tiny-gpt", TEXT, None, "self", 0, 0)
    same = (gr.skip(), gr.skip())
    for average, moved, again in [("rollout", (1, 2), False), ("all", (1, 2), False), ("layer", (0, 2), False),
                                  ("layer", (1, 0), True), ("head", (0, 2), True), ("head", (1, 0), True)]:  # fmt: skip
        *_, shown = scores.show(work, average, None)
        *_, matrix, now = scores.show(work._replace(layer=moved[0], head=moved[1]), average, shown)
        assert ((matrix, now) != same) == again, (average, moved)
        assert scores.change_average(work, average, shown) == same
        assert scores.show(work._replace(text="another"), average, shown)[3] != gr.skip()
    assert calls.count("rollout") == 2 and calls.count("layer_mean") == 5  # a text once, and one more layer


def test_a_place_that_does_not_exist_is_the_nearest(runs):
    work = Work("tiny-gpt", TEXT, None, "cross", 99, 99)
    figure = json.loads(scores.show(work, "head", None)[1])
    assert (figure["layer"], figure["head"]) == (1, 3)
    assert "layer 2 of 2 · head 4 of 4" in json.loads(look.show(work, "")[2])["title"]


@pytest.mark.parametrize("work", [Work("", TEXT), Work("no-such-run", TEXT), Work("tiny-transformer", "  ")], ids=str)
def test_what_cannot_be_read_is_a_sentence(runs, work):
    message, table, formulas, matrix, shown = scores.show(work, "rollout", None)
    assert "notice-error" in message and (table, formulas, matrix, shown) == ("", "", "", None)
    assert scores.change_average(work, "rollout", None) == ("", None)
    message, box, figure = look.show(work, "0")
    assert "notice-error" in message and figure == "" and box.visible is False


@pytest.mark.parametrize("name", NAMES)
def test_a_query_step_by_step(runs, name):
    for work in works(name):
        reading = reading_of(work)
        names = reading.queries(work.kind)
        for query in (0, len(names) // 2, len(names) - 1):
            message, box, text = look.show(work, str(query))
            figure = json.loads(text)
            assert "error" not in message and box.value == query and len(box.choices) == len(names)
            expected = look_at(reading, work.kind, 1, 3, query)
            assert figure["query"] == query and figure["query_name"] == names[query]
            assert figure["keys"] == reading.keys(work.kind)
            np.testing.assert_allclose(unpacked(figure["weights"]), expected.weights, atol=1e-7)
            np.testing.assert_allclose(
                unpacked(figure["weights"]), reading.attention(work.kind, 1, 3)[query], atol=1e-6
            )
            written = reading.written[query]
            assert (f"goes on to write {written}" in figure["subtitle"]) == (work.kind != "encoder")
            assert ("rotary" in figure["subtitle"]) == (name == "tiny-llama")
            assert ("key-value head 2 of 2" in figure["title"]) == (name == "tiny-llama")


@pytest.mark.parametrize("query", WRONG, ids=repr)
def test_a_query_that_nobody_can_choose_is_the_first_or_the_last(runs, query):
    for work in (Work("tiny-gpt", TEXT), Work("tiny-transformer", TEXT)):
        message, box, figure = look.show(work, query)
        reading = reading_of(work)
        last = len(reading.ids) - 1
        assert "error" not in message and json.loads(figure)["query"] == box.value == (
            0 if reading.is_translation else last
        )


def test_a_long_text_says_that_it_is_cut(runs):
    work = Work("tiny-gpt", "coffee and more coffee " * 60)
    for message in (scores.show(work, "all", None)[0], look.show(work, "")[0]):
        assert "the first 48 are read" in message


def test_a_model_whose_weights_are_no_numbers(runs, monkeypatch):
    """A training may diverge, and be looked at."""
    run = models.get_run("tiny-gpt")
    kept = [parameter.detach().clone() for parameter in run.model.parameters()]
    try:
        for parameter in run.model.parameters():
            parameter.data.fill_(float("nan"))
        work = Work("tiny-gpt", TEXT)
        for average in scores.AVERAGES:
            assert scores.show(work, average, None)[0] == ""
        assert np.isnan(unpacked(json.loads(look.show(work, "2")[2])["weights"])).any()
    finally:
        for parameter, values in zip(run.model.parameters(), kept, strict=True):
            parameter.data.copy_(values)


def test_what_is_shared_and_what_opens_heads(runs):
    with gr.Blocks():
        part, steps = scores.build(None, Work("", "")), look.build(None, Work("", ""))
    assert (
        part.shared == {"average": part.average} and part.opens is part.table and steps.shared == {"query": steps.query}
    )
    assert part.table.value == part.map.value == steps.figure.value == ""  # drawn when they are opened
    assert [value for _, value in part.average.choices] == list(scores.AVERAGES)
    assert len(part.views) == 5 and len(part.inputs) == 2 and len(steps.views) == 3 and len(steps.inputs) == 1
