"""The Training tab's followed run: state, curves of one or several runs, samples, log; pause, stop, go on.

The training process writes its run directory and this only reads it, once a second while a shown run is training.
"""

from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np

from core.errors import ConfigError, UserError
from core.files import read_json
from core.run import RunInfo, find_run, list_runs, read_config
from core.train.wandb_log import sync_command
from playground import models
from playground.figures import column, read_figures
from playground.jobs import LocalBackend, Progress
from playground.training_form import rest_assignments
from playground.views.facts import short_count
from playground.views.notice import notice
from playground.views.training import log_html, run_label, samples_html, status_html
from playground.views.training_compare import compare_html
from playground.views.training_curves import CHARTS, X_AXES, Look, curves

EVERY = 1.0  # seconds between two looks at the followed run
HELD = "(...values) => [...values.slice(0, -2), !!document.querySelector('.dragcover, #training-plot :active'), null]"
MAX_COMPARED = 7  # beside the followed one
SMOOTHING = 0.6


@dataclass
class FollowPart:
    follow: gr.Dropdown
    compare: gr.Dropdown
    status: gr.HTML
    pause: gr.Button
    stop: gr.Button
    message: gr.HTML
    chart: gr.Radio
    x: gr.Radio
    smoothing: gr.Slider
    log_axis: gr.Checkbox
    plot: gr.Plot
    table: gr.HTML
    samples: gr.HTML
    log: gr.HTML
    rest: gr.Accordion
    rest_steps: gr.Number
    rest_rate: gr.Number
    go_on: gr.Button
    timer: gr.Timer
    held: gr.Checkbox  # whether a mouse button is down in the plot: then it is not drawn anew under the hand
    seen: gr.State  # what the page shows of the runs, so that nothing is drawn twice

    @property
    def looks(self) -> list[Any]:
        """What says which curves are drawn, and how: the inputs of `shown` after the name."""
        return [self.compare, self.chart, self.x, self.smoothing, self.log_axis]

    @property
    def shown(self) -> list[Any]:
        return [
            self.status, self.plot, self.table, self.samples, self.log, self.pause, self.stop, self.rest,
            self.timer, self.seen,
        ]  # fmt: skip


def build(model: str | None = None) -> FollowPart:
    """The run that is followed: with the curves of a run that there is already."""
    progress = progress_of(first_run(model))
    values = dict(zip(SHOWN, shown(progress, [], "loss", "step", SMOOTHING, False)))
    with gr.Row():
        follow = gr.Dropdown(
            run_choices(), value=progress.name if progress else None, label="Run", elem_id="training-follow",
            min_width=200, scale=2,
        )  # fmt: skip
        compare = gr.Dropdown(
            run_choices(), value=[], multiselect=True, max_choices=MAX_COMPARED, label="Compare with",
            elem_id="training-compare", min_width=200, scale=3,
        )  # fmt: skip
    status = gr.HTML(values["status"], padding=False, elem_id="training-status", js_on_load=None)
    with gr.Row(elem_classes="training-actions"):
        pause = gr.Button(
            values["pause"]["value"],
            min_width=90,
            visible=values["pause"]["visible"],
            elem_id="training-pause",
            size="sm",
        )
        stop = gr.Button(
            "Stop", variant="stop", min_width=90, visible=values["stop"]["visible"], elem_id="training-stop", size="sm"
        )
    message = gr.HTML("", padding=False, elem_id="training-said", js_on_load=None)
    with gr.Accordion(
        "Go on with this run", open=False, visible=values["rest"]["visible"], elem_id="training-rest"
    ) as rest:
        with gr.Row(equal_height=False):
            rest_steps = gr.Number(
                rest_of(progress)[0], label="Steps in all", precision=0, min_width=110, elem_id="training-rest-steps"
            )
            rest_rate = gr.Number(rest_of(progress)[1], label="Learning rate of the rest", min_width=110)
            go_on = gr.Button("Go on training", min_width=130, elem_id="training-go-on")
    with gr.Row(elem_classes="toolbar training-looks"):
        chart = gr.Radio(
            [(label, key) for key, (label, *_) in CHARTS.items()], value="loss", label="Curves",
            elem_id="training-chart", elem_classes="segmented",
        )  # fmt: skip
        x = gr.Radio(
            [(label, key) for key, (label, _) in X_AXES.items()], value="step", label="Along", elem_id="training-x",
            elem_classes="segmented",
        )  # fmt: skip
        smoothing = gr.Slider(
            0, 0.99, value=SMOOTHING, step=0.01, label="Smoothing", elem_id="training-smoothing", min_width=160
        )
        log_axis = gr.Checkbox(False, label="Logarithmic", elem_id="training-log-axis", min_width=120)
    plot = gr.Plot(values["plot"], show_label=False, elem_id="training-plot")
    table = gr.HTML("", padding=False, elem_id="training-table", js_on_load=None)
    samples = gr.HTML(values["samples"], padding=False, elem_id="training-samples", js_on_load=None)
    with gr.Accordion("Log", open=False):
        log = gr.HTML(values["log"], padding=False, elem_id="training-log", js_on_load=None)
    timer = gr.Timer(EVERY, active=is_active(progress))
    held = gr.Checkbox(False, visible=False)
    seen = gr.State(values["seen"])
    return FollowPart(
        follow, compare, status, pause, stop, message, chart, x, smoothing, log_axis, plot, table, samples, log, rest,
        rest_steps, rest_rate, go_on, timer, held, seen,
    )  # fmt: skip


