"""The form that edits one column: which fields there are, which of them act on its strategy, and what they say."""

from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from core.decode.presets import PRESETS, acting, preset
from core.errors import ConfigError
from playground.decoding_form import LONGEST, MAX_BEAMS, MAX_SAMPLES, assistants
from playground.site import Site, here
from playground.tabs.decoding.settings import (
    FIELDS,
    MAX_CANDIDATES,
    MAX_DRAFTS,
    MAX_SHOWN,
    STRATEGY_NAMES,
    Column,
    config_of,
    preset_of,
    title_of,
)
from playground.tabs.decoding.work import Work
from playground.views.notice import notice

MOST = 2**53  # of a number: what a browser has exactly
OWN_SETTINGS = ""  # the preset of a column that is as none
DRAWN_ONLY = ("temperature", "top_k", "top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff", "seed")


@dataclass(frozen=True)
class Field:
    """A number or a choice of the form. low, high, step: of a slider; None: a field to type into."""

    label: str
    info: str = ""
    low: float | None = None
    high: float | None = None
    step: float = 1
    choices: tuple[tuple[str, Any], ...] = ()

    def shown(self, value: Any) -> Any:
        """The value as the field can hold it: whatever it is, it may come from anybody."""
        if self.choices:
            held = [choice for _, choice in self.choices]
            return next((c for c in held if c == value and type(c) is type(value)), held[0])
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not -MOST < value < MOST:
            return 0 if self.low is None else self.low
        if self.low is None or self.high is None:
            return int(value)
        return min(max(value, self.low), self.high)

    def within(self, most: float) -> "Field":
        return self if self.high is None else replace(self, high=min(self.high, most))


SHORT = {
    "num_beams": Field("Beams", "Hypotheses at a time; 1 is greedy", 1, MAX_BEAMS),
    "num_beam_groups": Field("Groups of beams", "0: each beam is one", 0, MAX_BEAMS),
    "diversity_penalty": Field("Diversity penalty", "For what earlier groups chose", 0, 5, 0.1),
    "length_penalty": Field("Length penalty", "Above 0 favours longer", -1, 3, 0.1),
    "penalty_alpha": Field("Degeneration penalty", "0 is greedy", 0, 1, 0.05),
    "num_samples": Field("Samples", "To choose from", 2, MAX_SAMPLES),
    "mbr_metric": Field("Likeness", "", choices=(("chrF", "chrf"), ("BLEU", "bleu"))),
    "temperature": Field("Temperature", "0 is greedy", 0, 2, 0.05),
    "top_k": Field("Top-k", "0 is off", 0, 200),
    "top_p": Field("Top-p", "1 is off", 0.05, 1, 0.05),
    "min_p": Field("Min-p", "0 is off", 0, 1, 0.01),
    "num_assistant_tokens": Field("Drafts", "Tokens in one go", 1, MAX_DRAFTS),
    "num_return_sequences": Field("Samples shown", "Each drawn for itself", 1, MAX_SHOWN),
    "max_new_tokens": Field("Longest, in tokens", "", 1, LONGEST),
    "seed": Field("Seed", "Of whatever is drawn"),
}
MORE = {
    "typical_p": Field("Typical-p", "1 is off", 0.05, 1, 0.05),
    "epsilon_cutoff": Field("Epsilon cutoff", "0 is off", 0, 0.1, 0.001),
    "eta_cutoff": Field("Eta cutoff", "0 is off", 0, 0.1, 0.001),
    "length_penalty_formula": Field(
        "Formula of the length penalty", "",
        choices=(("score / length^p", "hf"), ("GNMT: ((5 + length) / 6)^p", "gnmt"), ("CTranslate2", "ctranslate2")),
    ),
    "early_stopping": Field(
        "The search ends", "",
        choices=(("when nothing better is likely", False), ("with as many ends as beams", True),
                 ("at the longest only", "never")),
    ),
    "min_new_tokens": Field("Shortest, in tokens", "0 is off", 0, LONGEST),
    "repetition_penalty": Field("Repetition penalty", "1 is off", 1, 2, 0.05),
    "presence_penalty": Field("Presence penalty", "Once, for what was written", -2, 2, 0.1),
    "frequency_penalty": Field("Frequency penalty", "Each time it was written", -2, 2, 0.1),
    "no_repeat_ngram_size": Field("No n-gram twice, n", "0 is off", 0, 10),
}  # fmt: skip
ALL = SHORT | MORE
VIEWS = 7 + len(ALL)  # components that `shown` gives values for


