"""Measure: the header's model on data that one chooses; scores with signatures, by length, and sentence by sentence.

An evaluation is kept as it goes (core.evaluate.store), so that what was stopped goes on, and another metric decodes
nothing again. A hosted page keeps nothing: its visitors measure bundled runs on a little built-in or typed text.
"""

import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from core.errors import RunError, UserError
from core.evaluate import store
from core.evaluate.evaluation import evaluating
from core.evaluate.request import Evaluation, Progress, Request
from core.evaluate.scores import LABELS, METRICS, comet_is_installed, default_metrics
from core.run import Run, default_runs_dir
from playground.decoding_form import LOCAL, MODAL, PLACES
from playground.figure_html import figure_html
from playground.header import NO_MODEL
from playground.models import examples, get_run
from playground.parts import CHANGING, QUIET
from playground.running import Asked, Running
from playground.site import Site, here
from playground.tabs.decoding.work import Work, stamp
from playground.tabs.evaluate import form, lines, outcomes
from playground.tabs.evaluate.form import BUILTIN, FILES, HUB, JSON, MOST, MOST_STRANGERS, OWN, TYPED, Form
from playground.views.degeneration import progress_html
from playground.views.evaluation import carried_html, lengths_spec, scores_html, shown_score, title_of
from playground.views.notice import notice

FIRST = 200  # examples
EVERY = 0.3  # seconds between two pictures
TYPED_PAIRS, TYPED_TEXT = "A sentence, a tab, its translation: one pair a line", "A text"

_running = Running()


@dataclass
class MeasurePart:
    fields: list[Any]  # in the order of Form
    own: gr.HTML
    boxes: list[Any]  # of the kinds of data: built in, files, hub, columns, typed
    run: gr.Button
    stop: gr.Button
    go_on: gr.Button
    asked: gr.State  # (model, Request): what was asked for last
    message: gr.HTML
    shown: gr.Textbox  # the id of the evaluation that is shown
    drawn: gr.State  # what the results were drawn of
    scores: gr.HTML
    lengths: gr.HTML
    lines: lines.LinesPart
    about: gr.State  # the work that the form suits

    @property
    def form(self) -> dict[str, Any]:
        return dict(zip(Form.__dataclass_fields__, self.fields, strict=True))

    @property
    def results(self) -> list[Any]:
        return [self.drawn, self.scores, self.lengths, *self.lines.views]

    @property
    def suited(self) -> list[Any]:
        """Fields that follow from the model."""
        one = self.form
        names = ("source", "builtin", "typed", "strategy", "settings", "metrics", "context", "stride")
        return [*(one[name] for name in names), self.own, *self.boxes]

    @property
    def views(self) -> list[Any]:
        return [self.about, *self.suited, self.message, self.shown, *self.results]

    @property
    def inputs(self) -> list[Any]:
        one, beside = self.form, self.lines
        return [
            self.about, self.shown, self.drawn, one["source"], one["strategy"], one["typed"], one["metrics"],
            beside.order, beside.metric, beside.contains,
        ]  # fmt: skip

    @property
    def shared(self) -> dict[str, Any]:
        one = self.form
        return {"measured": one["source"], "strategy": one["strategy"], "evaluation": self.shown}


