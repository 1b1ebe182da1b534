"""Attribution: what each head and network adds to a token's logit."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from core.analysis.attribution import Attribution, attribute, by_key
from core.analysis.reading import Reading, token_names
from core.errors import UserError
from playground.figure_html import figure_html
from playground.parts import CHANGING, QUIET
from playground.readings import Work, reading_of
from playground.site import Site
from playground.tabs.internals.choosing import Choice, candidates, choice_of, position_choices, typed_token
from playground.views.attribution import keys_spec, map_columns, map_spec, part_name, parts_spec
from playground.views.notice import notice

LAST, OWN, MEAN, NONE = "last", "#own", "#mean", "#none"  # values of the fields that are no position and no token


@dataclass
class AttributionPart:
    message: gr.HTML
    place: gr.Textbox  # what is looked at, as in the address: see choosing.py
    position: gr.Dropdown
    token: gr.Dropdown
    other: gr.Dropdown
    bars: gr.HTML
    map: gr.HTML
    keys: gr.HTML

    @property
    def fields(self) -> list[Any]:
        return [self.position, self.token, self.other]

    @property
    def views(self) -> list[Any]:
        return [self.message, *self.fields, self.bars, self.map, self.keys]

    @property
    def inputs(self) -> list[Any]:
        return [self.place]

    @property
    def shared(self) -> dict[str, Any]:
        return {"logit": self.place}


def build(site: Site, work: Work) -> AttributionPart:
    message = gr.HTML("", js_on_load=None)
    place = gr.Textbox("", label="Logit", visible="hidden", elem_id="attribution-place")
    with gr.Row(elem_classes="toolbar"):
        position = gr.Dropdown(
            [],
            value=None,
            label="Position, and what follows it",
            elem_id="attribution-position",
            elem_classes="grow",
            **CHANGING,
        )
        token = gr.Dropdown(
            [],
            value=None,
            label="Token (or type one)",
            allow_custom_value=True,
            elem_id="attribution-token",
            elem_classes="grow",
        )
        other = gr.Dropdown(
            [],
            value=None,
            label="Compared with (or type one)",
            allow_custom_value=True,
            elem_id="attribution-other",
            elem_classes="grow",
        )
    with gr.Row(elem_classes="internals-row"):
        with gr.Column(scale=6, min_width=320):
            bars = figure_html("", "attribution-bars")
        with gr.Column(scale=5, min_width=320):
            heads = figure_html("", "attribution-map")
            keys = figure_html("", "attribution-keys")
    return AttributionPart(message, place, position, token, other, bars, heads, keys)


def wire(part: AttributionPart, work: gr.State) -> None:
    part.place.change(explain_logit, [work, part.place], part.views, **QUIET)
    gr.on(
        [field.input for field in part.fields], choose_logit, [work, part.place, *part.fields],
        [part.message, part.place], **QUIET,
    )  # fmt: skip
    every = QUIET | {"trigger_mode": "multiple"}
    part.bars.select(choose_part, [work, part.place], [part.bars, part.keys], **every)
    part.map.select(choose_cell, [work, part.place], [part.bars, part.keys], **every)


def show(work: Work, place: str) -> tuple[Any, ...]:
    """Values for `views`."""
    try:
        reading = reading_of(work)
        choice = choice_of(reading, place)
        found = _attribution(reading, choice)
    except UserError as error:
        nothing = gr.Dropdown(choices=[], value=None)
        return notice(str(error)), nothing, nothing, nothing, "", "", ""
    title, subtitle = _titles(reading, found)
    position, token, other = _fields(reading, choice, found)
    bars = parts_spec(found, title, subtitle, reading.is_translation)
    heads = map_spec(found, "By layer: heads and feed-forward networks", subtitle)
    return "", position, token, other, bars, heads, ""


def explain_logit(work: Work, place: str) -> tuple[Any, ...]:
    """Another position or token was chosen, here or in the lens."""
    return show(work, place)


def choose_logit(work: Work, place: str, position: Any, token: Any, other: Any) -> tuple[Any, Any]:
    """A field was changed: a message and the new place."""
    try:
        reading = reading_of(work)
        before = choice_of(reading, place)
        chosen = choice_of(reading, f"{position}..") if isinstance(position, str) else before
        where = "" if position == LAST else str(chosen.position)
        moved = chosen.position != before.position  # then the model's own choice there is what one asks about
        of = "" if moved or token in (OWN, None, "") else typed_token(reading, str(token))
        than = "mean" if other == MEAN else "" if other in (NONE, None, "") else typed_token(reading, str(other))
    except UserError as error:
        return notice(str(error), "info"), gr.skip()
    return "", f"{where}.{of}.{than}"


def choose_part(work: Work, place: str, event: gr.EventData) -> tuple[Any, Any]:
    """A bar was chosen: of a head, where it read."""
    data = event._data if isinstance(event._data, dict) else {}
    return _look(work, place, lambda found: data.get("row"))


def choose_cell(work: Work, place: str, event: gr.EventData) -> tuple[Any, Any]:
    """A cell of the map was chosen: the same."""
    data = event._data if isinstance(event._data, dict) else {}
    row, column = data.get("row"), data.get("column")

    def part_of(found: Attribution) -> Any:
        columns = map_columns(found)
        if type(row) is not int or type(column) is not int or not 0 <= column < len(columns):
            return None
        _, attention, head = columns[column]
        places = (i for i, p in enumerate(found.parts) if p.kind == "head")
        return next((i for i in places if _place(found, i) == (row, attention, head)), None)

    return _look(work, place, part_of)


def pick_in_lens(place: str, event: gr.EventData) -> Any:
    """A cell was chosen in the lens: its position and its most probable token are what is taken apart."""
    data = event._data if isinstance(event._data, dict) else {}
    position, token = data.get("position"), data.get("token")
    if type(position) is not int or type(token) is not int or not (0 <= position < 10**6 and 0 <= token < 10**7):
        return gr.skip()
    return f"{position}.{token}."


def _look(work: Work, place: str, part_of: Any) -> tuple[Any, Any]:
    """The bars with the chosen part marked, and where it read; nothing changes if it is no head."""
    try:
        reading = reading_of(work)
        found = _attribution(reading, choice_of(reading, place))
        row = part_of(found)
        if type(row) is not int or not 0 <= row < len(found.parts) or found.parts[row].kind != "head":
            return gr.skip(), gr.skip()
        part = found.parts[row]
        shares = by_key(reading, part.attention, part.layer, part.head, found.position, found.token, found.other)
    except UserError:
        return gr.skip(), gr.skip()
    title, subtitle = _titles(reading, found)
    keys = keys_spec(
        shares, reading.keys(part.attention)[: len(shares)],
        f"Where {part_name(part, reading.is_translation)} read what it adds", subtitle,
    )  # fmt: skip
    return parts_spec(found, title, subtitle, reading.is_translation, row), keys


def _place(found: Attribution, row: int) -> tuple[int, str, int]:
    part = found.parts[row]
    return part.layer, part.attention, part.head


def _attribution(reading: Reading, choice: Choice) -> Attribution:
    return attribute(reading, choice.position, choice.token, choice.other)


def _titles(reading: Reading, found: Attribution) -> tuple[str, str]:
    ids = [found.token, *([found.other] if isinstance(found.other, int) else [])]
    names = token_names(reading.run.tokenizer, ids)
    behind = f"behind “{reading.names[found.position]}” (position {found.position})"
    if found.other is None:
        return f"What makes the logit of “{names[0]}”", f"{behind} · logit {found.logit:.4f}"
    other = "the mean of the vocabulary" if found.other == "mean" else f"“{names[1]}”"
    return f"What makes “{names[0]}” more likely than {other}", f"{behind} · difference of logits {found.logit:.4f}"


def _fields(reading: Reading, choice: Choice, found: Attribution) -> list[Any]:
    compared = found.other if isinstance(found.other, int) else None
    tokens = candidates(reading, found.position, (choice.token, compared))
    position = LAST if found.position == len(reading.ids) - 1 else str(found.position)
    token = OWN if choice.token is None else f"#{choice.token}"
    other = MEAN if found.other == "mean" else NONE if found.other is None else f"#{found.other}"
    return [
        gr.Dropdown(choices=position_choices(reading, LAST), value=position),
        gr.Dropdown(choices=[(f"the model’s choice: {tokens[0][0]}", OWN), *tokens], value=token),
        gr.Dropdown(choices=[("nothing", NONE), ("the mean of the vocabulary", MEAN), *tokens], value=other),
    ]
