"""Side by side: up to six columns, each with a strategy of its own, on the same model and text, as they are written.

All settings are one text (see playground.tabs.decoding.settings), which also stands in the page's address; the form
edits the column that is chosen.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from core.errors import ConfigError, RunError, UserError
from playground.decoding_form import LOCAL, MODAL, PLACES, chosen_assistant
from playground.header import NO_MODEL, Header
from playground.models import get_run
from playground.parts import QUIET
from playground.running import page_of
from playground.site import Site
from playground.tabs.decoding.changing import (
    LONGEST_ACTS,
    act_on_columns,
    change_strategy,
    chips_of,
    choose_preset,
    edit_column,
    load_recipe,
    read_or_first,
    show_form,
)
from playground.tabs.decoding.form import Form, build_form
from playground.tabs.decoding.settings import FIRST, MAX_COLUMNS, Column, config_of, for_model, title_of
from playground.tabs.decoding.work import Work, no_order
from playground.tabs.decoding.writing import Wanted, boards, written
from playground.views import decoding as views
from playground.views.column_settings import divergence
from playground.views.decoding import column_html

INTRO = (
    '<p class="decoding-intro">Ways to choose the next token, on the same model and text. '
    '<span class="decoding-scale">certain <span aria-hidden="true"></span> unlikely.</span> '
    "Point at a token to see what else was likely; click it, and choose another to go on from there.</p>"
)
STREAM: dict[str, Any] = {
    "show_progress": "hidden", "trigger_mode": "multiple", "concurrency_limit": None, "api_visibility": "private"
}  # fmt: skip


@dataclass
class ColumnsPart:
    where: gr.Radio
    run: gr.Button
    stop: gr.Button
    message: gr.HTML
    chips: gr.HTML
    form: Form
    agreement: gr.HTML
    columns: list[gr.HTML]
    settings: gr.Textbox
    acts: gr.Textbox  # what was clicked last, numbered; assets/decoding-columns.js writes it
    chosen: gr.State  # the column that the form edits
    acted: gr.State  # the number of the last act that was done
    headed: gr.State  # settings and column that the form shows
    typed: gr.State  # assistants that somebody has typed here
    order: gr.State  # changes when the columns are to be written

    @property
    def head(self) -> list[Any]:
        """What `changing.head` gives, in this order."""
        return [self.message, self.chosen, self.headed, self.chips, *self.form.views]

    @property
    def shared(self) -> dict[str, Any]:
        return {"columns": self.settings}


def build(site: Site, work: Work) -> ColumnsPart:
    """The components, columns still empty. What the site does not offer (Modal, so many beams) is refused too."""
    modal = site.launch
    places = [(title, place) for place, title in PLACES.items() if modal or place != MODAL]
    with gr.Row(elem_classes="decoding-top"):
        gr.HTML(INTRO, padding=False, js_on_load=None)
        where = gr.Radio(
            places, value=LOCAL, label="Where", show_label=False, container=False, min_width=210, scale=0,
            elem_id="decoding-where", visible=modal,
        )  # fmt: skip
        run = gr.Button("Run", variant="primary", min_width=90, scale=0, elem_id="decoding-run")
        stop = gr.Button("Stop", variant="stop", min_width=90, scale=0, elem_id="decoding-stop")
    chips = gr.HTML(chips_of(FIRST, 0), elem_id="decoding-chips", padding=False, js_on_load=None)
    message = gr.HTML("", js_on_load=None, elem_id="decoding-message")
    form = build_form(site, work, FIRST.columns[0])
    says = gr.HTML("", js_on_load=None, elem_id="decoding-agreement", padding=False)
    with gr.Row(elem_classes="decoding-columns", equal_height=False):
        waiting = [views.Column(title_of(column), config_of(column)) for column in FIRST.columns]
        html = [column_html(column, place=place) for place, column in enumerate(waiting)]
        columns = [
            gr.HTML(value, elem_id=f"decoding-column-{place + 1}", padding=False, js_on_load=None)
            for place, value in enumerate([*html, *[""] * (MAX_COLUMNS - len(html))])
        ]
    settings = gr.Textbox("", label="Columns", visible="hidden", elem_id="decoding-settings", max_length=4_000)
    acts = gr.Textbox("", label="Clicks", visible="hidden", elem_id="decoding-acts", max_length=LONGEST_ACTS)
    states = gr.State(0), gr.State(0), gr.State(None), gr.State(()), no_order()
    return ColumnsPart(where, run, stop, message, chips, form, says, columns, settings, acts, *states)


def wire(part: ColumnsPart, work: gr.State) -> None:
    inputs = [work, part.settings, part.where, part.typed]
    shown_columns = [part.agreement, *part.columns]
    gr.on([part.order.change, part.settings.change, part.where.input], decode_columns, [*inputs, part.order],
          shown_columns, **STREAM)  # fmt: skip
    # The form shows the settings, also where they have changed while an answer was on its way.
    gr.on([part.order.change, part.settings.change, part.headed.change], show_form,
          [work, part.settings, part.chosen, part.headed, part.order], part.head, **QUIET)  # fmt: skip
    part.run.click(write_again, inputs, shown_columns, **STREAM)
    part.stop.click(stop_columns, None, None, queue=False, show_progress="hidden", api_visibility="private")
    form, now = part.form, [work, part.settings, part.chosen]
    fields: list[Any] = [*form.fields.values(), form.assistant, form.together]
    reshaping: list[Any] = [form.strategy, form.drawn]
    gr.on(
        [field.input for field in fields],
        edit_column, [*now, part.typed, form.together, *form.values],
        [part.settings, part.headed, part.typed, part.chips, form.box, form.preset, form.sentence], **QUIET,
    )  # fmt: skip
    gr.on([field.input for field in reshaping], change_strategy, [*now, *form.values],
          [part.settings, *part.head], **QUIET)  # fmt: skip
    form.preset.input(choose_preset, [*now, form.preset], [part.settings, *part.head], **QUIET)
    part.acts.change(act_on_columns, [*now, part.acts, part.acted], [part.acted, part.settings, *part.head], **QUIET)


def wire_loading(part: ColumnsPart, work: gr.State, header: Header) -> None:
    """A recipe brings its text along, and its model."""
    form = part.form
    form.load.click(
        load_recipe, [work, part.settings, part.chosen, form.recipe],
        [form.loaded, header.model, header.text, header.settled, part.settings, *part.head], **QUIET,
    )  # fmt: skip


# -------------------------------------------------------------------------------------------------- the columns


def stop_columns(request: gr.Request) -> None:
    boards.stop(page_of(request))


def forget(request: gr.Request) -> None:
    """A page was closed: let its columns go."""
    boards.forget(page_of(request))


def decode_columns(
    work: Work, settings: Any, where: Any, typed: Any, order: Any, request: gr.Request
) -> Iterator[list[Any]]:
    """Write what has not been written yet; yields what the columns share, and their HTML as they grow."""
    if not order:  # nobody has opened the part yet
        yield [gr.skip()] * (1 + MAX_COLUMNS)
        return
    yield from _write(work, settings, where, typed, page_of(request), fresh=False)


def write_again(work: Work, settings: Any, where: Any, typed: Any, request: gr.Request) -> Iterator[list[Any]]:
    """Write all columns anew."""
    yield from _write(work, settings, where, typed, page_of(request), fresh=True)


def _write(work: Work, settings: Any, where: Any, typed: Any, page: str, fresh: bool) -> Iterator[list[Any]]:
    """What goes wrong is said in the columns."""
    found, _ = read_or_first(settings)
    wanted = [_wanted(column) for column in found.columns]
    shown: list[tuple[Any, ...]] = [()] * MAX_COLUMNS
    tokenizer = None
    try:
        if not work.model:
            raise RunError(NO_MODEL)
        run = get_run(work.model)
        if where != MODAL:
            run.model  # noqa: B018 - read from disk here, so that a broken file is said in place
        tokenizer = run.tokenizer
        wanted = [_for_run(one, column, work, run, typed) for one, column in zip(wanted, found.columns, strict=True)]
        for columns in written(work, run, wanted, where, page, fresh):
            yield _picture(columns, tokenizer, shown)
    except UserError as error:
        failed = [views.Column(one.title, one.config, "failed", message=str(error)) for one in wanted]
        yield _picture(failed, tokenizer, shown)


def _wanted(column: Column) -> Wanted:
    try:
        return Wanted(title_of(column), config_of(column), column.get("assistant", ""))
    except ConfigError as error:
        return Wanted(title_of(column), None, problem=str(error))


def _for_run(wanted: Wanted, column: Column, work: Work, run: Any, typed: Any) -> Wanted:
    """The settings as the model needs them, and an assistant that can assist it."""
    if wanted.config is None:
        return wanted
    helper = ""
    if wanted.config.strategy == "assisted":
        helper = chosen_assistant(work.model, wanted.assistant, typed if isinstance(typed, (list, tuple)) else ())
    return wanted._replace(config=for_model(wanted.config, run.config.decode), assistant=helper)


def _picture(columns: Sequence[views.Column], tokenizer: Any, shown: list[tuple[Any, ...]]) -> list[Any]:
    """What the columns share, and the HTML of those that have changed since they were shown."""
    shared, parts = divergence(
        [(column.hypothesis.ids if column.hypothesis else None, column.state) for column in columns]
    )
    html: list[Any] = []
    for place in range(MAX_COLUMNS):
        now = (columns[place], parts[place]) if place < len(columns) else (None, None)
        if shown[place] and shown[place][0] is now[0] and shown[place][1] == now[1]:
            html.append(gr.skip())
            continue
        shown[place] = now
        html.append("" if now[0] is None else column_html(now[0], tokenizer, place, now[1]))
    return [shared, *html]