def build(site: Site, work: Work) -> MeasurePart:
    hosted = site.is_hosted
    choices = form.sources(site)
    first = choices[0][1]
    columns: dict[str, Any] = {"max_length": form.LONGEST_COLUMN, "min_width": 130}
    with gr.Row(elem_classes="evaluate-form"):
        with gr.Column(scale=1, min_width=300):
            source = gr.Radio(choices, value=first, label="Data", elem_classes="segmented", elem_id="evaluate-source")
            own = gr.HTML("", js_on_load=None, padding=False, elem_id="evaluate-own")
            builtin = gr.Dropdown(
                form.PAIRS, value=form.PAIRS[0][1], label="Data set", info="The part that no bundled run has seen",
                visible=first == BUILTIN, elem_id="evaluate-builtin", **CHANGING,
            )  # fmt: skip
            with gr.Row(visible=False) as files_row:
                file = gr.File(label="Sources, or a table of both", type="filepath", height=110, min_width=150,
                               file_types=form.UPLOADS, elem_id="evaluate-file", visible=not hosted)  # fmt: skip
                references = gr.File(label="References, if they are a file of their own", type="filepath", height=110,
                                     min_width=150, file_types=[".txt"], elem_id="evaluate-references",
                                     visible=not hosted)  # fmt: skip
            with gr.Row(visible=False) as hub_row:
                hub = gr.Textbox("", label="Data set", placeholder="org/name", max_length=200, min_width=180,
                                 elem_id="evaluate-hub")  # fmt: skip
                split = gr.Textbox("", label="Split", placeholder="as in training", **columns)
            with gr.Row(visible=False) as columns_row:
                src_column = gr.Textbox("", label="Source column", placeholder="as in training", **columns)
                tgt_column = gr.Textbox("", label="Reference column", placeholder="as in training", **columns)
                text_column = gr.Textbox("", label="Text column", placeholder="as in training", **columns)
            typed = gr.Textbox(
                "", label=TYPED_PAIRS, lines=4, max_lines=10, max_length=site.characters, visible=False,
                elem_id="evaluate-typed",
            )  # fmt: skip
        with gr.Column(scale=1, min_width=300):
            strategy = gr.Dropdown(form.STRATEGIES, value="beam", label="Strategy", elem_id="evaluate-strategy")
            settings = gr.Textbox(
                "", label="Settings, as JSON", lines=3, max_lines=10, max_length=form.LONGEST_JSON, visible=False,
                placeholder='{"strategy": "beam", "num_beams": 8, "length_penalty": 0.8}', elem_id="evaluate-settings",
            )  # fmt: skip
            metrics = gr.CheckboxGroup(
                metric_choices(), value=list(default_metrics("")), label="Metrics", elem_id="evaluate-metrics"
            )
            with gr.Row(elem_classes="toolbar"):
                number = gr.Number(
                    MOST_STRANGERS if hosted else FIRST, label="Examples", precision=0, minimum=1 if hosted else 0,
                    maximum=MOST_STRANGERS if hosted else MOST, min_width=110, elem_id="evaluate-examples",
                    info=f"Up to {MOST_STRANGERS}" if hosted else "0: all",
                )  # fmt: skip
                context = gr.Number(0, label="Context", info="Tokens; 0: all", precision=0, minimum=0, min_width=110,
                                    visible=False, elem_id="evaluate-context")  # fmt: skip
                stride = gr.Number(0, label="Stride", info="0: as the context", precision=0, minimum=0, min_width=110,
                                   visible=False, elem_id="evaluate-stride")  # fmt: skip
                places = [(PLACES[LOCAL], LOCAL), *([] if hosted else [(PLACES[MODAL], MODAL)])]
                place = gr.Radio(places, value=LOCAL, label="Where", elem_classes="segmented", visible=not hosted,
                                 elem_id="evaluate-place")  # fmt: skip
            overlap = gr.Checkbox(False, label="Look for these examples in the training data", visible=not hosted,
                                  elem_id="evaluate-overlap")  # fmt: skip
            with gr.Row(elem_classes="train-buttons"):
                run = gr.Button("Measure", variant="primary", min_width=120, scale=0, elem_id="evaluate-run")
                stop = gr.Button("Stop", variant="stop", visible=False, min_width=90, scale=0, elem_id="evaluate-stop")
                go_on = gr.Button("Go on", visible=False, min_width=90, scale=0, elem_id="evaluate-go-on")
    message = gr.HTML("", js_on_load=None, elem_id="evaluate-message")
    scores = gr.HTML("", js_on_load=None, elem_id="evaluate-scores", padding=False)
    lengths = figure_html("", "evaluate-lengths")
    shown = gr.Textbox("", label="Shown evaluation", visible="hidden", max_length=12, elem_id="evaluate-shown")
    beside = lines.build_lines(site, "evaluate", shown, "worst")
    fields = [
        source, builtin, file, references, hub, split, src_column, tgt_column, text_column, typed, strategy, settings,
        number, metrics, context, stride, overlap, place,
    ]  # fmt: skip
    boxes = [files_row, hub_row, columns_row, src_column, tgt_column, text_column]
    return MeasurePart(
        fields, own, boxes, run, stop, go_on, gr.State(None), message, shown, gr.State(None), scores, lengths, beside,
        gr.State(None),
    )  # fmt: skip