def wire(part: FollowPart) -> None:
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    # Not when the other list is opened: a choice that is made before the answer comes would be lost.
    part.follow.focus(lambda: [gr.update(choices=run_choices())] * 2, None, [part.follow, part.compare], **quiet)
    gr.on(
        [part.follow.change, part.compare.change], follow_run, [part.follow, *part.looks],
        [*part.shown, part.rest_steps, part.rest_rate], trigger_mode="always_last", **quiet,
    )  # fmt: skip
    part.follow.input(lambda: "", None, part.message, **quiet)
    gr.on(
        [part.chart.change, part.x.change, part.smoothing.change, part.log_axis.change],
        draw, [part.follow, *part.looks], part.plot, trigger_mode="always_last", **quiet,
    )  # fmt: skip
    part.pause.click(pause_or_go_on, part.follow, part.message, **quiet)
    part.stop.click(stop_training, part.follow, part.message, **quiet)
    part.go_on.click(
        resume_run, [part.follow, part.rest_steps, part.rest_rate, *part.looks], [part.message, *part.shown], **quiet
    )


# ------------------------------------------------------------------------------------------------------- which runs


def run_choices() -> list[tuple[str, str]]:
    """(label, name) of all runs, what trains now first."""
    runs = sorted(LocalBackend().runs(), key=lambda info: not info.status.is_active)
    own = {info.name for info in runs if not info.bundled}
    return [(run_label(info), info.name) for info in runs if not (info.bundled and info.name in own)]


def first_run(model: str | None) -> str | None:
    """The run to show on arrival: one that trains, else the header's, else any whose curves are known."""
    runs = list_runs()
    active = [info.name for info in runs if info.status.is_active]
    if active:
        return active[0]
    known = [info.name for info in runs if _has_metrics(info)]
    return model if model in known else known[0] if known else runs[0].name if runs else None


def _has_metrics(info: RunInfo) -> bool:
    return not info.error and len(read_figures(info.directory)["step"]) > 0


def progress_of(name: str | None) -> Progress | None:
    """None for a run that is not there any more."""
    try:
        return LocalBackend().progress(name) if name else None
    except UserError:
        return None


def is_active(progress: Progress | None) -> bool:
    return progress is not None and progress.status.is_active


def others(name: str | None, compare: list[str] | None) -> list[Progress]:
    """The runs beside the followed one."""
    found = [progress_of(other) for other in (compare or [])[:MAX_COMPARED] if other != name]
    return [progress for progress in found if progress is not None]


# ---------------------------------------------------------------------------------------------------------- drawing

SHOWN = ("status", "plot", "table", "samples", "log", "pause", "stop", "rest", "timer", "seen")


def shown(progress: Progress | None, compare: list[str], chart: str, x: str, smoothing: float, log: bool) -> list[Any]:
    """Values for `FollowPart.shown`."""
    beside = others(progress.name if progress else None, compare)
    active, known = is_active(progress), progress is not None and bool(progress.status.steps)
    paused = active and progress is not None and (progress.pausing or progress.status.state == "paused")
    return [
        _status(progress),
        _curves(progress, beside, Look(chart, x, smoothing, log)),
        _table(progress, beside),
        samples_html(progress.samples if progress else [], _trained_here(progress)),
        log_html(progress.log if progress else ""),
        gr.update(visible=active, value="Continue" if paused else "Pause"),
        gr.update(visible=active),
        gr.update(visible=not active and known and progress is not None and progress.resumable),
        gr.Timer(active=active or any(map(is_active, beside))),
        signature(progress, beside),
    ]


def follow_run(name: str | None, *looks: Any) -> list[Any]:
    progress = progress_of(name)
    return [*shown(progress, *looks), *rest_of(progress)]


def draw(name: str | None, compare: list[str], chart: str, x: str, smoothing: float, log: bool) -> Any:
    return _curves(progress_of(name), others(name, compare), Look(chart, x, smoothing, log))


