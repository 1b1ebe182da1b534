"""A run as it stands: numbers of its files, nothing unescaped, and nothing breaks on odd files."""

import re

import pytest

from core.run import Status
from playground.figures import figures_of
from playground.views.training import duration, log_html, samples_html, status_html, tiles_of

METRICS = [
    {"step": 1, "loss": 8.3, "lr": 1e-3, "grad_norm": 2.0, "tokens_per_second": 900.0, "seconds": 1.0},
    {"step": 10, "loss": 7.1, "lr": 2e-3, "grad_norm": 1.5, "tokens_per_second": 1000.0, "seconds": 9.0},
    {"step": 10, "val_loss": 7.0, "bleu": 1.5, "chrf": 8.0, "seconds": 10.0},
    {"step": 20, "loss": float("nan"), "lr": 2e-3, "seconds": 19.0},
    {"step": 20, "val_loss": 6.5, "bleu": 2.5, "chrf": 9.0, "val_bits_per_byte": 3.25, "seconds": 20.0},
]
FIGURES = figures_of(METRICS)


def texts(status, figures=FIGURES, **more):
    return {title: value for title, value, _ in tiles_of(status, figures, **more)}


def test_the_state_in_figures():
    status = Status(
        state="running", step=20, steps=100, tokens_per_second=1234.5, eta=125.0, message="validating", seconds=20.0,
        peak_share=0.412, memory_bytes=1_250_000_000,
    )  # fmt: skip
    shown = re.sub(r"<[^>]*>", " ", status_html("<t1>", status, FIGURES))
    for part in ("&lt;t1&gt;", "training", "validating"):
        assert part in shown
    assert texts(status, snapshots=3) == {
        "step": "20 of 100", "time left": "2 min 5 s", "trained for": "20 s", "training loss": "7.100",
        "best validation loss": "6.500", "perplexity": "665.1", "BLEU": "2.5", "chrF": "9.0", "bits per byte": "3.250",
        "learning rate": "2.00e-03", "gradient norm": "1.50", "tokens/s": "1,234", "share of peak": "41%",
        "memory": "1.2 GB", "snapshots": "3",
    }  # fmt: skip
    assert 'aria-valuenow="20"' in status_html("t1", status, FIGURES)
    assert status_html("t1", status, FIGURES).count("<polyline") >= 5


def test_the_price_of_a_rented_machine_so_far_and_in_all():
    status = Status(state="running", step=20, steps=100, eta=5400.0, rented_seconds=1800.0, price_per_hour=2.5)
    shown = texts(status)
    assert shown["price so far"] == "$1.25" and shown["price in all, about"] == "$5.00"
    assert "price in all, about" not in texts(Status(state="done", rented_seconds=1800.0, price_per_hour=2.5))
    assert "price so far" not in texts(Status(state="running", eta=1.0, seconds=1800.0))
    # Of a run that was trained here for an hour before, the minute on the rented machine.
    assert texts(Status(seconds=3660.0, rented_seconds=60.0, price_per_hour=6.0))["price so far"] == "$0.10"


def test_what_failed_says_why_and_shows_no_time_left():
    status = Status(state="failed", step=3, steps=10, eta=50.0, error="There is no space left on the <disk>.")
    html = status_html("t1", status, figures_of([]))
    assert "left on the &lt;disk&gt;" in html and "training-problem" in html and "time left" not in html


def test_an_imported_run_has_no_steps():
    html = status_html("mine", Status(state="done", message="imported from hf:org/name"), figures_of([]))
    assert ">step<" not in html and "imported from hf:org/name" in html
    assert "appear here" not in samples_html([], False)


@pytest.mark.parametrize(
    ("url", "linked"),
    [
        ("https://wandb.ai/me/p/runs/a1?x=1", True), ("http://wandb.ai/x", False), ("javascript:alert(1)", False),
        ('https://x.org/"onmouseover="alert(1)', False), ("https://x.org/<b>", False), ("https://user@x.org/", False),
        ("https://x.org/a b", False), ("", False),
    ],
)  # fmt: skip
def test_only_https_links_are_links(url, linked):
    html = status_html("t", Status(state="running", wandb_url=url), FIGURES)
    assert ("<a " in html) is linked and "onmouseover" not in html and "javascript" not in html
    assert not linked or 'rel="noopener noreferrer"' in html


def test_what_was_logged_offline_is_told_how_to_be_sent():
    html = status_html("t", Status(state="done"), FIGURES, wandb_sync="wandb sync '<x>'")
    assert "wandb sync &#x27;&lt;x&gt;&#x27;" in html and "sends it" in html
    assert "sends it" not in status_html("t", Status(wandb_url="https://w.ai/x"), FIGURES, wandb_sync="wandb sync x")


def test_a_run_that_was_asked_to_pause():
    assert "pausing after this step" in status_html("t", Status(state="running"), FIGURES, pausing=True)
    assert "pausing" not in status_html("t", Status(state="paused"), FIGURES, pausing=True)


@pytest.mark.parametrize(
    "status",
    [
        Status(state="<b>", steps=-5, step=-1), Status(state="running", step=9, steps=3, eta=float("nan")),
        Status(state="done", tokens_per_second=float("inf"), memory_bytes=-1),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "metrics", [[{}], [{"step": 3}], [{"step": "x", "loss": "y"}], [{"step": 1, "val_loss": 1e300}]]
)
def test_odd_files_do_not_break_the_page(status, metrics):
    assert "<b>&" not in status_html("x", status, figures_of(metrics))


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
    for odd in ([{"step": "x", "samples": [3, None]}], [{"step": 1, "samples": []}], [{"samples": [{}]}]):
        samples_html(odd)


def test_the_log_is_escaped():
    assert "&lt;script&gt;" in log_html("<script>")


def test_duration():
    assert [duration(s) for s in (0, 59.6, 75, 7300)] == ["0 s", "1 min 0 s", "1 min 15 s", "2 h 1 min"]
    assert duration(-3) == "0 s"


def test_a_run_elsewhere_says_where():
    status = Status(state="running", step=1, steps=2, backend="modal", machine="H100:2<b>")
    shown = status_html("r", status, figures_of([]))
    assert "on Modal, H100:2&lt;b&gt;" in shown and "<b>&" not in shown
    assert " on " not in status_html("r", Status(state="running", step=1, steps=2), figures_of([]))