@dataclass
class Form:
    box: gr.Accordion
    preset: gr.Dropdown
    strategy: gr.Dropdown
    assistant: gr.Dropdown
    drawn: gr.Checkbox  # whether assisted decoding draws
    fields: dict[str, Any]
    together: gr.Checkbox
    sentence: gr.HTML
    recipe: gr.Textbox
    load: gr.Button
    loaded: gr.HTML

    @property
    def values(self) -> list[Any]:
        """What `edited` takes, in this order."""
        return [self.strategy, self.assistant, self.drawn, *self.fields.values()]

    @property
    def views(self) -> list[Any]:
        """What `shown` gives, in this order."""
        return [self.box, self.preset, self.sentence, self.together, *self.values]


def build_form(site: Site, work: Work, column: Column) -> Form:
    with gr.Accordion(open=False, elem_id="decoding-form", label=box_label(0, column)) as box:
        with gr.Row(elem_classes="toolbar"):
            chosen = gr.Dropdown(_presets(), value=preset_of(column) or OWN_SETTINGS, label="Preset",
                                 elem_id="decoding-preset", min_width=260)  # fmt: skip
            strategy = gr.Dropdown([(title, name) for name, title in STRATEGY_NAMES.items()],
                                   value=column.get("strategy", "greedy"), label="Strategy",
                                   elem_id="decoding-strategy", min_width=220)  # fmt: skip
            together = gr.Checkbox(True, label="One seed and one length for all columns", elem_id="decoding-together")
        sentence = gr.HTML(sentence_of(column), js_on_load=None, elem_id="decoding-sentence")
        fields: dict[str, Any] = {}
        acts = _acting(column)
        with gr.Row(elem_classes="decoding-fields"):
            assistant = gr.Dropdown(
                assistants(work.model), label="Assistant", info="Runs of the same tokenizer", min_width=220,
                visible="assistant" in acts, elem_id="decoding-assistant",
                allow_custom_value=True,  # else a page whose list is about to change is refused
            )  # fmt: skip
            drawn = gr.Checkbox(False, label="Drawn, not greedy", visible="assistant" in acts, min_width=160)
            fields |= {name: _component(name, column, acts, site) for name in SHORT}
        with gr.Accordion("More settings", open=False), gr.Row(elem_classes="decoding-fields"):
            fields |= {name: _component(name, column, acts, site) for name in MORE}
        with gr.Accordion("Load settings", open=False):
            recipe = gr.Textbox(
                label="A recipe or settings, as JSON: what “Save as JSON” below a column gives", lines=3, max_lines=12,
                elem_id="decoding-recipe",
            )  # fmt: skip
            load = gr.Button("Load into this column", size="sm", scale=0, min_width=200, elem_id="decoding-load")
            loaded = gr.HTML("", js_on_load=None, elem_id="decoding-loaded")
    return Form(box, chosen, strategy, assistant, drawn, fields, together, sentence, recipe, load, loaded)


def _component(name: str, column: Column, acts: list[str], site: Site) -> Any:
    field = field_of(name, site)
    more: dict[str, Any] = {
        "label": field.label, "info": field.info or None, "min_width": 200, "visible": name in acts,
        "elem_id": f"decoding-{name.replace('_', '-')}",
    }  # fmt: skip
    value = field.shown(column.get(name, FIELDS[name]))
    if field.choices:
        return gr.Dropdown(list(field.choices), value=value, **more)
    if field.low is None or field.high is None:
        return gr.Number(value, precision=0, **more)
    return gr.Slider(field.low, field.high, value, step=field.step, **more)


