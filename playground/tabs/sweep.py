"""Sweeps in the Training tab: several values of some keys, trained one after another, the losers stopped early.

A sweep is a process of its own and goes on when the page is closed; this part only reads its files, every two seconds
while the followed sweep is running.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import gradio as gr

from core.config import RunConfig
from core.errors import UserError
from core.presets import PRESETS, preset
from core.run import Status
from core.sweep import SweepSpec, draw_trials, training_steps
from playground.arriving import offer
from playground.places import given_hours
from playground.sweep_files import Sweep, latest, read_sweep, sweep_names, sweep_status
from playground.sweep_form import SweepForm, cost, cost_there, keys, of_preset, pairs_of, spec_of
from playground.sweeps import launch_sweep, resume_sweep, stop_sweep
from playground.tabs.training_place import Where
from playground.views.notice import notice
from playground.views.sweep import METRICS, cost_html, cost_there_html, parallel, status_html, table_html

EVERY = 2.0  # seconds between two looks at the followed sweep
AT_ONCE = 4  # trials side by side on Modal
START = "demo"
ROWS = [("optim.learning_rate", "1e-3, 3e-3"), ("model.d_model", "64, 128"), (None, "")]
KINDS = [("Every combination", "grid"), ("Draw at random", "random")]
HELP = {
    "grid": "Values with commas between them, such as 1e-3, 3e-3.",
    "random": "Ranges such as log:1e-4:1e-2, uniform:0:0.3 or int:1:8, or values with commas between them.",
}


@dataclass
class SweepTab:
    preset: gr.Dropdown
    steps: gr.Number
    kind: gr.Radio
    help: gr.HTML
    keys: list[gr.Dropdown]
    values: list[gr.Textbox]
    trials: gr.Number
    halving: gr.Checkbox
    eta: gr.Number
    rungs: gr.Number
    metric: gr.Dropdown
    name: gr.Textbox
    cost: gr.HTML
    start: gr.Button
    stop: gr.Button
    resume: gr.Button
    message: gr.HTML
    follow: gr.Dropdown
    status: gr.HTML
    plot: gr.Plot
    table: gr.HTML
    timer: gr.Timer
    seen: gr.State  # what the page shows of the followed sweep, so that nothing is drawn twice
    reckon: Callable[..., str] | None = None  # what it costs, from `reckoned`; known once the events are bound
    reckoned: list[Any] = field(default_factory=list)
    fold: gr.Accordion | None = None  # that it is folded into: the cost is told when it is opened

    @property
    def form(self) -> list[Any]:
        pairs = [component for pair in zip(self.keys, self.values) for component in pair]
        return [self.kind, self.trials, self.halving, self.eta, self.rungs, self.metric, *pairs]

    @property
    def shown(self) -> list[Any]:
        return [self.status, self.plot, self.table, self.stop, self.resume, self.timer, self.seen]

    def on_load(self, demo: gr.Blocks, header: Any = None) -> None:
        quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        offer(demo, self.follow, arrive, None, [self.follow, self.name])
        gr.on([demo.load, self.follow.change], _show, self.follow, self.shown, trigger_mode="always_last", **quiet)
        if self.reckon is not None:
            told = self.fold.expand if self.fold is not None else demo.load
            told(self.reckon, self.reckoned, self.cost, **quiet)


def build(own_preset: bool = True) -> SweepTab:
    """The form, and the sweep that is followed. own_preset: False where another form says what is trained."""
    names = sweep_names()
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300, elem_classes="training-form"):
            with gr.Row(visible=own_preset):
                chosen = gr.Dropdown(list(PRESETS), value=START, label="Preset", min_width=150, elem_id="sweep-preset")
                steps = gr.Number(
                    preset(START).train.max_steps, label="Steps of a trial", precision=0, min_width=110,
                    elem_id="sweep-steps",
                )  # fmt: skip
            kind = gr.Radio(
                KINDS,
                value="grid",
                label="Which values",
                show_label=False,
                elem_id="sweep-kind",
                elem_classes="segmented",
            )
            help_line = gr.HTML(help_html("grid"), padding=False)
            dropdowns, boxes = [], []
            for number, (key, values) in enumerate(ROWS, 1):
                with gr.Row():
                    dropdowns.append(
                        gr.Dropdown(
                            [("", ""), *((key, key) for key in keys())], value=key or "", label=f"Key {number}",
                            min_width=160, scale=3, elem_classes="sweep-key", elem_id=f"sweep-key-{number}",
                        )
                    )  # fmt: skip
                    boxes.append(
                        gr.Textbox(
                            values, label="Values", min_width=120, scale=2, max_length=400, max_lines=1,
                            elem_id=f"sweep-values-{number}",
                        )
                    )  # fmt: skip
            trials = gr.Number(8, label="Trials", precision=0, visible=False, elem_id="sweep-trials")
            halving = gr.Checkbox(True, label="Stop losers early (successive halving)", elem_id="sweep-halving")
            with gr.Row():
                eta = gr.Number(2, label="One in … goes on", precision=0, min_width=110)
                rungs = gr.Number(3, label="Rungs", precision=0, min_width=110)
            metric = gr.Dropdown([(name, key) for key, name in METRICS.items()], value="val_loss", label="Compared by")
            name = gr.Textbox(placeholder=unused_name(), label="Name of the sweep", max_length=60, elem_id="sweep-name")
            told = gr.HTML("", padding=False, elem_id="sweep-cost")
            with gr.Row():
                start = gr.Button("Start sweep", variant="primary", min_width=140, scale=3, elem_id="sweep-start")
                stop = gr.Button("Stop", variant="stop", min_width=70, interactive=False, elem_id="sweep-stop")
                resume = gr.Button("Resume", min_width=90, interactive=False, elem_id="sweep-resume")
            message = gr.HTML("", padding=False, elem_id="sweep-message")
        with gr.Column(scale=5, min_width=320):
            follow = gr.Dropdown(names, value=names[0] if names else None, label="Sweep", elem_id="sweep-follow")
            shown = _show(names[0] if names else None)
            status = gr.HTML(shown[0], padding=False, elem_id="sweep-status")
            plot = gr.Plot(shown[1], show_label=False, elem_id="sweep-plot")
            table = gr.HTML(shown[2], padding=False, elem_id="sweep-table")
    return SweepTab(
        chosen, steps, kind, help_line, dropdowns, boxes, trials, halving, eta, rungs, metric, name, told, start, stop,
        resume, message, follow, status, plot, table, shown[5], gr.State(shown[6]),
    )  # fmt: skip


def wire(
    tab: SweepTab,
    header: Any = None,
    inputs: Sequence[Any] | None = None,
    base: Callable[..., RunConfig] | None = None,
    place: Sequence[Any] = (),
) -> None:
    """Bind the events. inputs, base: the fields of another form, and what makes a configuration of their values.
    place: the fields of training_place.Where; none: trials are trained on this machine."""
    source = list(inputs) if inputs is not None and base is not None else [tab.preset, tab.steps]
    make = base if inputs is not None and base is not None else of_preset
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}

    def reckon(*values: Any) -> str:
        where, values = Where(*values[: len(place)]), values[len(place) :]
        try:
            spec = spec_of(make(*values[: len(source)]), form_of(values[len(source) :]))
            if where.place == "modal":
                return reckon_there(spec, where)
            found = cost(spec)
            return cost_html(found.trials, found.parts, found.seconds, found.told_by)
        except UserError as error:
            return notice(str(error))

    tab.reckon, tab.reckoned = reckon, [*place, *source, *tab.form]

    def start(name: str, *values: Any) -> list[Any]:
        where, values = Where(*values[: len(place)]), values[len(place) :]
        try:
            spec = spec_of(make(*values[: len(source)]), form_of(values[len(source) :]))
            there: dict[str, Any] = {}
            if where.place == "modal":
                spec = replace(spec, at_once=AT_ONCE)
                there = {"gpu": where.gpus, "hours": given_hours(where.hours), "log": where.log}
            sweep = launch_sweep(spec, (name or "").strip() or unused_name(), place=where.place, **there)
        except UserError as error:
            return [notice(str(error)), *[gr.skip()] * (2 + len(tab.shown))]
        said = f"{sweep.name} is starting. It goes on when this page is closed."
        choices = gr.update(choices=sweep_names(), value=sweep.name)
        return [notice(said, "info"), choices, {**name_offered(), "value": ""}, *_show(sweep.name)]

    tab.preset.input(lambda name: preset(name).train.max_steps, tab.preset, tab.steps, **quiet)
    tab.kind.input(show_kind, tab.kind, [tab.trials, tab.help], **quiet)
    tab.halving.input(lambda on: [gr.update(visible=on)] * 2, tab.halving, [tab.eta, tab.rungs], **quiet)
    gr.on(
        [*(component.change for component in tab.form), *map(settles, source), *(one.change for one in place)],
        reckon, tab.reckoned, tab.cost, trigger_mode="always_last", **quiet,
    )  # fmt: skip
    tab.start.click(
        start, [tab.name, *place, *source, *tab.form], [tab.message, tab.follow, tab.name, *tab.shown],
        show_progress_on=tab.message, api_visibility="private",
    )  # fmt: skip
    tab.stop.click(stop, tab.follow, tab.message, **quiet)
    tab.resume.click(resume, tab.follow, [tab.message, *tab.shown], **quiet)
    tab.follow.focus(lambda: gr.update(choices=sweep_names()), None, tab.follow, **quiet)
    tab.timer.tick(look, [tab.follow, tab.seen], tab.shown, **quiet)


def reckon_there(spec: SweepSpec, where: Where) -> str:
    """What the sweep costs on Modal."""
    from remote.client import DATE

    hours = given_hours(where.hours)
    estimate = cost_there(spec, where.gpus, hours)
    trials = len(draw_trials(spec))
    return cost_there_html(trials, training_steps(spec, trials), estimate, where.gpus, hours, DATE)


def settles(component: Any) -> Any:
    """The event of a field of another form that is worth reckoning anew: not every letter."""
    return component.blur if isinstance(component, (gr.Textbox, gr.Number)) else component.change


def form_of(values: Sequence[Any]) -> SweepForm:
    kind, trials, halving, eta, rungs, metric, *pairs = values
    return SweepForm(kind, trials, halving, eta, rungs, metric, pairs_of(pairs))


def show_kind(kind: str) -> list[Any]:
    return [gr.update(visible=kind == "random"), help_html(kind)]


def help_html(kind: str) -> str:
    return f'<p class="sweep-help">{HELP.get(kind, "")}</p>'


def unused_name() -> str:
    taken, number = sweep_names(), 1
    while f"sweep-{number}" in taken:
        number += 1
    return f"sweep-{number}"


def name_offered() -> Any:
    """An update of the field for the name: no value, which would overwrite what somebody types meanwhile."""
    return gr.update(placeholder=unused_name())


def arrive() -> list[Any]:
    names = sweep_names()
    return [gr.update(choices=names), name_offered(), names[0] if names else None]


def stop(name: str | None) -> str:
    try:
        return notice(stop_sweep(name or ""), "info")
    except UserError as error:
        return notice(str(error))


def resume(name: str | None) -> list[Any]:
    try:
        sweep = resume_sweep(name or "")
    except UserError as error:
        return [notice(str(error)), *[gr.skip()] * 7]
    return [notice(f"{sweep.name} goes on.", "info"), *_show(sweep.name)]


def look(name: str | None, seen: Any) -> list[Any]:
    """A tick: draw what has changed."""
    shown = _show(name)
    if shown[-1] == seen:
        return [gr.skip()] * len(shown)
    if shown[-1] and seen and shown[-1][-1] == seen[-1]:
        shown[1] = gr.skip()  # no trial has another figure
    return shown


def _show(name: str | None) -> list[Any]:
    """Values for `SweepTab.shown`."""
    try:
        if not name:
            return _nothing("No sweep is followed: start one, or choose one from the list.", "info")
        sweep, status = read_sweep(name), sweep_status(name)
    except UserError as error:
        return _nothing(str(error))
    trials, axes, metric = [asdict(trial) for trial in latest(sweep)], list(sweep.spec.axes), sweep.spec.metric
    best = sweep.best
    return [
        status_html(name, status, sweep.rungs, sweep.rung, metric, best.run if best else ""),
        parallel(name, trials, axes, metric), table_html(trials, axes, metric),
        gr.update(interactive=status.is_active), gr.update(interactive=_can_go_on(sweep, status)),
        gr.Timer(EVERY, active=status.is_active),
        (name, status.state, status.step, status.message, status.error,
         [(trial["state"], trial["step"], trial["value"]) for trial in trials]),
    ]  # fmt: skip


def _nothing(sentence: str, kind: str = "error") -> list[Any]:
    off = gr.update(interactive=False)
    return [
        notice(sentence, kind), parallel("", [], [], "val_loss"), table_html([], [], "val_loss"), off, off,
        gr.Timer(EVERY, active=False), None,
    ]  # fmt: skip


def _can_go_on(sweep: Sweep, status: Status) -> bool:
    return not status.is_active and status.state != "done"