def metric_choices() -> list[tuple[str, str]]:
    return [(title_of(name), name) for name in METRICS if name != "comet" or comet_is_installed()]


def wire(part: MeasurePart, work: gr.State) -> None:
    one, beside = part.form, part.lines
    gr.on([one["source"].input, one["strategy"].input], choose_fields, [work, one["source"], one["strategy"]],
          [one["builtin"], one["typed"], one["settings"], part.own, *part.boxes], **QUIET)  # fmt: skip
    once = QUIET | {"trigger_mode": "once", "concurrency_limit": 2}
    buttons = [part.run, part.stop, part.go_on]
    outputs = [part.message, part.asked, *buttons, part.shown, *part.results]
    part.run.click(measure, [work, *part.fields], outputs, **once)
    part.go_on.click(go_on_measuring, part.asked, outputs, **once)
    part.stop.click(stop_measuring, None, None, queue=False, show_progress="hidden", api_visibility="private")
    drawing = [part.shown, part.drawn, beside.order, beside.metric, beside.contains]
    part.shown.change(show_evaluation, drawing, part.results, **QUIET)


def show(
    work: Work, about: Any, shown: Any, drawn: Any, source: Any, strategy: Any, typed: Any, metrics: Any, *sorting: Any
) -> list[Any]:
    """Values for `views`: the form for the model, and its last evaluation."""
    now = (work.model, stamp(work))
    if about == now:
        return [gr.skip()] * VIEWS
    try:
        if not work.model:
            raise RunError(NO_MODEL)
        run = get_run(work.model)
    except UserError as error:
        return [now, *[gr.skip()] * SUITED, notice(str(error)), "", None, "", "", *hidden_lines()]
    first = not isinstance(about, tuple)
    linked = shown if first and isinstance(shown, str) and shown else ""
    id = linked or outcomes.newest(run.name)
    results = show_evaluation(id, None, *sorting) if id else nothing_yet(run)
    return [now, *_suited(run, source, strategy, typed, metrics, about), "", id, *results]


def choose_fields(work: Work, source: Any, strategy: Any) -> list[Any]:
    """The fields of a kind of data and of a strategy: built in, typed, settings, own, and `boxes`."""
    try:
        run = get_run(work.model)
    except UserError:
        return [gr.skip()] * 10
    translates = run.is_translation
    columns = source in (FILES, HUB)
    return [
        gr.Dropdown(visible=source == BUILTIN), gr.Textbox(visible=source == TYPED),
        gr.Textbox(visible=translates and strategy == JSON), _own(run, source),
        gr.Row(visible=source == FILES), gr.Row(visible=source == HUB), gr.Row(visible=columns),
        gr.Textbox(visible=columns and translates), gr.Textbox(visible=columns and translates),
        gr.Textbox(visible=columns and not translates),
    ]  # fmt: skip


def stop_measuring(request: gr.Request) -> None:
    """It ends within a step; what is there is kept."""
    _running.stop(request)


def measure(request: gr.Request, work: Work, *fields: Any) -> Iterator[tuple[Any, ...]]:
    """The evaluation as it goes: message, what was asked, buttons, id, results."""
    try:
        if not work.model:
            raise RunError(NO_MODEL)
        run, given = get_run(work.model), Form(*fields)
        wanted = form.request_of(run, given)
        place = given.place if given.place in (LOCAL, MODAL) and not here().is_hosted else LOCAL
    except UserError as error:
        yield notice(str(error)), gr.skip(), *_buttons(False), gr.skip(), *[gr.skip()] * RESULTS
        return
    yield from _measured(request, (work.model, wanted, place))