def field_of(name: str, site: Site, column: Column | None = None) -> Field:
    """The field as the site offers it, and for a column's strategy."""
    if name == "top_k" and column is not None and column.get("strategy") == "contrastive":
        return ALL[name].within(MAX_CANDIDATES)
    most = {"num_beams": site.beams, "num_samples": site.samples, "max_new_tokens": site.new_tokens,
            "num_return_sequences": site.samples, "min_new_tokens": site.new_tokens}  # fmt: skip
    return ALL[name].within(most[name]) if name in most else ALL[name]


def shown(work: Work, place: int, column: Column, together: bool, open: bool | None = None) -> list[Any]:
    """Values of the form's views for a column. open: whether the form is to be opened."""
    acts = _acting(column)
    choices = assistants(work.model)
    names = [name for _, name in choices]
    wanted = column.get("assistant")
    box: dict[str, Any] = {"label": box_label(place, column)} | ({} if open is None else {"open": open})
    fields = []
    for name in ALL:
        field = field_of(name, here(), column)
        bound: dict[str, Any] = {"maximum": field.high} if name == "top_k" else {}
        fields.append(gr.update(value=field.shown(column.get(name, FIELDS[name])), visible=name in acts, **bound))
    return [
        gr.update(**box),
        preset_of(column) or OWN_SETTINGS,
        sentence_of(column),
        together,
        column.get("strategy", "greedy"),
        gr.update(choices=choices, value=wanted or next(iter(names), None), visible="assistant" in acts),
        gr.update(value=column.get("assisted_sampling") is True, visible="assistant" in acts),
        *fields,
    ]


def edited(column: Column, strategy: Any, assistant: Any, drawn: Any, *values: Any) -> Column:
    """The column as the form says. What the form does not show of it stays."""
    strategy = strategy if isinstance(strategy, str) and strategy in STRATEGY_NAMES else "greedy"
    given = dict(zip(ALL, values, strict=True))
    kept = {name: value for name, value in column.items() if name in FIELDS and name not in ALL}
    changed: Column = kept | {"strategy": strategy}
    changed.pop("assisted_sampling", None)
    if strategy == "assisted":
        changed |= {"assisted_sampling": True} if drawn is True else {}
        changed |= {"assistant": assistant} if isinstance(assistant, str) and assistant else {}
    for name in {*_acting(changed), "seed"} & given.keys():
        value = given[name]
        if isinstance(FIELDS[name], float) and type(value) is int and abs(value) < MOST:
            value = float(value)
        if type(FIELDS[name]) is int and isinstance(value, float) and value.is_integer():
            value = int(value)
        if name == "top_k" and strategy == "contrastive" and type(value) is int:
            value = min(value, MAX_CANDIDATES)  # the slider may be another strategy's still
        if value is not None and value != FIELDS[name]:
            changed[name] = value
    return changed


def box_label(place: int, column: Column) -> str:
    return f"Settings of column {place + 1}: {title_of(column)}"


def _acting(column: Column) -> list[str]:
    """The fields that are shown for a column."""
    strategy = column.get("strategy", "greedy")
    names = [name for name in acting(strategy) if name in ALL]
    if strategy != "sample":  # of the others it says how many of the best are listed
        names.remove("num_return_sequences") if "num_return_sequences" in names else None
    if strategy == "assisted":
        names.append("assistant")
        if column.get("assisted_sampling") is not True:
            names = [name for name in names if name not in DRAWN_ONLY]
    return names


def _presets() -> list[tuple[str, str]]:
    return [("Settings of one's own", OWN_SETTINGS), *((known.title, name) for name, known in PRESETS.items())]


def sentence_of(column: Column) -> str:
    """What the column's preset is for; or what is wrong with its settings."""
    try:
        config_of(column)
    except ConfigError as error:
        return notice(str(error))
    name = preset_of(column)
    return notice(preset(name).sentence, "info") if name else ""
