"""Side by side: up to six columns, each with a strategy of its own, on the same model and text, as they are written.

All settings are one text (see playground.tabs.decoding.settings), which also stands in the page's address; the form
edits the column that is chosen.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from core.decode.recipe import Recipe, settings_from_json
from core.errors import ConfigError, RunError, UserError
from core.evaluate.degeneration import first_divergence
from playground.decoding_form import LOCAL, MODAL, PLACES, chosen_assistant
from playground.header import NO_MODEL, Header, text_problem
from playground.models import get_run, model_choices
from playground.parts import QUIET
from playground.running import page_of
from playground.site import Site
from playground.tabs.decoding.form import Form, box_label, build_form, edited, sentence_of, shown
from playground.tabs.decoding.settings import (
    FIRST,
    MAX_COLUMNS,
    NEXT,
    TOGETHER,
    Column,
    Settings,
    column_of,
    config_of,
    dump,
    for_model,
    preset_column,
    preset_of,
    read,
    title_of,
)
from playground.tabs.decoding.work import Work
from playground.tabs.decoding.writing import Wanted, boards, written
from playground.views import decoding as views
from playground.views.column_settings import agreement, chips_html
from playground.views.decoding import column_html
from playground.views.notice import notice

INTRO = (
    '<p class="decoding-intro">Ways to choose the next token, on the same model and text. '
    '<span class="decoding-scale">certain <span aria-hidden="true"></span> unlikely.</span> '
    "Point at a token to see what else was likely; click it, and choose another to go on from there.</p>"
)
# What is clicked in a column or on a chip is sent as {act, column, …}; assets/decoding-columns.js sends the rest.
SEND = """
element.send = (data) => trigger('select', data);
element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-act]');
  if (!button) return;
  const column = button.dataset.column ?? button.closest('[data-column]')?.dataset.column ?? -1;
  trigger('select', {act: button.dataset.act, column: Number(column)});
});
"""
STREAM: dict[str, Any] = {
    "show_progress": "hidden", "trigger_mode": "multiple", "concurrency_limit": None, "api_visibility": "private"
}  # fmt: skip
LONGEST_BRANCH = 1_000  # tokens


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
    chosen: gr.State  # the column that the form edits
    typed: gr.State  # assistants that somebody has typed here
    order: gr.State  # changes when the columns are to be written; 0 before the part was opened

    @property
    def views(self) -> list[Any]:
        return [*self.head, self.order]

    @property
    def head(self) -> list[Any]:
        """What `head` gives, in this order."""
        return [self.message, self.chosen, self.chips, *self.form.views]

    @property
    def inputs(self) -> list[Any]:
        return [self.settings, self.where, self.chosen]

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
    chips = gr.HTML(_chips(FIRST, 0), elem_id="decoding-chips", padding=False, js_on_load=SEND)
    message = gr.HTML("", js_on_load=None, elem_id="decoding-message")
    form = build_form(site, work, FIRST.columns[0])
    says = gr.HTML("", js_on_load=None, elem_id="decoding-agreement", padding=False)
    with gr.Row(elem_classes="decoding-columns", equal_height=False):
        waiting = [views.Column(title_of(column), config_of(column)) for column in FIRST.columns]
        html = [column_html(column, place=place) for place, column in enumerate(waiting)]
        columns = [
            gr.HTML(value, elem_id=f"decoding-column-{place + 1}", padding=False, js_on_load=SEND)
            for place, value in enumerate([*html, *[""] * (MAX_COLUMNS - len(html))])
        ]
    settings = gr.Textbox("", label="Columns", visible="hidden", elem_id="decoding-settings", max_length=4_000)
    return ColumnsPart(
        where, run, stop, message, chips, form, says, columns, settings, gr.State(0), gr.State(()), gr.State(0)
    )


def wire(part: ColumnsPart, work: gr.State) -> None:
    inputs = [work, part.settings, part.where, part.typed]
    shown_columns = [part.agreement, *part.columns]
    gr.on([part.order.change, part.settings.change, part.where.input], decode_columns, [*inputs, part.order],
          shown_columns, **STREAM)  # fmt: skip
    part.run.click(write_again, inputs, shown_columns, **STREAM)
    part.stop.click(stop_columns, None, None, queue=False, show_progress="hidden", api_visibility="private")
    form, now = part.form, [work, part.settings, part.chosen]
    fields: list[Any] = [*form.fields.values(), form.assistant, form.together]
    reshaping: list[Any] = [form.strategy, form.drawn]
    gr.on(
        [field.input for field in fields],
        edit_column, [*now, part.typed, form.together, *form.values],
        [part.settings, part.typed, part.chips, form.box, form.preset, form.sentence], **QUIET,
    )  # fmt: skip
    gr.on([field.input for field in reshaping], change_strategy, [*now, *form.values],
          [part.settings, *part.head], **QUIET)  # fmt: skip
    form.preset.input(choose_preset, [*now, form.preset], [part.settings, *part.head], **QUIET)
    gr.on([part.chips.select, *[column.select for column in part.columns]], act_on_columns, now,
          [part.settings, *part.head], **QUIET)  # fmt: skip


def wire_loading(part: ColumnsPart, work: gr.State, header: Header) -> None:
    """A recipe brings its text along, and its model."""
    form = part.form
    form.load.click(
        load_recipe, [work, part.settings, part.chosen, form.recipe],
        [form.loaded, header.model, header.text, header.settled, part.settings, *part.head], **QUIET,
    )  # fmt: skip


def show(work: Work, settings: Any, where: Any, chosen: Any) -> list[Any]:
    """Values of `views`: the settings as they are, and the order to write."""
    return [*head(work, settings, chosen), time.monotonic_ns()]


# ------------------------------------------------------------------------------------------------- the settings


def head(work: Work, settings: Any, chosen: Any, open: bool | None = None) -> list[Any]:
    """Message, the chosen column, chips and the form: values of `ColumnsPart.head`."""
    found, problem = _read(settings)
    chosen = _place(found, chosen)
    return [
        notice(problem), chosen, _chips(found, chosen),
        *shown(work, chosen, found.columns[chosen], found.together, open),
    ]  # fmt: skip


def edit_column(
    work: Work, settings: Any, chosen: Any, typed: Any, together: Any, *values: Any
) -> tuple[str, Any, str, Any, str, str]:
    """A field of the form was changed."""
    found, _ = _read(settings)
    chosen = _place(found, chosen)
    column = edited(found.columns[chosen], *values)
    found = found._replace(together=together is True).with_column(chosen, column)
    assistant = column.get("assistant", "")
    if assistant and assistant not in typed:
        typed = (*typed[-8:], assistant)
    column = found.columns[chosen]
    label, name = gr.update(label=box_label(chosen, column)), preset_of(column) or ""
    return dump(found), typed, _chips(found, chosen), label, name, sentence_of(column)


def change_strategy(work: Work, settings: Any, chosen: Any, *values: Any) -> list[Any]:
    """Another strategy: other fields."""
    found, _ = _read(settings)
    chosen = _place(found, chosen)
    return _now(work, found.with_column(chosen, edited(found.columns[chosen], *values)), chosen)


def choose_preset(work: Work, settings: Any, chosen: Any, name: Any) -> list[Any]:
    found, _ = _read(settings)
    chosen = _place(found, chosen)
    try:
        column = preset_column(found.columns[chosen], name) if name else found.columns[chosen]
    except ConfigError:
        column = found.columns[chosen]
    return _now(work, found.with_column(chosen, column), chosen)


def load_recipe(work: Work, settings: Any, chosen: Any, text: Any) -> list[Any]:
    """A recipe or settings were pasted: message, model, text and `settled` of the header, and the settings. It may come
    from anybody: a model is opened if it is listed here, an assistant too."""
    found, _ = _read(settings)
    chosen = _place(found, chosen)
    model, prompt, settled, told = gr.skip(), gr.skip(), gr.skip(), "Loaded."
    try:
        recipe = _recipe(text)
        column = column_of(recipe.config if recipe else settings_from_json(text), recipe.assistant if recipe else "")
        config_of(column)
    except ConfigError as error:
        return [notice(str(error)), *[gr.skip()] * 4, *head(work, settings, chosen)]
    if recipe is not None:
        if recipe.model not in [name for _, name in model_choices()]:
            told = f"Its model {recipe.model[:80]!r} is not in the list here: only its settings are loaded."
        elif problem := text_problem(recipe.text):
            told = f"Only its settings are loaded. {problem}"
        else:
            model, prompt = recipe.model, recipe.text
            settled = (model, prompt)
    others = [other for place, other in enumerate(found.columns) if place != chosen]
    if any(other.get(name) != column.get(name) for other in others for name in TOGETHER):
        found = found._replace(together=False)
    return [notice(told, "info"), model, prompt, settled, *_now(work, found.with_column(chosen, column), chosen)]


def _recipe(text: Any) -> Recipe | None:
    """None: what was pasted is no whole recipe, but may be settings."""
    try:
        return Recipe.from_json(text)
    except ConfigError:
        return None


def act_on_columns(work: Work, settings: Any, chosen: Any, event: gr.EventData) -> list[Any]:
    """A chip, or something in a column, was clicked."""
    found, _ = _read(settings)
    data = event._data if isinstance(event._data, dict) else {}
    act, place = data.get("act"), data.get("column")
    columns, chosen = found.columns, _place(found, chosen)
    if act == "add" and len(columns) < MAX_COLUMNS:
        have = [preset_of(column) for column in columns]
        name = next((name for name in NEXT if name not in have), NEXT[0])
        found = found._replace(columns=(*columns, preset_column(columns[0], name)))
        return _now(work, found, len(columns), open=True)
    if type(place) is not int or not 0 <= place < len(columns):
        return _now(work, found, chosen)
    if act == "choose":
        return _now(work, found, place, open=True)
    if act == "remove" and len(columns) > 1:
        found = found._replace(columns=(*columns[:place], *columns[place + 1 :]))
        return _now(work, found, chosen - (chosen > place))
    if act == "branch" and _ids(data.get("ids")):
        return _now(work, _branched(found, place, data["ids"]), place)
    if act == "unbranch":
        return _now(work, _branched(found, place, []), place)
    return _now(work, found, chosen)


def _branched(settings: Settings, place: int, ids: list[int]) -> Settings:
    column = {name: value for name, value in settings.columns[place].items() if name != "forced_prefix_ids"}
    return settings.with_column(place, column | ({"forced_prefix_ids": ids} if ids else {}))


def _ids(value: Any) -> bool:
    return isinstance(value, list) and 0 < len(value) <= LONGEST_BRANCH and all(
        type(token) is int and 0 <= token < 2**31 for token in value
    )  # fmt: skip


def _now(work: Work, settings: Settings, chosen: int, open: bool | None = None) -> list[Any]:
    text = dump(settings)
    return [text, *head(work, text, chosen, open)]


def _read(settings: Any) -> tuple[Settings, str]:
    """The settings; those that the page opens with, and why, if they cannot be read."""
    try:
        return read(settings), ""
    except ConfigError as error:
        return FIRST, f"{error} These are the usual ones."


def _place(settings: Settings, chosen: Any) -> int:
    return min(max(chosen, 0), len(settings.columns) - 1) if type(chosen) is int else 0


def _chips(settings: Settings, chosen: int) -> str:
    return chips_html([title_of(column) for column in settings.columns], chosen, MAX_COLUMNS)


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
    found, _ = _read(settings)
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
    shared, parts = _divergence(columns)
    html: list[Any] = []
    for place in range(MAX_COLUMNS):
        now = (columns[place], parts[place]) if place < len(columns) else (None, None)
        if shown[place] and shown[place][0] is now[0] and shown[place][1] == now[1]:
            html.append(gr.skip())
            continue
        shown[place] = now
        html.append("" if now[0] is None else column_html(now[0], tokenizer, place, now[1]))
    return [shared, *html]


def _divergence(columns: Sequence[views.Column]) -> tuple[str, list[int | None]]:
    """How far the columns are the same, in words; and of each the position at which it parts from the first one (of
    the first, at which another parts from it), None where it has not."""
    there = [place for place, column in enumerate(columns) if column.hypothesis is not None]
    parts: list[int | None] = [None] * len(columns)
    if len(there) < 2:
        return "", parts
    first, *others = there
    for place in others:
        parts[place] = _parts_at(columns[first], columns[place])
    known = [position for place in others if (position := parts[place]) is not None]
    parts[first] = min(known, default=None)
    if not known and any(columns[place].state == "writing" for place in there):
        return "", parts
    return agreement(first, parts[first]), parts


def _parts_at(one: views.Column, other: views.Column) -> int | None:
    assert one.hypothesis is not None and other.hypothesis is not None
    position = first_divergence([one.hypothesis.ids, other.hypothesis.ids])
    ends = position is not None and position >= min(len(one.hypothesis.ids), len(other.hypothesis.ids))
    return None if ends and "writing" in (one.state, other.state) else position
