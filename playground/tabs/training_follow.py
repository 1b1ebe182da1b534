"""The Training tab's followed run: state, curves of one or several runs, samples, log; pause, stop, go on.

The training process writes its run directory and this only reads it, once a second while a shown run is training.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from core.errors import UserError
from core.run import find_run, read_config
from playground.places import backend_of
from playground.site import OWN, Site
from playground.tabs.training_shown import (
    MAX_COMPARED,
    SHOWN,
    draw,
    first_run,
    follow_run,
    is_active,
    progress_of,
    rest_cost,
    rest_of,
    run_choices,
    shown,
)  # fmt: skip
from playground.telling import Work
from playground.training_form import rest_assignments
from playground.views.notice import notice
from playground.views.training_curves import CHARTS, X_AXES

AT_ONCE = 4  # visitors whose data or checkpoints are sent to Modal at a time
EVERY = 1.0  # seconds between two looks at the followed run
HELD = "(...values) => [...values.slice(0, -2), !!document.querySelector('.dragcover, #training-plot :active'), null]"
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
    rest_cost: gr.HTML
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


def build(model: str | None = None, site: Site = OWN) -> FollowPart:
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
    with gr.Row(elem_classes="training-actions", visible=site.launch):
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
    with (
        gr.Column(visible=site.launch),
        gr.Accordion(
            "Go on with this run", open=False, visible=values["rest"]["visible"], elem_id="training-rest"
        ) as rest,
    ):
        with gr.Row(equal_height=False):
            rest_steps = gr.Number(
                rest_of(progress)[0], label="Steps in all", precision=0, min_width=110, elem_id="training-rest-steps"
            )
            rest_rate = gr.Number(rest_of(progress)[1], label="Learning rate of the rest", min_width=110)
            go_on = gr.Button("Go on training", min_width=130, elem_id="training-go-on")
        rest_price = gr.HTML(rest_of(progress)[2], padding=False, elem_id="training-rest-cost", js_on_load=None)
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
    held = gr.Checkbox(False, label="The plot is held", visible=False)
    seen = gr.State(values["seen"])
    return FollowPart(
        follow, compare, status, pause, stop, message, chart, x, smoothing, log_axis, plot, table, samples, log, rest,
        rest_steps, rest_rate, rest_price, go_on, timer, held, seen,
    )  # fmt: skip


def wire(part: FollowPart, site: Site = OWN) -> None:
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    # Not when the other list is opened: a choice that is made before the answer comes would be lost.
    part.follow.focus(lambda: [gr.update(choices=run_choices())] * 2, None, [part.follow, part.compare], **quiet)
    part.follow.input(lambda: "", None, part.message, **quiet)
    gr.on(
        [part.chart.change, part.x.change, part.smoothing.change, part.log_axis.change],
        draw, [part.follow, *part.looks], part.plot, trigger_mode="always_last", **quiet,
    )  # fmt: skip
    if not site.launch:
        return
    part.rest_steps.change(
        lambda name, steps: rest_cost(progress_of(name), steps), [part.follow, part.rest_steps], part.rest_cost,
        trigger_mode="always_last", **quiet,
    )  # fmt: skip
    part.pause.click(pause_or_go_on, part.follow, part.message, **quiet)
    part.stop.click(stop_training, part.follow, part.message, **quiet)
    part.go_on.click(
        resume_run, [part.follow, part.rest_steps, part.rest_rate, *part.looks], [part.message, *part.shown],
        concurrency_limit=AT_ONCE, **quiet,
    )  # fmt: skip


def wire_shown(part: FollowPart, demo: gr.Blocks) -> None:
    """What is shown of the followed run: one event, so that the last answer is about the last choice."""
    gr.on(
        [demo.load, part.follow.change, part.compare.change], follow_run, [part.follow, *part.looks, part.seen],
        [*part.shown, part.rest_steps, part.rest_rate, part.rest_cost], trigger_mode="always_last",
        show_progress="hidden", api_visibility="private",
    )  # fmt: skip


# ---------------------------------------------------------------------------------------------------------- wishes


def stop_training(name: str | None) -> str:
    try:
        return notice(backend_of(name or "").stop(name or ""), "info")
    except UserError as error:
        return notice(str(error))


def pause_or_go_on(name: str | None) -> str:
    """Pause a run; have one go on that is paused, or was asked to."""
    try:
        backend = backend_of(name or "")
        paused = (find_run(name or "") / "pause").exists()
        return notice((backend.unpause if paused else backend.pause)(name or ""), "info")
    except UserError as error:
        return notice(str(error))


def resume_run(name: str | None, steps: float | None, learning_rate: float | None, *looks: Any) -> Iterator[list[Any]]:
    """Go on with a run that ended, with other steps and another learning rate if they are given. What is sent to Modal
    first is told while it is sent."""

    def resume(say: Callable[[str], None]) -> str:
        directory, backend = find_run(name or ""), backend_of(name or "", say=say)
        backend.resume(directory.name, rest_assignments(steps, learning_rate, read_config(directory)))
        return directory.name

    work = Work(resume)
    for text in work:
        yield [notice(f"{text[0].upper()}{text[1:]} …", "busy"), *[gr.skip()] * len(SHOWN)]
    try:
        resumed = work.result()
    except UserError as error:
        yield [notice(str(error)), *[gr.skip()] * len(SHOWN)]
        return
    yield [notice(f"{resumed} goes on from its last checkpoint.", "info"), *shown(progress_of(resumed), *looks)]
