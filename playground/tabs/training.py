"""The Training tab: choose what to train, start it as a process of this machine, watch it learn, keep runs in order.

The parts are modules of their own: training_start (the form), training_follow (the followed run and those compared
with it; training_shown is what is seen of them), training_runs (the list of runs), sweep (several values of what the
form describes).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from core.errors import UserError
from playground import models
from playground.arriving import offer
from playground.site import OWN, Site
from playground.tabs import sweep, training_follow, training_modal, training_place, training_runs, training_start
from playground.tabs.training_place import FIELDS, Where
from playground.tabs.training_shown import SHOWN, first_run, look, progress_of, rest_unless_same, run_choices, shown
from playground.telling import Work
from playground.views.notice import notice


@dataclass
class TrainingTab:
    start: training_start.StartPart
    preview: gr.HTML
    close: gr.Button
    follow: training_follow.FollowPart
    runs: training_runs.RunsPart
    modal: training_modal.ModalPart
    sweep: sweep.SweepTab
    site: Site = OWN

    def on_load(self, demo: gr.Blocks, header: Any) -> None:
        part = self.follow
        offer(
            demo, part.follow, arrive, header.model,
            [part.follow, part.compare, self.start.name, self.start.tokenizer],
        )  # fmt: skip
        training_follow.wire_shown(part, demo)
        training_runs.wire_shown(self.runs, part.follow, demo, self.site)
        if not self.site.is_hosted:
            self.sweep.on_load(demo, header)
        elif self.site.launch:  # Modal is chosen from the start, since there is nothing else
            place = self.start.place
            demo.load(
                training_place.reckon, [*place.fields, *self.start.form], place.cost, show_progress="hidden",
                api_visibility="private",
            )  # fmt: skip


def build(model: str | None = None, text: str = "", site: Site = OWN) -> TrainingTab:
    """Where nothing can be launched, only what is there is shown: what would change it has no events."""
    if not site.launch:
        gr.HTML(notice(site.instead, "info", site.signin), padding=False, elem_id="training-off", js_on_load=None)
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300, elem_classes="training-form", visible=site.launch):
            start = training_start.build(site)
        with gr.Column(scale=5, min_width=320):
            preview = gr.HTML("", padding=False, elem_id="training-preview", js_on_load=None)
            close = gr.Button("Close", size="sm", visible=False, elem_id="training-close", min_width=90)
            follow = training_follow.build(model, site)
    runs = training_runs.build(follow.follow.value, site)
    with gr.Column(visible=site.launch):
        on_modal = training_modal.build()
    # A sweep is a process, and that of a hosted page would end with its container.
    with gr.Accordion(
        "Sweep: try several values", open=False, elem_id="training-sweep", visible=not site.is_hosted
    ) as fold:
        tried = sweep.build(own_preset=False)
    tried.fold = fold
    return TrainingTab(start, preview, close, follow, runs, on_modal, tried, site)


def wire(tab: TrainingTab, header: Any) -> None:
    start, follow, runs = tab.start, tab.follow, tab.runs
    training_follow.wire(follow, tab.site)
    training_runs.wire(runs, follow.follow, follow.compare, header, tab.site)
    if tab.site.launch:
        training_start.wire(start, tab.preview, tab.close)
        training_modal.wire(tab.modal, follow.follow, follow.compare, header)
        start.start.click(
            start_training, [start.name, *follow.looks, *start.place.fields, *start.form],
            [start.message, follow.follow, follow.compare, start.name, *follow.shown], show_progress_on=start.message,
            concurrency_limit=training_follow.AT_ONCE, api_visibility="private",
        )  # fmt: skip
    if not tab.site.is_hosted:
        sweep.wire(tab.sweep, header, start.form, training_start.described, start.place.fields)
    follow.timer.tick(
        tick, [follow.follow, *follow.looks, follow.held, follow.seen],
        [*follow.shown, follow.follow, follow.compare, header.model, runs.table, follow.rest_steps, follow.rest_rate,
         follow.rest_cost, follow.message],
        show_progress="hidden", api_visibility="private", js=training_follow.HELD,
    )  # fmt: skip


def arrive(model: str | None) -> list[Any]:
    """What there is when a page is opened, and the run to follow: the one that trains now, whoever started it."""
    choices = run_choices()
    return [
        gr.update(choices=choices), gr.update(choices=choices), training_start.name_offered(training_start.START),
        training_start.refreshed_tokenizers(), first_run(model),
    ]  # fmt: skip


def start_training(name: str | None, *values: Any) -> Iterator[list[Any]]:
    """Check the form, start the run, and follow it. What is sent to Modal first is told while it is sent."""
    looks, where, form = values[:5], Where(*values[5 : 5 + FIELDS]), values[5 + FIELDS :]
    skips = [gr.skip()] * (3 + len(SHOWN))
    if where.place == "modal":
        yield [notice("Asking Modal …", "busy"), *skips]
    work = Work(lambda say: training_start.start_run(name, where, form, say))
    for text in work:
        yield [notice(f"{text[0].upper()}{text[1:]} …", "busy"), *skips]
    try:
        started = work.result()
    except UserError as error:
        yield [notice(str(error)), *skips]
        return
    place = " on Modal" if where.place == "modal" else ""
    said = notice(f"{started} is starting{place}. It goes on when this page is closed.", "info")
    choices = run_choices()
    yield [
        said, gr.update(choices=choices, value=started), gr.update(choices=choices),
        {**training_start.name_offered(str(form[0])), "value": ""}, *shown(progress_of(started), *looks),
    ]  # fmt: skip


def tick(name: str | None, *values: Any) -> list[Any]:
    """Draw what has changed. When a run changes its state, the lists of runs are brought up to date: one that can be
    used from now on is offered in the header."""
    seen = values[-1] or {"runs": None, "scored": None}
    drawn = look(name, *values)
    now = drawn[-1]
    known = isinstance(now, dict) and "runs" in now  # else nothing has changed, or there is no run
    lists = known and now["runs"] != seen["runs"]
    return [
        *drawn,
        *([gr.update(choices=run_choices())] * 2 if lists else [gr.skip()] * 2),
        gr.update(choices=models.model_choices()) if lists else gr.skip(),
        training_runs.table_html(name) if lists or (known and now["scored"] != seen["scored"]) else gr.skip(),
        *(rest_unless_same(progress_of(name), values[-1], now) if lists else [gr.skip()] * 3),
        "" if lists and seen["runs"] else gr.skip(),  # what was said of the state before
    ]
