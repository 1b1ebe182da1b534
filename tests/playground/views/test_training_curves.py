"""Curves: the numbers of the files, smoothed, thinned out, laid over each other."""

import json

import numpy as np
import pytest

from playground.figures import figures_of
from playground.views.series import POINTS, smooth, sparkline, thin
from playground.views.training_curves import CHARTS, HEIGHT, PALETTE, Look, along, curves

METRICS = [
    {"step": 1, "loss": 8.0, "lr": 1e-3, "tokens": 100, "seconds": 60.0},
    {"step": 11, "loss": 6.0, "lr": 2e-3, "tokens": 1100, "seconds": 120.0},
    {"step": 11, "val_loss": 7.0, "bleu": 3.0, "chrf": 9.0, "seconds": 126.0},
    {"step": 21, "loss": float("nan"), "lr": 2e-3, "tokens": 2100, "seconds": 180.0},
    {"step": 16, "val_loss": 6.5, "seconds": 150.0},
]
FIGURES = figures_of(METRICS)


def test_the_curves_are_the_metrics():
    figure = curves([("t1", FIGURES)])
    training, validation = figure.data
    assert list(training.x) == [1, 11, 21] and list(training.y[:2]) == [8.0, 6.0] and np.isnan(training.y[2])
    assert list(validation.x) == [11, 16] and list(validation.y) == [7.0, 6.5]
    assert figure.layout.height == HEIGHT and training.type == "scatter"
    assert figure.layout.xaxis.title.text == "step" and "nats" in figure.layout.yaxis.title.text
    assert isinstance(training.y, np.ndarray)  # sent as bytes, not as a list of texts
    json.loads(figure.to_json())


def test_along_tokens_and_time():
    assert along(FIGURES, "tokens").tolist() == [100, 1100, 1100, 2100, 1600]  # validations lie between
    assert along(FIGURES, "time").tolist() == [1.0, 2.0, 2.1, 3.0, 2.5]
    assert list(curves([("t", FIGURES)], Look(x="time")).data[1].x) == [2.1, 2.5]
    assert np.isnan(along(figures_of([{"step": 1}]), "tokens")).all()


def test_smoothing_shows_the_measured_curve_behind():
    figure = curves([("t", FIGURES)], Look(smoothing=0.5))
    raw, smoothed, validation = figure.data
    assert raw.opacity < 0.5 and list(raw.y[:2]) == [8.0, 6.0] and not raw.showlegend
    assert smoothed.y[0] == 8.0 and smoothed.y[1] == pytest.approx((0.5 * 8 + 6) / 1.5)
    assert list(validation.y) == [7.0, 6.5]  # few and exact: as measured


def test_the_average_is_that_of_its_definition():
    values = np.array([3.0, 1.0, np.nan, 4.0, 1.0, 5.0])
    weight, expected = 0.8, []
    seen = [v for v in values if np.isfinite(v)]
    for count in range(1, len(seen) + 1):  # a weighted mean of all that came before, weights 0.8^age
        ages = weight ** np.arange(count - 1, -1, -1)
        expected.append((ages * seen[:count]).sum() / ages.sum())
    found = smooth(values, weight)
    assert np.isnan(found[2]) and found[np.isfinite(found)] == pytest.approx(expected)
    assert smooth(values, 0.0) is values


def test_thinning_keeps_ends_peaks_and_gaps():
    x = np.arange(100_000.0)
    y = np.sin(x / 5_000)
    y[33_333], y[66_666], y[50_000:50_400] = 99.0, -99.0, np.nan
    thin_x, thin_y = thin(x, y)
    assert len(thin_x) <= 1.6 * POINTS and (np.diff(thin_x) > 0).all()
    assert thin_x[0] == 0 and thin_x[-1] == 99_999
    assert np.nanmax(thin_y) == 99.0 and np.nanmin(thin_y) == -99.0 and np.isnan(thin_y).any()
    short = thin(x[:10], y[:10])
    assert short[0].tolist() == x[:10].tolist()
    assert np.isnan(thin(x, np.full(len(x), np.nan))[1]).all()


def test_a_long_run_is_thinned_out():
    metrics = [{"step": step, "loss": 1 / step, "lr": 0.1} for step in range(1, 12_346)]
    x = curves([("long", figures_of(metrics))]).data[0].x
    assert len(x) <= POINTS + 1 and x[0] == 1 and x[-1] == 12_345


