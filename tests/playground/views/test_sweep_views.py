"""Sweeps as tables and parallel coordinates."""

import math
import re

import numpy as np
import pytest

from core.run import Status
from playground.views.sweep import cost_html, ordered, parallel, status_html, table_html

AXES = ["optim.learning_rate", "optim.schedule"]


def trial(run, rate, schedule="cosine", value=None, step=40, state="done", error=""):
    values = {"optim.learning_rate": rate, "optim.schedule": schedule}
    return {"run": run, "values": values, "step": step, "value": value, "state": state, "error": error}


TRIALS = [
    trial("s-1", 1e-3, value=3.0), trial("s-2", 1e-2, "wsd", value=2.0), trial("s-3", 1e-1, value=1.5, step=10),
    trial("s-4", 1e-4, state="failed", step=0, error="<b>full</b>"), trial("s-5", 1e-2, value=math.nan, step=40),
]  # fmt: skip


def test_those_that_came_further_come_first():
    assert [t["run"] for t in ordered(TRIALS, "val_loss")] == ["s-2", "s-1", "s-3", "s-4", "s-5"]
    assert [t["run"] for t in ordered(TRIALS, "bleu")] == ["s-1", "s-2", "s-3", "s-4", "s-5"]


def test_the_table_has_all_trials_and_no_markup_of_theirs():
    html = table_html(TRIALS, AXES, "val_loss")
    rows = re.findall(r"<tr.*?</tr>", html)
    assert len(rows) == 6 and "sweep-best" in rows[1] and "s-2" in rows[1] and "2.0000" in rows[1]
    assert "<b>" not in html and "&lt;b&gt;full&lt;/b&gt;" in html
    assert html.count("sweep-best") == 1
    assert "appear here" in table_html([], AXES, "val_loss")
    hostile = table_html([trial("<i>", "<i>", "<i>")], ["<i>.<i>"], "val_loss")
    assert "<i>" not in hostile


def test_a_line_a_trial_from_value_to_value():
    figure = parallel("s", TRIALS, AXES, "val_loss")
    assert figure.layout.height > 200 and len(figure.data) == 3  # those with a figure
    lines = {line.hovertemplate.split("</b>")[0][3:]: line for line in figure.data}
    assert all(isinstance(line.y, np.ndarray) for line in figure.data)
    # Rates over several orders of magnitude lie evenly: 1e-4, 1e-3, 1e-2, 1e-1.
    assert lines["s-1"].y == pytest.approx([1 / 3, 0, 1.0])
    assert lines["s-2"].y == pytest.approx([2 / 3, 1, 1 / 3])
    assert lines["s-3"].y == pytest.approx([1.0, 0, 0.0])
    assert lines["s-3"].line.color == "rgb(0, 114, 178)" and lines["s-1"].line.color == "rgb(213, 94, 0)"
    texts = [a.text for a in figure.layout.annotations]
    assert {"learning_rate", "schedule", "loss", "cosine", "wsd", "0.0001", "0.1", "3.000"} <= set(texts)


def test_more_is_better_for_bleu():
    figure = parallel("s", [trial("a", 1, value=10.0), trial("b", 2, value=30.0)], AXES[:1], "bleu")
    colours = {line.hovertemplate.split("</b>")[0][3:]: line.line.color for line in figure.data}
    assert colours == {"a": "rgb(213, 94, 0)", "b": "rgb(0, 114, 178)"}


@pytest.mark.parametrize(
    "values", [[1], [True, False], [[0.9, 0.98]], ["a", 1, None], [0.0, -1.0, 5.0], [1e300, 1e-300]]
)
def test_values_of_any_kind_have_a_place(values):
    figure = parallel("s", [trial("a", value, value=1.0) for value in values], AXES, "val_loss")
    assert all(np.isfinite(line.y).all() and 0 <= line.y.min() and line.y.max() <= 1 for line in figure.data)
    figure.to_json()


def test_nothing_yet_is_said():
    figure = parallel("s", [], [], "val_loss")
    assert not figure.data and any("once it has validated" in a.text for a in figure.layout.annotations)
    hostile = parallel("s", [trial("<b>x", "<b>y", value=1.0)], ["<b>k"], "val_loss")
    assert "<b>k" not in [a.text for a in hostile.layout.annotations]


def test_state_and_cost_in_words():
    running = status_html("s<", Status(state="running", step=50, steps=100, eta=75), [10, 40], 0, "val_loss", "s-1")
    assert "s&lt;" in running and "rung 1 of 2, at step 10" in running and "1 min 15 s left" in running
    assert 'aria-valuenow="50"' in running and "best so far: s-1" in running
    done = status_html("s", Status(state="done", step=50, steps=100, message="best: s-1"), [40], 0, "bleu", "s-1")
    assert "to step 40, by BLEU" in done and 'aria-valuenow="100"' in done and "best: s-1" in done
    failed = status_html("s", Status(state="failed", error="<all> failed"), [40], 0, "bleu", "")
    assert "training-problem" in failed and "&lt;all&gt; failed" in failed
    cost = cost_html(4, [(4, 80), (1, 240)], 90, "")
    assert "4 trials" in cost and "4 × 80 + 1 × 240 steps: about 1 min 30 s" in cost and "rough guess" in cost
    assert "1 trial<" in cost_html(1, [(1, 80)], 90, "<r>") and "&lt;r&gt;" in cost_html(1, [(1, 80)], 90, "<r>")