def look(
    name: str | None, compare: list[str], chart: str, x: str, smoothing: float, log: bool, held: bool, seen: Any
) -> list[Any]:
    """A tick: values for `shown`, skips for what has not changed. held: leave the plot as it is for now."""
    progress, beside = progress_of(name), others(name, compare)
    now = signature(progress, beside)
    if held and seen and now:
        now["curves"] = seen["curves"]  # they are drawn once it is let go of
    if now == seen:
        return [gr.skip()] * len(SHOWN)
    values = shown(progress, compare, chart, x, smoothing, log)
    if seen and now and now["curves"] == seen["curves"]:
        for place in (SHOWN.index("plot"), SHOWN.index("table")):
            values[place] = gr.skip()  # the curves have not moved
    values[SHOWN.index("seen")] = now
    if seen and now and now["samples"] == seen["samples"] and now["runs"] == seen["runs"]:
        values[SHOWN.index("samples")] = gr.skip()
    return values


def signature(progress: Progress | None, beside: list[Progress]) -> dict[str, Any] | None:
    """Equal as long as there is nothing new to draw."""
    if progress is None:
        return None
    status = progress.status
    return {
        "runs": [(p.name, p.status.state, p.has_model) for p in (progress, *beside)],
        "scored": [int(np.isfinite(p.figures["val_loss"]).sum()) for p in (progress, *beside)],
        "curves": [(p.name, len(p.figures["step"])) for p in (progress, *beside)],
        "samples": len(progress.samples),
        "status": [status.step, status.steps, status.message, status.error, status.wandb_url, status.seconds],
        "files": [progress.snapshots, progress.pausing, progress.resumable, progress.offline_id],
        "log": [len(progress.log), progress.log[-80:]],
    }


def _status(progress: Progress | None) -> str:
    if progress is None:
        return notice("No run is followed: start one, or choose one from the list.", "info")
    sync = sync_command(progress.directory, progress.offline_id) if progress.offline_id else ""
    return status_html(
        progress.name, progress.status, progress.figures, progress.snapshots, sync, progress.pausing
    )  # fmt: skip


def _curves(progress: Progress | None, beside: list[Progress], look: Look) -> Any:
    shown_runs = [(p.name, p.figures) for p in (progress, *beside) if p is not None]
    return curves(shown_runs, look, _trained_here(progress) or bool(beside))


def _table(progress: Progress | None, beside: list[Progress]) -> str:
    runs = [p for p in (progress, *beside) if p is not None]
    if len(runs) < 2:
        return ""
    return compare_html(
        [p.name for p in runs], [_config(p) for p in runs], [p.figures for p in runs],
        [("parameters", [_parameters(p) for p in runs])],
    )  # fmt: skip


def _config(progress: Progress) -> dict[str, Any]:
    try:
        values = read_json(progress.directory / "config.json")
    except UserError:
        return {}
    return values if isinstance(values, dict) else {}


def _parameters(progress: Progress) -> str:
    try:
        model = read_config(progress.directory).model
    except UserError:
        return "–"
    # The size of the vocabulary is known once the tokenizer is.
    return short_count(models.num_parameters(model)) if model.vocab_size else "–"


def _trained_here(progress: Progress | None) -> bool:
    """An imported run and one that was copied without its metrics have no curves to wait for."""
    return progress is None or is_active(progress) or len(column(progress.figures, "step")) > 0


# ---------------------------------------------------------------------------------------------------------- wishes


def stop_training(name: str | None) -> str:
    try:
        return notice(LocalBackend().stop(name or ""), "info")
    except UserError as error:
        return notice(str(error))


def pause_or_go_on(name: str | None) -> str:
    """Pause a run; have one go on that is paused, or was asked to."""
    backend = LocalBackend()
    try:
        paused = (find_run(name or "") / "pause").exists()
        return notice((backend.unpause if paused else backend.pause)(name or ""), "info")
    except UserError as error:
        return notice(str(error))


def rest_of(progress: Progress | None) -> list[Any]:
    """(steps in all, learning rate) to go on with, as far as they are known."""
    try:
        if progress is None:
            raise ConfigError("No run is followed.")
        config = read_config(progress.directory)
    except UserError:
        return [None, None]
    steps = config.train.max_steps
    return [2 * steps if progress.reached >= steps else steps, config.optim.learning_rate]


def resume_run(name: str | None, steps: float | None, learning_rate: float | None, *looks: Any) -> list[Any]:
    """Go on with a run that ended, with other steps and another learning rate if they are given."""
    backend = LocalBackend()
    try:
        directory = find_run(name or "")
        backend.resume(directory.name, rest_assignments(steps, learning_rate, read_config(directory)))
    except UserError as error:
        return [notice(str(error)), *[gr.skip()] * len(SHOWN)]
    said = notice(f"{directory.name} goes on from its last checkpoint.", "info")
    return [said, *shown(progress_of(directory.name), *looks)]