def go_on_measuring(request: gr.Request, asked: Any) -> Iterator[tuple[Any, ...]]:
    """The same once more: what is there is not decoded again."""
    if not isinstance(asked, tuple) or len(asked) != 3:
        yield (
            notice("There is nothing to go on with: press Measure."),
            gr.skip(),
            *_buttons(False),
            *[gr.skip()] * (1 + RESULTS),
        )
        return
    yield from _measured(request, asked)


def _measured(request: gr.Request, asked: tuple[str, Request, str]) -> Iterator[tuple[Any, ...]]:
    model, wanted, place = asked
    nothing = [gr.skip()] * (1 + RESULTS)
    at: Progress | None = None
    found: Evaluation | None = None
    problem, began = "", time.time()
    try:
        with _running.as_job(Asked(), request) as job:
            yield progress_html("The data is read …", 0), asked, *_buttons(True), *nothing
            run = get_run(model)
            seen = time.monotonic()
            with closing(steps_of(run, wanted, place)) as steps:
                while not job.stopped:
                    try:
                        at = next(steps)
                    except StopIteration as end:
                        found = end.value
                        break
                    if time.monotonic() - seen > EVERY:
                        seen = time.monotonic()
                        yield progress_html(_said(at), at.share), *[gr.skip()] * 4, *nothing
        if found is None:
            problem = "Stopped by you."
    except UserError as error:  # also of a hosted page, whose time is over
        problem = str(error)
    if found is not None:
        id = found.id
        if here().is_hosted:
            outcomes.remember(outcomes.Outcome(replace(found, lines=()), found.lines, (found.id, found.created)))
        yield "", asked, *_buttons(False), id, *show_evaluation(id, None, "worst", "chrf", "")
        return
    id = "" if here().is_hosted else _left(model, began)
    if id:
        told = f"{problem} What is there is kept: “Go on” takes it up again."
        yield notice(told, "info"), asked, *_buttons(False, True), id, *show_evaluation(id, None, "input", "chrf", "")
    else:
        kind = "info" if problem.startswith("Stopped") else "error"
        yield notice(problem + _so_far(at), kind), asked, *_buttons(False), *nothing


def steps_of(run: Run, request: Request, place: str) -> Generator[Progress, None, Evaluation]:
    """The evaluation on this machine, or on Modal."""
    if place == MODAL:
        return steps_there(run, request)
    return evaluating(run, request, default_runs_dir(), keep=not here().is_hosted)


def steps_there(run: Run, request: Request) -> Generator[Progress, None, Evaluation]:
    raise RunError("Evaluations on Modal are started with `llm-scratch eval --on modal`.")
    yield


def show_evaluation(id: Any, drawn: Any, order: Any, metric: Any, contains: Any) -> list[Any]:
    """Values for `results`: of an evaluation that was opened, measured or linked to."""
    if not id:
        return [gr.skip()] * RESULTS
    try:
        found = outcomes.outcome(id)
    except UserError as error:
        return [None, notice(str(error), "info"), "", *hidden_lines()]
    if drawn == found.stamp:
        return [gr.skip()] * RESULTS
    return [
        found.stamp, scores_html(found.evaluation, found.how), lengths_spec(found.evaluation),
        *lines.show_lines(id, order, metric, contains, 1),
    ]  # fmt: skip


def nothing_yet(run: Run) -> list[Any]:
    """Results before anything was measured: what the run came with."""
    carried = carried_html(run.name, run.scores)
    hint = '<p class="nothing">Nothing has been measured with this model here yet: press “Measure”.</p>'
    return [None, carried or hint, "", *hidden_lines()]


def hidden_lines() -> list[Any]:
    return [gr.Column(visible=False), "", "", gr.skip(), gr.skip()]


