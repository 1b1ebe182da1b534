"""Measure: the header's model on data that one chooses; scores with signatures, by length, and sentence by sentence.

An evaluation is kept as it goes (core.evaluate.store), so that what was stopped goes on, and another metric decodes
nothing again. A hosted page keeps nothing: its visitors measure bundled runs on a little built-in or typed text.
"""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from core.errors import RunError, UserError
from core.evaluate.mauve import is_installed as mauve_is_installed
from core.evaluate.scores import METRICS, comet_is_installed, default_metrics
from core.run import Run
from playground.decoding_form import LOCAL, MODAL, PLACES
from playground.figure_html import figure_html
from playground.header import NO_MODEL
from playground.models import examples, get_run
from playground.parts import CHANGING, QUIET
from playground.site import Site, here
from playground.tabs.decoding.work import Work, stamp
from playground.tabs.evaluate import form, lines, outcomes
from playground.tabs.evaluate.form import BUILTIN, FILES, HUB, JSON, MOST, MOST_STRANGERS, OWN, TYPED, Form
from playground.tabs.evaluate.measuring import (
    RESULTS,
    go_on_measuring,
    hidden_lines,
    measure,
    show_evaluation,
    stop_measuring,
    turn_to_evaluation,
)
from playground.views.evaluation import carried_html, title_of
from playground.views.notice import notice

FIRST = 200  # examples
TYPED_PAIRS, TYPED_TEXT = "A sentence, a tab, its translation: one pair a line", "A text"


@dataclass
class MeasurePart:
    fields: list[Any]  # in the order of Form
    own: gr.HTML
    boxes: list[Any]  # of the kinds of data: files, hub, columns
    writing: gr.Accordion  # of language models: what they write
    run: gr.Button
    stop: gr.Button
    go_on: gr.Button
    asked: gr.State  # (model, Request): what was asked for last
    message: gr.HTML
    shown: gr.Textbox  # the id of the evaluation that is shown
    drawn: gr.State  # what the results were drawn of
    scores: gr.HTML
    lengths: gr.HTML
    written: list[gr.HTML]  # figures of what a language model wrote
    lines: lines.LinesPart
    about: gr.State  # the work that the form suits

    @property
    def form(self) -> dict[str, Any]:
        return dict(zip(Form.__dataclass_fields__, self.fields, strict=True))

    @property
    def results(self) -> list[Any]:
        return [self.drawn, self.scores, self.lengths, *self.written, *self.lines.views]

    @property
    def suited(self) -> list[Any]:
        """Fields that follow from the model."""
        one = self.form
        names = ("source", "builtin", "typed", "strategy", "settings", "metrics", "context", "stride")
        return [*(one[name] for name in names), self.own, *self.boxes, self.writing]

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
                file = gr.File(label="Sources, or a table of both", type="filepath", height=150, min_width=150,
                               file_types=form.UPLOADS, elem_id="evaluate-file", visible=not hosted)  # fmt: skip
                references = gr.File(label="References, if they are a file of their own", type="filepath", height=150,
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
            with (
                gr.Accordion("What it writes behind prompts from the text", open=False, visible=False) as writing,
                gr.Row(elem_classes="toolbar"),
            ):
                prompts = gr.Number(0, label="Prompts", info="0: none", precision=0, minimum=0,
                                    maximum=form.MOST_PROMPTS, min_width=110, elem_id="evaluate-prompts")  # fmt: skip
                new_tokens = gr.Number(40, label="New tokens", info="Of each", precision=0, minimum=1,
                                       maximum=form.MOST_NEW_TOKENS, min_width=110)  # fmt: skip
                strategies = gr.CheckboxGroup(form.WRITING, value=["greedy", "top-p"], label="Strategies")
                mauve = gr.Dropdown(
                    [("not measured", ""), *((name, name) for name in form.readers())], value="", label="MAUVE",
                    info="Which model reads the texts", min_width=150, visible=mauve_is_installed(),
                    elem_id="evaluate-mauve", **CHANGING,
                )  # fmt: skip
            with gr.Row(elem_classes="train-buttons"):
                run = gr.Button("Measure", variant="primary", min_width=120, scale=0, elem_id="evaluate-run")
                stop = gr.Button("Stop", variant="stop", visible=False, min_width=90, scale=0, elem_id="evaluate-stop")
                go_on = gr.Button("Go on", visible=False, min_width=90, scale=0, elem_id="evaluate-go-on")
    message = gr.HTML("", js_on_load=None, elem_id="evaluate-message")
    scores = gr.HTML("", js_on_load=None, elem_id="evaluate-scores", padding=False)
    lengths = figure_html("", "evaluate-lengths")
    written = [figure_html("", "evaluate-measures"), figure_html("", "evaluate-curves")]
    shown = gr.Textbox("", label="Shown evaluation", visible="hidden", max_length=12, elem_id="evaluate-shown")
    beside = lines.build_lines(site, "evaluate", shown, "worst")
    fields = [
        source, builtin, file, references, hub, split, src_column, tgt_column, text_column, typed, strategy, settings,
        number, metrics, context, stride, overlap, prompts, new_tokens, strategies, mauve, place,
    ]  # fmt: skip
    boxes = [files_row, hub_row, columns_row, src_column, tgt_column, text_column]
    return MeasurePart(
        fields, own, boxes, writing, run, stop, go_on, gr.State(None), message, shown, gr.State(None), scores, lengths,
        written, beside, gr.State(None),
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
    drawing = [part.shown, part.drawn, beside.order, beside.metric, beside.contains, part.asked]
    part.shown.change(turn_to_evaluation, drawing, [part.asked, part.go_on, *part.results], **QUIET)


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
        return [now, *[gr.skip()] * SUITED, notice(str(error)), "", None, "", "", "", "", *hidden_lines()]
    # What a link has brought, or the list has opened meanwhile, stays; what is of the model before gives way.
    stays = bool(shown) and (not isinstance(about, tuple) or _run_of(shown) not in ("", about[0]))
    id = shown if stays else outcomes.newest(run.name)
    results = show_evaluation(id, None, *sorting) if id else nothing_yet(run)
    return [now, *_suited(run, source, strategy, typed, metrics, about), "", id, *results]


def _run_of(id: Any) -> str:
    """The run that an evaluation is of; "" if it is not here."""
    try:
        return outcomes.outcome(id).evaluation.run
    except UserError:
        return ""


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


def nothing_yet(run: Run) -> list[Any]:
    """Results before anything was measured: what the run came with."""
    carried = carried_html(run.name, run.scores)
    hint = '<p class="nothing">Nothing has been measured with this model here yet: press “Measure”.</p>'
    return [None, carried or hint, "", "", "", *hidden_lines()]


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
        gr.Accordion(visible=not translates and not here().is_hosted),
    ]


SUITED = 16  # how many values
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