def test_no_curve_yet_is_said():
    assert "first step" in curves([("new", figures_of([]))]).layout.annotations[0].text
    assert "first step" in curves([]).layout.annotations[0].text
    assert "not trained here" in curves([("mine", figures_of([]))], trained_here=False).layout.annotations[0].text
    assert "was not measured" in curves([("t", FIGURES)], Look("peak")).layout.annotations[0].text


def test_runs_have_a_colour_each_and_validation_is_dashed():
    figure = curves([("a", FIGURES), ("b", FIGURES)])
    curves_of = {name: [t for t in figure.data if t.legendgroup == name] for name in "ab"}
    for name, colour in zip("ab", PALETTE):
        training, validation = curves_of[name]
        assert training.line.color == validation.line.color == colour
        assert training.line.dash is None and validation.line.dash == "dash"
        assert [t.showlegend for t in (training, validation)] == [True, False] and training.name == name
    assert [t.name for t in figure.data if not t.legendgroup] == ["validation"]  # what the dashes mean
    assert len(set(PALETTE)) == len(PALETTE) >= 8


def test_zoom_stays_while_a_run_grows_and_goes_with_another_chart():
    more = figures_of([*METRICS, {"step": 31, "loss": 5.0, "lr": 1e-3}])
    first, grown, other = (
        curves([("t", FIGURES)]), curves([("t", more)]), curves([("t", FIGURES)], Look("lr"))
    )  # fmt: skip
    assert first.layout.uirevision == grown.layout.uirevision != other.layout.uirevision


def test_a_logarithmic_axis_leaves_out_what_has_no_logarithm():
    figure = curves(
        [("t", figures_of([{"step": 1, "grad_norm": 0.0}, {"step": 2, "grad_norm": 10.0}]))],
        Look("grad_norm", log=True),
    )
    assert figure.layout.yaxis.type == "log" and np.isnan(figure.data[0].y[0]) and figure.data[0].y[1] == 10.0


def test_scores_of_a_translator_and_of_a_language_model():
    figure = curves([("t", FIGURES)], Look("score"))
    assert [t.name for t in figure.data] == ["BLEU", "chrF"] and figure.layout.yaxis.title.text == "BLEU, chrF"
    language = figures_of([{"step": 1, "val_bits_per_byte": 2.5}])
    assert curves([("l", language)], Look("score")).layout.yaxis.title.text == "bits per byte"
    both = curves([("t", FIGURES), ("l", language)], Look("score"))
    assert [t.yaxis for t in both.data if t.legendgroup == "l"] == ["y2"]
    assert both.layout.yaxis2.title.text == "bits per byte" and both.layout.yaxis.title.text.startswith("BLEU")


def test_units():
    figures = figures_of(
        [{"step": 1, "loss": 2.0, "lr": 1.0, "peak_share": 0.5, "memory_bytes": 3e9, "val_loss": 800.0}]
    )
    found = {chart: curves([("t", figures)], Look(chart)).data[0].y[0] for chart in ("perplexity", "peak", "memory")}
    assert found == {"perplexity": pytest.approx(np.exp(2)), "peak": 50.0, "memory": 3.0}
    assert np.isnan(curves([("t", figures)], Look("perplexity")).data[1].y[0])  # e^800 is no number here


@pytest.mark.parametrize("chart", CHARTS)
@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("x", ["step", "tokens", "time"])
def test_every_chart_of_odd_figures(chart, log, x):
    odd = figures_of(
        [{"step": 1}, {"step": 2, "loss": -1.0, "bleu": 0, "lr": 0.0, "tokens": -5}, {"step": 2, "chrf": 1}]
    )
    for runs in ([("<b>t</b>", odd)], [("<b>t</b>", odd), ("u", FIGURES), ("v", figures_of([]))]):
        text = curves(runs, Look(chart, x, 0.9, log)).to_json()
        assert "<b>t" not in json.loads(text)["data"].__repr__() and "Infinity" not in text


def test_a_small_curve():
    assert sparkline(np.array([1.0])) == "" == sparkline(np.array([np.nan, np.nan]))
    svg = sparkline(np.array([1.0, np.nan, 3.0, 2.0]))
    points = [tuple(map(float, p.split(","))) for p in svg.split('points="')[1].split('"')[0].split()]
    assert len(points) == 3 and points[1][1] < points[2][1] < points[0][1]  # 3 is the highest on the page
    assert "nan" not in sparkline(np.array([5.0, 5.0]))