def _suited(run: Run, source: Any, strategy: Any, typed: Any, metrics: Any, about: Any) -> list[Any]:
    """Values for `suited`."""
    translates = run.is_translation
    known = [name for _, name in form.sources(here())]
    if source not in known or (source == OWN and not form.own_is_here(run)):
        source = BUILTIN
    builtin = form.built_in(run)
    suits = run.config.data.name in [name for _, name in builtin]
    kept = isinstance(typed, str) and typed.strip() and not _are_examples(typed, about)
    text = typed if kept else ("" if translates else "\n".join(examples(run)[:1]))
    language = run.config.data.tgt_language or ("ja" if run.config.data.name == "builtin:enja" else "")
    columns = source in (FILES, HUB)
    return [
        source,
        gr.Dropdown(choices=builtin, value=run.config.data.name if suits else builtin[0][1], visible=source == BUILTIN),
        gr.Textbox(text, label=TYPED_PAIRS if translates else TYPED_TEXT, visible=source == TYPED),
        gr.Dropdown(visible=translates),
        gr.Textbox(visible=translates and strategy == JSON),
        gr.CheckboxGroup(value=list(default_metrics(language)), visible=translates),
        gr.Number(visible=not translates),
        gr.Number(visible=not translates),
        _own(run, source),
        gr.Row(visible=source == FILES),
        gr.Row(visible=source == HUB),
        gr.Row(visible=columns),
        gr.Textbox(visible=columns and translates),
        gr.Textbox(visible=columns and translates),
        gr.Textbox(visible=columns and not translates),
    ]


SUITED, RESULTS = 15, 3 + 5  # how many values
VIEWS = 1 + SUITED + 2 + RESULTS


def _are_examples(typed: str, about: Any) -> bool:
    """Whether nobody has typed this: it is the example of the model before."""
    try:
        return isinstance(about, tuple) and bool(about[0]) and typed in examples(get_run(about[0]))
    except UserError:
        return False


def _own(run: Run, source: Any) -> str:
    if source != OWN:
        return ""
    named = form.own_data(run)
    if not named:
        return notice("What this model was trained on is not known: choose other data.", "info")
    if not form.own_is_here(run):
        told = f"{named[0].upper()}{named[1:]} is not on this machine: choose other data."
        return notice(told, "info")
    return notice(f"{named[0].upper()}{named[1:]}: {run.name} was not trained on it.", "info")


def _buttons(busy: bool, can_go_on: bool = False) -> tuple[Any, Any, Any]:
    return gr.Button(visible=not busy), gr.Button(visible=busy), gr.Button(visible=can_go_on)


def _left(model: str, since: float) -> str:
    """The id of what was being measured of a model when it was stopped; "" if nothing had begun."""
    newest, when = "", since - 1
    for listed in store.list_evaluations(default_runs_dir(), get_run(model).name):
        if listed.evaluation is None or listed.evaluation.state != "stopped":
            continue
        try:
            changed = (listed.directory / store.RESULT).stat().st_mtime
        except OSError:
            continue
        if changed > when:
            newest, when = listed.id, changed
    return newest


def _said(at: Progress) -> str:
    told = f"{at.what[0].upper()}{at.what[1:]}" if at.what else "Measuring"
    if at.total:
        told += f": {at.done:,} of {at.total:,}"
    if at.scores:
        told += " · " + ", ".join(
            f"{LABELS.get(name, name)} {shown_score(name, value)}" for name, value in at.scores.items()
        )
        told += " so far"
    if at.seconds_left is not None and at.seconds_left == at.seconds_left:
        told += f" · about {duration(at.seconds_left)} left"
    return f"{told}."


def _so_far(at: Progress | None) -> str:
    if at is None or not at.scores:
        return ""
    scores = ", ".join(f"{LABELS.get(name, name)} {shown_score(name, value)}" for name, value in at.scores.items())
    return f" Of the first {at.done:,} of {at.total:,} it had: {scores}."


def duration(seconds: float) -> str:
    """
    >>> duration(4.2), duration(312), duration(9000)
    ('4 s', '5 min', '2.5 h')
    """
    if seconds < 100:
        return f"{max(0, seconds):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6_000 else f"{seconds / 3_600:.1f} h"
