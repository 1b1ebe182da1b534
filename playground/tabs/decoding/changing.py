"""Side by side: what changes the columns' settings - the form, chips and clicks, recipes that are loaded.

The settings are the truth, the form shows them. What is clicked comes as a list of the last clicks, numbered, so that
none is lost and none counts twice, however slow the page is.
"""

import json
from typing import Any

import gradio as gr

from core.decode.recipe import Recipe, settings_from_json
from core.errors import ConfigError
from playground.header import text_problem
from playground.models import model_choices
from playground.tabs.decoding.form import VIEWS, box_label, edited, sentence_of, shown
from playground.tabs.decoding.settings import (
    FIRST,
    MAX_COLUMNS,
    NEXT,
    TOGETHER,
    Settings,
    column_of,
    config_of,
    dump,
    preset_column,
    preset_of,
    read,
    title_of,
)
from playground.tabs.decoding.work import Work
from playground.views.column_settings import chips_html
from playground.views.notice import notice

LONGEST_BRANCH = 1_000  # tokens
LONGEST_ACTS = 40_000  # characters of JSON


def head(work: Work, settings: Any, chosen: Any, open: bool | None = None) -> list[Any]:
    """Message, the chosen column, chips and the form: values of `ColumnsPart.head`."""
    found, problem = read_or_first(settings)
    chosen = _place(found, chosen)
    return [
        notice(problem), chosen, (work.model, settings, chosen), chips_of(found, chosen),
        *shown(work, chosen, found.columns[chosen], found.together, open),
    ]  # fmt: skip


def show_form(work: Work, settings: Any, chosen: Any, headed: Any, order: Any) -> list[Any]:
    """The form, where it is not as the settings are: values of `ColumnsPart.head`."""
    found, _ = read_or_first(settings)
    now = head(work, settings, chosen) if order and headed != (work.model, settings, _place(found, chosen)) else None
    return now or [gr.skip()] * (4 + VIEWS)


def edit_column(
    work: Work, settings: Any, chosen: Any, typed: Any, together: Any, *values: Any
) -> tuple[str, Any, Any, str, Any, str, str]:
    """A field of the form was changed."""
    found, _ = read_or_first(settings)
    chosen = _place(found, chosen)
    column = edited(found.columns[chosen], *values)
    found = found._replace(together=together is True).with_column(chosen, column)
    assistant = column.get("assistant", "")
    if assistant and assistant not in typed:
        typed = (*typed[-8:], assistant)
    column = found.columns[chosen]
    label, name = gr.update(label=box_label(chosen, column)), preset_of(column) or ""
    text = dump(found)
    return text, (work.model, text, chosen), typed, chips_of(found, chosen), label, name, sentence_of(column)


def change_strategy(work: Work, settings: Any, chosen: Any, *values: Any) -> list[Any]:
    """Another strategy: other fields."""
    found, _ = read_or_first(settings)
    chosen = _place(found, chosen)
    return _now(work, found.with_column(chosen, edited(found.columns[chosen], *values)), chosen)


def choose_preset(work: Work, settings: Any, chosen: Any, name: Any) -> list[Any]:
    found, _ = read_or_first(settings)
    chosen = _place(found, chosen)
    try:
        column = preset_column(found.columns[chosen], name) if name else found.columns[chosen]
    except ConfigError:
        column = found.columns[chosen]
    return _now(work, found.with_column(chosen, column), chosen)


def load_recipe(work: Work, settings: Any, chosen: Any, text: Any) -> list[Any]:
    """A recipe or settings were pasted: message, model, text and `settled` of the header, and the settings. It may come
    from anybody: a model is opened if it is listed here, an assistant too."""
    found, _ = read_or_first(settings)
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


def act_on_columns(work: Work, settings: Any, chosen: Any, acts: Any, acted: Any) -> list[Any]:
    """Chips, or something in a column, were clicked: the number of the last click that was done, and what it made."""
    found, _ = read_or_first(settings)
    chosen = _place(found, chosen)
    last, open = acted if type(acted) is int else 0, None
    for act in _acts(acts):
        if act["n"] > last:
            last = act["n"]
            found, chosen, open = _after(found, chosen, act)
    return [last, *_now(work, found, chosen, open)]


def _acts(text: Any) -> list[dict[str, Any]]:
    """Clicks from JSON, whatever it is."""
    try:
        acts = json.loads(text) if isinstance(text, str) and len(text) <= LONGEST_ACTS else []
    except (ValueError, RecursionError):
        return []
    acts = acts if isinstance(acts, list) else []
    return [act for act in acts if isinstance(act, dict) and type(act.get("n")) is int and 0 < act["n"] < 2**53]


def _after(found: Settings, chosen: int, act: dict[str, Any]) -> tuple[Settings, int, bool | None]:
    """Settings and the chosen column after a click; and whether the form is to be opened."""
    name, place, columns = act.get("act"), act.get("column"), found.columns
    if name == "add" and len(columns) < MAX_COLUMNS:
        have = [preset_of(column) for column in columns]
        added = next((known for known in NEXT if known not in have), NEXT[0])
        return found._replace(columns=(*columns, preset_column(columns[0], added))), len(columns), True
    if type(place) is not int or not 0 <= place < len(columns):
        return found, chosen, None
    if name == "choose":
        return found, place, True
    if name == "remove" and len(columns) > 1:
        left = (*columns[:place], *columns[place + 1 :])
        return found._replace(columns=left), min(chosen - (chosen > place), len(left) - 1), None
    if name == "branch" and _ids(act.get("ids")):
        return _branched(found, place, act["ids"]), place, None
    if name == "unbranch":
        return _branched(found, place, []), place, None
    return found, chosen, None


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


def read_or_first(settings: Any) -> tuple[Settings, str]:
    """The settings; those that the page opens with, and why, if they cannot be read."""
    try:
        return read(settings), ""
    except ConfigError as error:
        return FIRST, f"{error} These are the usual ones."


def _place(settings: Settings, chosen: Any) -> int:
    return min(max(chosen, 0), len(settings.columns) - 1) if type(chosen) is int else 0


def chips_of(settings: Settings, chosen: int) -> str:
    return chips_html([title_of(column) for column in settings.columns], chosen, MAX_COLUMNS)
