"""A run as pictures: numbers of its files, nothing unescaped, and nothing breaks on odd files."""

import json
import re

import pytest

from core.run import Status
from playground.views.training import HEIGHT, POINTS, curves, duration, log_html, samples_html, status_html

METRICS = [
    {"step": 1, "loss": 8.3, "tokens_per_second": 900.0, "seconds": 1.0},
    {"step": 10, "loss": 7.1, "tokens_per_second": 1000.0, "seconds": 9.0},
    {"step": 10, "val_loss": 7.0, "seconds": 10.0},
    {"step": 20, "loss": float("nan"), "seconds": 19.0},
    {"step": 20, "val_loss": 6.5, "seconds": 20.0},
]


def test_the_curves_are_the_metrics():
    figure = curves("t1", METRICS)
    training, validation = figure.data
    assert list(training.x) == [1, 10, 20] and list(training.y) == [8.3, 7.1, None]
    assert list(validation.x) == [10, 20] and list(validation.y) == [7.0, 6.5]
    assert figure.layout.height == HEIGHT
    assert figure.layout.xaxis.title.text == "step" and "nats" in figure.layout.yaxis.title.text
    json.loads(figure.to_json())


def test_a_long_run_is_thinned_out_and_keeps_its_ends():
    metrics = [{"step": step, "loss": 1 / step} for step in range(1, 12_346)]
    x = curves("long", metrics).data[0].x
    assert len(x) <= POINTS + 1 and x[0] == 1 and x[-1] == 12_345


def test_no_curve_yet_is_said():
    assert "first step" in curves("new", []).layout.annotations[0].text


def test_an_imported_run_is_not_said_to_begin():
    assert "not trained here" in curves("mine", [], False).layout.annotations[0].text
    assert "appear here" not in samples_html([], False)
    html = status_html("mine", Status(state="done", message="imported from hf:org/name"), [])
    assert ">step<" not in html and "imported from hf:org/name" in html


def test_the_state_in_figures():
    status = Status(state="running", step=20, steps=100, tokens_per_second=1234.5, eta=125.0, message="validating")
    shown = re.sub(r"<[^>]*>", " ", status_html("<t1>", status, METRICS))
    for part in ("&lt;t1&gt;", "training", "20 of 100", "6.500", "1,23", "2 min 5 s", "validating"):
        assert part in shown
    assert 'aria-valuenow="20"' in status_html("t1", status, METRICS)


def test_what_failed_says_why_and_shows_no_time_left():
    status = Status(state="failed", step=3, steps=10, eta=50.0, error="There is no space left on the <disk>.")
    html = status_html("t1", status, [])
    assert "left on the &lt;disk&gt;" in html and "training-problem" in html and "time left" not in html


@pytest.mark.parametrize("metrics", [[{}], [{"step": 3}], [{"step": "x", "loss": "y"}], [{"val_loss": None}]])
def test_odd_lines_do_not_break_the_page(metrics):
    curves("x", metrics)
    status_html("x", Status(), metrics)


def test_samples_newest_first_and_the_first_one_kept():
    lines = [
        {"step": step, "samples": [{"prompt": "<b>hi</b>", "output": f"out {step}", "reference": "ref"}]}
        for step in range(10, 210, 10)
    ]
    html = samples_html(lines)
    steps = [int(found) for found in re.findall(r"step (\d+)", html)]
    assert steps[0] == 200 and steps[-1] == 10 and steps == sorted(steps, reverse=True) and len(steps) == 6
    assert "&lt;b&gt;hi&lt;/b&gt;" in html and "<b>hi" not in html and "ref" in html


def test_no_samples_and_broken_ones():
    assert "appear here" in samples_html([])
    assert "appear here" in samples_html([{"step": 1}])
    assert "(nothing)" in samples_html([{"step": 1, "samples": [{"prompt": "x", "output": ""}]}])


def test_the_log_is_escaped():
    assert "&lt;script&gt;" in log_html("<script>")


def test_duration():
    assert [duration(s) for s in (0, 59.6, 75, 7300)] == ["0 s", "1 min 0 s", "1 min 15 s", "2 h 1 min"]
    assert duration(-3) == "0 s"
